"""What the engine asks of a backend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

Compiled = Callable[[NDArray[np.float32]], tuple[NDArray[np.generic], ...]]
"""Float32 `[n, channel, row, column]`, `n` of any size, to the network's outputs."""


@dataclass(frozen=True)
class BackendFacts:
    """What a backend is, for the summary: name, device, precision, and why they were chosen."""

    name: str
    device: str
    precision: str
    reason: str


class Backend(Protocol):
    """Turns torch modules into something that runs on arrays."""

    @property
    def facts(self) -> BackendFacts: ...

    @property
    def batch(self) -> int:
        """Slices of 240 x 240 pixels that are best run at once; memory grows with it."""
        ...

    def compile(self, module: "nn.Module", channels: int, size: tuple[int, int]) -> Compiled:
        """Make a module ready for inputs of `channels` and `size` (rows, columns).

        A segmentation module's logits come back as class indices, uint8 `[n, row, column]` (see `classes_only`).
        """
        ...
