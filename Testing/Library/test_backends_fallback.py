"""A network that the preferred backend refuses runs on the other one, and the reason says so."""

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from DynamicSegLib.backends import choice, openvino_models
from DynamicSegLib.backends.base import BackendFacts, Compiled, Deferred, UnsupportedNetworkError
from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.backends.fallback import FallbackBackend
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.networks.classes import ClassesOnly
from DynamicSegLib.networks.padding import PaddedNetwork


class Picky:
    """Takes everything but networks of one class."""

    facts = BackendFacts("picky", "cpu", "bf16", "liked")
    batch = 3
    side_by_side = 2

    def compile(self, network: nn.Module | Deferred, channels: int, size: tuple[int, int]) -> Compiled:
        if isinstance(network, nn.Sigmoid):
            raise UnsupportedNetworkError("picky cannot run Sigmoid (too curved)")
        return lambda slices: (slices + 1,)


class DataDependent(nn.Module):
    """The number of passes depends on the values: no graph can be made of it."""

    divisor = 1

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(x.abs().max().item()) + 1):
            x = x + 1
        return x


def test_only_what_is_refused_runs_elsewhere_and_is_named_once() -> None:
    backend = FallbackBackend(Picky(), lambda: TorchBackend("cpu", "fp32", ""))
    zeros = np.zeros((2, 1, 4, 4), np.float32)
    assert backend.facts.reason == "liked"
    (plus_one,) = backend.compile(nn.Identity(), 1, (4, 4))(zeros)
    assert backend.facts.reason == "liked" and (plus_one == 1).all()
    for _ in range(2):
        (halves,) = backend.compile(nn.Sigmoid(), 1, (4, 4))(zeros)
        assert (halves == 0.5).all()
    assert backend.facts.reason == "liked; picky cannot run Sigmoid (too curved), so torch runs it"
    assert (backend.facts.name, backend.facts.precision) == ("picky", "bf16")
    assert (backend.batch, backend.side_by_side) == (3, 2)


@pytest.mark.skipif(not openvino_models.is_installed(), reason="openvino is not installed")
def test_auto_runs_with_torch_what_openvino_cannot_and_openvino_by_name_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path))
    monkeypatch.setattr(choice, "openvino_is_installed", lambda: True)
    monkeypatch.setattr(choice, "_cuda_device", lambda: None)
    slices = np.full((1, 2, 8, 8), 1.5, np.float32)
    network = ClassesOnly(PaddedNetwork(DataDependent()))
    backend = choose_backend("auto", "auto", "fp32")
    (classes,) = backend.compile(network, 2, (8, 8))(slices)
    assert classes.shape == (1, 8, 8)
    assert "OpenVINO cannot run DataDependent (" in backend.facts.reason
    assert backend.facts.reason.endswith("so torch runs it") and backend.facts.name == "openvino"
    with pytest.raises(UnsupportedNetworkError, match="pass --backend torch"):
        choose_backend("openvino", "cpu", "fp32").compile(network, 2, (8, 8))
