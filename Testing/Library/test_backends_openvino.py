"""OpenVINO gives what torch gives, keeps what it compiled, and never uses a damaged file."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("openvino", reason="openvino is not installed: pip install 'DynamicSeg[openvino]'")

from DynamicSegLib.backends import openvino_backend
from DynamicSegLib.backends.base import Deferred
from DynamicSegLib.backends.openvino_backend import OpenvinoBackend
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.errors import BackendError
from DynamicSegLib.networks.classes import ClassesOnly
from DynamicSegLib.networks.decision import DecisionNetwork
from DynamicSegLib.networks.padding import PaddedNetwork
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.networks.windows import SlidingWindow

SIZE = (28, 36)
SLICES = np.random.default_rng(0).normal(size=(5, 4, *SIZE)).astype(np.float32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path))
    return tmp_path / "cache" / "openvino"


def tiny(network: str = "unet2d", **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    built = build_network(network, {"in_channels": 4, "out_channels": 4, "base": 4, **arguments})
    for module in built.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.3)
    return built


class Baked(nn.Module):
    """Multiplies with the number of columns, as Python knows it."""

    divisor = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.linspace(-1, 1, int(x.shape[-1]))


def deferred(counter: list[int], key: str = "tiny") -> Deferred:
    def build() -> nn.Module:
        counter.append(1)
        torch.manual_seed(0)
        return ClassesOnly(nn.Conv2d(4, 4, 3, padding=1))

    return Deferred(build, key)


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(lambda: PaddedNetwork(tiny()), id="unet"),
        pytest.param(lambda: PaddedNetwork(tiny("transbts2d", layers=1, size=32)), id="transformer"),
        pytest.param(lambda: SlidingWindow(tiny(), 16), id="windows"),
    ],
)
def test_openvino_gives_the_classes_that_torch_gives(module: object) -> None:
    network = ClassesOnly(module())  # type: ignore[operator]
    (expected,) = TorchBackend("cpu", "fp32", "").compile(network, 4, SIZE)(SLICES)
    (actual,) = OpenvinoBackend("fp32", "").compile(network, 4, SIZE)(SLICES)
    assert actual.dtype == np.uint8
    assert len(np.unique(expected)) > 1
    assert (actual == expected).mean() > 0.999


def test_the_decision_network_says_the_same_under_both_backends() -> None:
    torch.manual_seed(0)
    network = DecisionNetwork("shufflenetv2-m", 2, 4)
    for head in (network.backbone.classifier, network.quality, network.area):
        nn.init.normal_(head.weight, std=3.0)
    expected = TorchBackend("cpu", "fp32", "").compile(network, 4, SIZE)(SLICES)
    actual = OpenvinoBackend("fp32", "").compile(network, 4, SIZE)(SLICES)
    assert [part.shape for part in actual] == [(5, 3), (5, 2), (5,)]
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_bf16_differs_from_fp32_by_rounding_only() -> None:
    network = ClassesOnly(PaddedNetwork(tiny()))
    (exact,) = OpenvinoBackend("fp32", "").compile(network, 4, SIZE)(SLICES)
    (rounded,) = OpenvinoBackend("bf16", "").compile(network, 4, SIZE)(SLICES)
    assert (exact == rounded).mean() > 0.95


def test_int8_of_a_network_that_was_not_quantised_is_refused() -> None:
    with pytest.raises(BackendError, match="not quantised to int8: choose fp32 or bf16"):
        OpenvinoBackend("int8", "").compile(deferred([]), 4, SIZE)


def test_a_slice_gets_the_same_classes_whatever_runs_beside_it() -> None:
    run = OpenvinoBackend("fp32", "").compile(ClassesOnly(PaddedNetwork(tiny())), 4, SIZE)
    (together,) = run(SLICES)
    np.testing.assert_array_equal(together, np.concatenate([run(SLICES[i : i + 1])[0] for i in range(5)]))


def test_no_slices_give_no_classes() -> None:
    run = OpenvinoBackend("fp32", "").compile(ClassesOnly(PaddedNetwork(tiny())), 4, SIZE)
    assert run(SLICES[:0])[0].shape == (0, *SIZE)


def test_the_second_process_finds_the_compiled_model_and_builds_nothing(own_cache: Path) -> None:
    built: list[int] = []
    (first,) = OpenvinoBackend("fp32", "").compile(deferred(built), 4, SIZE)(SLICES)
    (second,) = OpenvinoBackend("fp32", "").compile(deferred(built), 4, SIZE)(SLICES)
    assert len(built) == 1
    assert len(list(own_cache.glob("*.blob"))) == 1
    np.testing.assert_array_equal(first, second)


def test_other_weights_another_size_and_another_precision_are_compiled_anew() -> None:
    built: list[int] = []
    OpenvinoBackend("fp32", "").compile(deferred(built), 4, SIZE)
    OpenvinoBackend("fp32", "").compile(deferred(built, "other weights"), 4, SIZE)
    OpenvinoBackend("fp32", "").compile(deferred(built), 4, (32, 32))
    OpenvinoBackend("bf16", "").compile(deferred(built), 4, SIZE)
    assert len(built) == 4


@pytest.mark.parametrize(
    ("network", "times"),
    [
        pytest.param(lambda: tiny(), 1, id="a unet is converted once for all sizes"),
        pytest.param(lambda: tiny("transbts2d", layers=1, size=32), 1, id="a position table is interpolated anew"),
        pytest.param(lambda: Baked(), 2, id="a size that is written into a network is its only one"),
    ],
)
def test_another_size_of_a_kept_network_computes_what_torch_computes(network: object, times: int) -> None:
    built: list[int] = []

    def build() -> nn.Module:
        built.append(1)
        return ClassesOnly(PaddedNetwork(network()))  # type: ignore[operator]

    for size in ((24, 40), (48, 32)):
        slices = np.random.default_rng(0).normal(size=(2, 4, *size)).astype(np.float32)
        (found,) = OpenvinoBackend("fp32", "").compile(Deferred(build, "kept"), 4, size)(slices)
        (expected,) = TorchBackend("cpu", "fp32", "").compile(ClassesOnly(PaddedNetwork(network())), 4, size)(slices)  # type: ignore[operator]
        assert found.shape == (2, *size)
        assert (found == expected).mean() > 0.999
    assert len(built) == times


def test_a_network_without_a_key_is_not_kept(own_cache: Path) -> None:
    built: list[int] = []
    OpenvinoBackend("fp32", "").compile(deferred(built, ""), 4, SIZE)
    assert built and not own_cache.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:1000], id="cut short"),
        pytest.param(lambda content: content[:-1] + bytes([content[-1] ^ 1]), id="one bit flipped"),
        pytest.param(lambda _: b"", id="empty"),
    ],
)
def test_a_damaged_compiled_model_is_made_anew(own_cache: Path, damage: object) -> None:
    built: list[int] = []
    (expected,) = OpenvinoBackend("fp32", "").compile(deferred(built), 4, SIZE)(SLICES)
    (blob,) = own_cache.glob("*.blob")
    whole = blob.read_bytes()
    blob.write_bytes(damage(whole))  # type: ignore[operator]
    (actual,) = OpenvinoBackend("fp32", "").compile(deferred(built), 4, SIZE)(SLICES)
    assert len(built) == 2
    np.testing.assert_array_equal(actual, expected)
    assert len(list(own_cache.glob("*.blob"))) == 1


def test_a_model_that_openvino_does_not_accept_is_made_anew(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    backend = OpenvinoBackend("fp32", "")
    backend.compile(deferred(built), 4, SIZE)
    (blob,) = own_cache.glob("*.blob")
    blob.unlink()
    circumstances = blob.name.partition("-")[0]
    content = b"written by another build"
    (own_cache / f"{circumstances}-{hashlib.sha256(content).hexdigest()}.blob").write_bytes(content)
    backend.compile(deferred(built), 4, SIZE)
    assert len(built) == 2


def test_an_unknown_precision_is_refused_by_name() -> None:
    with pytest.raises(BackendError, match=r"Precision 'fp64' is unknown to openvino: expected fp32"):
        OpenvinoBackend("fp64", "")


def test_a_network_that_cannot_be_converted_says_so_and_names_the_way_out() -> None:
    class DataDependent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if float(x.sum()) > 0 else x

    with pytest.raises(BackendError, match=r"OpenVINO cannot run DataDependent \(.+\): pass --backend torch"):
        OpenvinoBackend("fp32", "").compile(DataDependent(), 4, SIZE)


def test_conversion_does_not_import_what_reports_over_the_network() -> None:
    source = Path(openvino_backend.__file__).read_text(encoding="utf-8")
    assert "convert_model(" not in source.replace("`openvino.convert_model`", "")


def test_nothing_is_reported_to_the_makers_of_openvino(tmp_path: Path) -> None:
    """Telemetry would leave a client's number in the home folder; it is off by itself where it sees a CI or a test."""
    program = "import DynamicSegLib.backends.openvino_models as models; models.core()"
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    homes = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA"), str(tmp_path))
    subprocess.run([sys.executable, "-c", program], check=True, env=kept | homes)
    assert list(tmp_path.rglob("*")) == []
