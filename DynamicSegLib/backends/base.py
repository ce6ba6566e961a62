"""What the engine asks of a backend."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.errors import BackendError

if TYPE_CHECKING:
    from torch import nn

Compiled = Callable[[NDArray[np.float32]], tuple[NDArray[np.generic], ...]]
"""Float32 `[n, channel, row, column]`, `n` of any size, to the network's outputs."""


class UnsupportedNetworkError(BackendError):
    """A backend cannot run a network. `reason` says which and why, without what to do next."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}: pass --backend torch.")
        self.reason = reason


@dataclass(frozen=True)
class Deferred:
    """A network that is built only where no compiled model of it is kept.

    build: makes it, weights included.
    key: names what `build` makes, weights included, so that its compiled model can be kept; empty where nothing does.
    int8: the same network as an OpenVINO model in 8 bits (.xml), where there is one.
    """

    build: Callable[[], "nn.Module"]
    key: str = ""
    int8: Path | None = None


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

    @property
    def side_by_side(self) -> int:
        """Slices that run side by side: the smallest batch that leaves no part of the machine idle."""
        ...

    def compile(self, network: "nn.Module | Deferred", channels: int, size: tuple[int, int]) -> Compiled:
        """Make a network ready for inputs of `channels` and `size` (rows, columns).

        Wrapped in `networks.classes.ClassesOnly` it returns class indices, uint8 `[n, row, column]`, not logits.

        Raises
        ------
        UnsupportedNetworkError: this backend lacks something that the network needs.
        """
        ...
