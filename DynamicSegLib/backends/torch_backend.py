"""Torch, the reference backend: CPU or CUDA."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import BackendFacts, Compiled, Deferred
from DynamicSegLib.errors import BackendError
from DynamicSegLib.threads import apply_to_torch

if TYPE_CHECKING:
    from torch import nn


class TorchBackend:
    """Runs modules eagerly, in channels-last layout and without gradients.

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

    def compile(self, network: "nn.Module | Deferred", channels: int, size: tuple[int, int]) -> Compiled:
        """See `Backend`; nothing is kept between processes."""
        import torch

        module = network.build() if isinstance(network, Deferred) else network
        module = module.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        def run(slices: NDArray[np.float32]) -> tuple[NDArray[np.generic], ...]:
            x = torch.from_numpy(np.ascontiguousarray(slices)).to(self._device, memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                out = module(x)
            parts: tuple[torch.Tensor, ...] = (out,) if isinstance(out, torch.Tensor) else tuple(out)
            return tuple((part.float() if part.is_floating_point() else part).cpu().numpy() for part in parts)

        return run
