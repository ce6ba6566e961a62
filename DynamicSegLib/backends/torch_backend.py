"""Torch, the reference backend: CPU or CUDA."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import BackendFacts, Compiled, Deferred
from DynamicSegLib.errors import BackendError
from DynamicSegLib.threads import apply_to_torch

if TYPE_CHECKING:
    from torch import Tensor, nn

_Forward = Callable[["Tensor"], "tuple[Tensor, ...]"]


class TorchBackend:
    """Runs modules in channels-last layout and without gradients: eagerly on a CPU, as CUDA graphs on a GPU.

    Parameters
    ----------
    device: `cpu`, `cuda` or `cuda:N`.
    precision: `fp32` or `bf16` (autocast).

    Raises
    ------
    BackendError: CUDA was asked for and is not there, or an unknown precision.
    """

    def __init__(self, device: str, precision: str, reason: str) -> None:
        import torch

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise BackendError(f"Device {device!r} was asked for, but torch {torch.__version__} sees no CUDA device.")
        if precision not in ("fp32", "bf16"):
            raise BackendError(f"Precision {precision!r} is unknown to torch: expected fp32 or bf16.")
        apply_to_torch()
        self._device = torch.device(device)
        self._bf16 = precision == "bf16"
        self.facts = BackendFacts("torch", device, precision, reason)
        self.batch = 32 if self._device.type == "cuda" else 4

    @property
    def device_name(self) -> str | None:
        """Name of a GPU that computes bf16 itself, and torch's version; None for any other device."""
        import torch

        if self._device.type != "cuda" or torch.cuda.get_device_capability(self._device) < (8, 0):
            return None
        return f"{torch.cuda.get_device_name(self._device)} {torch.__version__}"

    def compile(self, network: "nn.Module | Deferred", channels: int, size: tuple[int, int]) -> Compiled:
        """See `Backend`; nothing is kept between processes."""
        import torch

        module = network.build() if isinstance(network, Deferred) else network
        module = module.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        def forward(x: "Tensor") -> "tuple[Tensor, ...]":
            with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                out = module(x)
            parts: tuple[Tensor, ...] = (out,) if isinstance(out, torch.Tensor) else tuple(out)
            return tuple(part.float() if part.is_floating_point() else part for part in parts)

        compute = GraphReplay(forward, _captured) if self._device.type == "cuda" else forward

        def run(slices: NDArray[np.float32]) -> tuple[NDArray[np.generic], ...]:
            x = torch.from_numpy(np.ascontiguousarray(slices)).to(self._device, memory_format=torch.channels_last)
            return tuple(part.cpu().numpy() for part in compute(x))

        return run


class GraphReplay:
    """A function of batches that is recorded and replayed: small networks take a GPU less time than starting their
    kernels one by one.

    Batches of the largest size so far are replayed; smaller ones, such as a study's last, are computed as they are.

    Parameters
    ----------
    forward: the function.
    capture: records it for an example, and gives back what replays it on an input of the same shape.
    """

    def __init__(self, forward: _Forward, capture: "Callable[[_Forward, Tensor], _Forward]") -> None:
        self._forward, self._capture = forward, capture
        self._replay: _Forward | None = None
        self._shape: tuple[int, ...] = ()

    def __call__(self, x: "Tensor") -> "tuple[Tensor, ...]":
        shape = tuple(x.shape)
        if self._replay is None or shape > self._shape:
            self._replay, self._shape = self._capture(self._forward, x), shape
        return self._replay(x) if shape == self._shape else self._forward(x)


def _captured(forward: _Forward, example: "Tensor") -> _Forward:
    """A CUDA graph of `forward`: warmed up and recorded on a stream of its own, as torch asks for."""
    import torch

    given = example.clone()
    stream = torch.cuda.Stream(given.device)
    stream.wait_stream(torch.cuda.current_stream(given.device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            forward(given)
    torch.cuda.current_stream(given.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = forward(given)

    def replay(x: "Tensor") -> "tuple[Tensor, ...]":
        given.copy_(x)
        graph.replay()
        return results

    return replay
