"""What runs an option on slices: by default each candidate as one compiled network; a method may bring its own way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import Backend, Compiled, Deferred
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cost import Cost

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Outcome:
    """What an option gave on `n` slices.

    Parameters
    ----------
    classes: uint8 `[n, row, column]`, class indices.
    costs: of each slice where it depends on the slice, never above the option's cost in the bank; empty where it is
        the option's.
    extras: of each slice, what the method adds to its decision (crop box, bits); empty where it adds nothing.
    """

    classes: NDArray[np.uint8]
    costs: tuple[Cost, ...] = ()
    extras: tuple[Mapping[str, Any], ...] = ()


class Execution(Protocol):
    """Anything that runs options on slices."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the summary says of how it ran, besides the backend's facts."""
        ...

    def prepare(self, option: int) -> None:
        """Make an option ready to run; compiling takes seconds once, which are not the slices'."""
        ...

    def run(self, option: int, slices: NDArray[np.float32]) -> Outcome:
        """Run one option, 1 or above, on slices as it sees them (`Bank.seen`): float32 `[n, channel, row, column]`."""
        ...


@dataclass
class CandidateExecution:
    """Every candidate is one network that the backend compiles when it is first needed."""

    bundle: Bundle
    backend: Backend
    size: tuple[int, int]
    setting: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    _compiled: dict[int, Compiled] = field(default_factory=dict)

    def prepare(self, option: int) -> None:
        """See `Execution`."""
        if option not in self._compiled:
            name = self.bundle.bank.options[option]
            key = f"{self.bundle.checksum} {name} {self.setting}" if self.bundle.checksum else ""
            network = Deferred(lambda: self._network(option), key, self.bundle.int8.get(name))
            self._compiled[option] = self.backend.compile(network, self.bundle.bank.channels_of(option), self.size)

    def _network(self, option: int) -> "nn.Module":
        from DynamicSegLib.networks.classes import ClassesOnly

        return ClassesOnly(self.bundle.bank.candidates[option - 1].build(self.setting))

    def run(self, option: int, slices: NDArray[np.float32]) -> Outcome:
        """See `Execution`."""
        self.prepare(option)
        (classes,) = self._compiled[option](slices)
        return Outcome(classes.astype(np.uint8, copy=False))
