"""The choice of a backend: the best that is there, lower precision only where it agrees, and always with the reason."""

import pytest

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
    with pytest.raises(BackendError, match=r"not installed: pip install 'DynamicSeg\[openvino\]'"):
        choose_backend("openvino", precision="fp32")


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
    monkeypatch.setattr(openvino_models, "can_compute", lambda kind: native)
    facts = choose_backend(dice_of=agreeing(dice)).facts
    assert (facts.name, facts.precision) == ("openvino", precision)
    assert words in facts.reason


@needs_openvino
@pytest.mark.usefixtures("openvino_is_there")
@pytest.mark.parametrize(
    ("units", "lost", "dice", "precision", "words"),
    [
        ({"INT8", "BF16"}, {"bf16": 0.0004, "int8": 0.0}, 0.983, "bf16", "on labelled cases it loses 0.0004 Dice"),
        ({"INT8", "BF16"}, {"bf16": choice.LARGEST_LOSS}, 0.983, "bf16", "native"),
        ({"INT8", "BF16"}, {"bf16": 0.0021}, 1.0, "fp32", "bf16 loses 0.0021 Dice, more than 0.002"),
        ({"INT8", "BF16"}, {"bf16": 0.0}, 0.94, "fp32", "0.9400, below 0.95"),
        ({"INT8", "BF16"}, {"int8": 0.0}, 0.983, "fp32", "0.9830, below 0.998"),
        ({"INT8"}, {"bf16": 0.0, "int8": -0.001}, 0.983, "int8", "on labelled cases it loses 0.0000 Dice"),
        ({"INT8"}, {"int8": 0.0021}, 1.0, "fp32", "int8 loses 0.0021 Dice, more than 0.002"),
        ({"INT8"}, {"int8": 0.0}, 0.94, "fp32", "int8's Dice against it is 0.9400, below 0.95"),
        ({"INT8"}, {"bf16": 0.0}, 1.0, "fp32", "no bf16 of its own, so fp32"),
        (set(), {"int8": 0.0}, 1.0, "fp32", "no bf16 of its own, so fp32"),
    ],
)
def test_the_lowest_native_precision_is_chosen_that_loses_little_and_is_sane_here(
    monkeypatch: pytest.MonkeyPatch, units: set[str], lost: dict[str, float], dice: float, precision: str, words: str
) -> None:
    monkeypatch.setattr(openvino_models, "can_compute", lambda kind: kind in units)
    asked = "bf16" if "BF16" in units else "int8"
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
