"""The published way of running a bank: torch eager, one slice after the other, logits to the CPU, argmax there."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import BackendFacts, Compiled, Deferred

if TYPE_CHECKING:
    from torch import nn


class PublishedBackend:
    """A backend that does what the papers' evaluation scripts do: the yardstick, not a choice for users."""

    facts = BackendFacts("torch-eager-one-slice", "cpu", "fp32", "the published way, for comparison")
    batch = side_by_side = 1

    def compile(self, network: "nn.Module | Deferred", channels: int, size: tuple[int, int]) -> Compiled:
        """See `Backend`."""
        import torch

        from DynamicSegLib.networks.classes import ClassesOnly

        module = network.build() if isinstance(network, Deferred) else network
        wants_classes = isinstance(module, ClassesOnly)
        bare: nn.Module = module.get_submodule("network") if wants_classes else module
        bare.eval()

        def one(plane: NDArray[np.float32]) -> tuple[NDArray[np.generic], ...]:
            with torch.no_grad():
                out = bare(torch.from_numpy(plane[None].copy()))
            parts = (out,) if isinstance(out, torch.Tensor) else tuple(out)
            arrays = tuple(part.numpy() for part in parts)
            return (arrays[0].argmax(axis=1).astype(np.uint8),) if wants_classes else arrays

        def run(slices: NDArray[np.float32]) -> tuple[NDArray[np.generic], ...]:
            return tuple(np.concatenate(parts) for parts in zip(*map(one, slices), strict=True))

        return run
