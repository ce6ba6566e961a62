"""Torch, the reference backend: CPU or CUDA."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import BackendFacts, Compiled, Deferred
from DynamicSegLib.errors import BackendError
from DynamicSegLib.threads import apply_to_torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchBackend:
    """Runs modules eagerly, in channels-last layout and without gradients.

    Parameters
    ----------
    device: `cpu`, `cuda` or `cuda:N`.
    precision: `fp32` (on a GPU too: no TF32) or `bf16` (autocast).

    Raises
    ------
    BackendError: CUDA was asked for and is not there, or not that often, or an unknown precision.
    """

    def __init__(self, device: str, precision: str, reason: str) -> None:
        import torch

        if device.startswith("cuda"):
            _require_cuda(device)
        if precision not in ("fp32", "bf16"):
            raise BackendError(f"Precision {precision!r} is unknown to torch: expected fp32 or bf16.")
        apply_to_torch()
        self._device = torch.device(device)
        self._bf16 = precision == "bf16"
        self.facts = BackendFacts("torch", device, precision, reason)
        self.batch = 32 if self._device.type == "cuda" else 4
        self.side_by_side = 4 if self._device.type == "cuda" else 1

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
            with (
                torch.inference_mode(),
                torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16),
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            ):
                out = module(x)
            parts: tuple[Tensor, ...] = (out,) if isinstance(out, torch.Tensor) else tuple(out)
            return tuple(part.float() if part.is_floating_point() else part for part in parts)

        def run(slices: NDArray[np.float32]) -> tuple[NDArray[np.generic], ...]:
            x = torch.from_numpy(np.ascontiguousarray(slices)).to(self._device, memory_format=torch.channels_last)
            return tuple(part.cpu().numpy() for part in forward(x))

        if self._device.type == "cuda":
            # Loading a GPU's kernels takes longer than a case; what runs later is timed.
            run(np.zeros((1, channels, *size), np.float32))
        return run


def _require_cuda(device: str) -> None:
    """BackendError where torch cannot use this CUDA device (`cuda` or `cuda:N`)."""
    import torch

    if not torch.cuda.is_available():
        raise BackendError(f"Device {device!r} was asked for, but torch {torch.__version__} sees no CUDA device.")
    _, _, index = device.partition(":")
    if device != "cuda" and not (index.isdecimal() and int(index) < torch.cuda.device_count()):
        raise BackendError(
            f"Device {device!r} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices: "
            "expected cuda or cuda:N, counted from 0."
        )
