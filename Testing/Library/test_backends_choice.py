"""The choice of a backend: the best that is there, lower precision only where it agrees, and always with the reason."""

import sys

import pytest
import torch

from DynamicSegLib.backends import choice, openvino_models
from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.errors import BackendError

needs_openvino = pytest.mark.skipif(
    not openvino_models.is_installed(), reason="openvino is not installed: pip install 'DynamicSeg[openvino]'"
)


@pytest.fixture
def openvino_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "openvino_is_installed", lambda: True)
    monkeypatch.setattr(choice, "_cuda_device", lambda: None)


def agreeing(dice: float | None, precision: str = "bf16"):  # type: ignore[no-untyped-def]
    def dice_of(exact: Backend, lower: Backend, machine: str) -> float | None:
        assert (exact.facts.precision, lower.facts.precision) == ("fp32", precision)
        return dice

    return dice_of


def test_without_openvino_torch_runs_and_the_reason_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "openvino_is_installed", lambda: False)
    facts = choose_backend("auto", "cpu").facts
    assert (facts.name, facts.device, facts.precision) == ("torch", "cpu", "fp32")
    assert "openvino" in facts.reason and "pip install 'DynamicSeg[openvino]'" in facts.reason


def test_asking_for_openvino_where_it_is_absent_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_models, "is_installed", lambda: False)
    openvino_models.core.cache_clear()
    for precision in ("fp32", "auto"):
        with pytest.raises(BackendError, match=r"not installed: pip install 'DynamicSeg\[openvino\]'"):
            choose_backend("openvino", precision=precision)


@needs_openvino
@pytest.mark.usefixtures("openvino_is_there")
def test_an_openvino_that_does_not_load_leaves_auto_with_torch_and_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openvino_models.core.cache_clear()
    monkeypatch.setattr(openvino_models, "is_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "openvino", None)
    facts = choose_backend(dice_of=agreeing(1.0)).facts
    assert (facts.name, facts.precision) == ("torch", "fp32")
    assert facts.reason.startswith("OpenVINO is installed but does not load here (")
    with pytest.raises(BackendError, match=r"does not load here .*: pass --backend torch"):
        choose_backend("openvino")


def test_a_gpu_that_this_torch_has_no_kernels_for_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_kernels(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(choice.ctypes, "CDLL", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", no_kernels)
    assert not choice.has_cuda()


@needs_openvino
@pytest.mark.usefixtures("openvino_is_there")
@pytest.mark.parametrize(
    ("native", "dice", "precision", "words"),
    [
        (True, 0.9995, "bf16", "Dice of 0.9995"),
        (True, choice.SMALLEST_AGREEMENT, "bf16", "native"),
        (True, 0.9979, "fp32", "0.9979, below 0.998"),
        (True, None, "fp32", "no structure was found"),
        (False, 1.0, "fp32", "no bf16 of its own, so fp32"),
    ],
)
def test_bf16_is_chosen_only_where_it_is_native_and_agrees(
    monkeypatch: pytest.MonkeyPatch, native: bool, dice: float | None, precision: str, words: str
) -> None:
    monkeypatch.setattr(openvino_models, "has_bf16", lambda: native)
    facts = choose_backend(dice_of=agreeing(dice)).facts
    assert (facts.name, facts.precision) == ("openvino", precision)
    assert words in facts.reason


@needs_openvino
@pytest.mark.usefixtures("openvino_is_there")
@pytest.mark.parametrize(
    ("native", "lost", "dice", "precision", "words"),
    [
        (True, {"bf16": 0.0004, "int8": 0.0}, 0.983, "bf16", "on labelled cases it loses 0.0004 Dice"),
        (True, {"bf16": choice.LARGEST_LOSS}, 0.983, "bf16", "native"),
        (True, {"bf16": 0.0021}, 1.0, "fp32", "bf16 loses 0.0021 Dice, more than 0.002"),
        (True, {"bf16": 0.0}, 0.94, "fp32", "0.9400, below 0.95"),
        (True, {"int8": 0.0}, 0.983, "fp32", "0.9830, below 0.998"),
        (False, {"bf16": 0.0, "int8": -0.001}, 0.983, "int8", "on labelled cases it loses 0.0000 Dice"),
        (False, {"int8": 0.0021}, 1.0, "fp32", "int8 loses 0.0021 Dice, more than 0.002"),
        (False, {"int8": 0.0}, 0.94, "fp32", "int8's Dice against it is 0.9400, below 0.95"),
        (False, {"bf16": 0.0}, 1.0, "fp32", "no bf16 of its own, so fp32"),
    ],
)
def test_the_lowest_native_precision_is_chosen_that_loses_little_and_is_sane_here(
    monkeypatch: pytest.MonkeyPatch, native: bool, lost: dict[str, float], dice: float, precision: str, words: str
) -> None:
    monkeypatch.setattr(openvino_models, "has_bf16", lambda: native)
    asked = "bf16" if native else "int8"
    facts = choose_backend(dice_of=agreeing(dice, asked), dice_lost=lost).facts
    assert (facts.name, facts.precision) == ("openvino", precision)
    assert words in facts.reason


@needs_openvino
def test_int8_needs_no_backend_by_name_even_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_cuda_device", lambda: "a GPU")
    facts = choose_backend(precision="int8").facts
    assert (facts.name, facts.device, facts.precision) == ("openvino", "cpu", "int8")


@needs_openvino
@pytest.mark.usefixtures("openvino_is_there")
def test_a_precision_that_was_asked_for_is_not_questioned() -> None:
    facts = choose_backend(precision="bf16", dice_of=agreeing(0.1)).facts
    assert (facts.name, facts.precision) == ("openvino", "bf16")


@needs_openvino
def test_openvino_on_cuda_is_refused() -> None:
    with pytest.raises(BackendError, match="OpenVINO runs on the CPU here, not on 'cuda': pass --backend torch"):
        choose_backend("openvino", "cuda")
    with pytest.raises(BackendError, match="not on 'cuda': choose precision fp32 or bf16"):
        choose_backend("auto", "cuda", "int8")


@pytest.mark.parametrize(("backend", "device"), [("onnx", "auto"), ("auto", "tpu"), ("torch", "cpu:0")])
def test_unknown_names_are_refused_with_the_known_ones(backend: str, device: str) -> None:
    with pytest.raises(BackendError, match=r"is unknown: expected .*auto"):
        choose_backend(backend, device)


def test_torch_refuses_a_precision_it_does_not_know() -> None:
    with pytest.raises(BackendError, match="'int4' is unknown to torch"):
        choose_backend("torch", "cpu", "int4")
