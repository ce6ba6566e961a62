"""A backend that hands networks which it cannot run to another one, and says so."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from DynamicSegLib.backends.base import Backend, BackendFacts, Compiled, Deferred, UnsupportedNetworkError

if TYPE_CHECKING:
    from torch import nn


class FallbackBackend:
    """What `auto` runs: the preferred backend, and for each network that it refuses the other one.

    Parameters
    ----------
    other: makes the other backend, when it is needed first.
    """

    def __init__(self, preferred: Backend, other: Callable[[], Backend]) -> None:
        self._preferred, self._make_other = preferred, other
        self._other: Backend | None = None
        self._refused: dict[str, None] = {}  # in the order of their coming

    @property
    def facts(self) -> BackendFacts:
        """The preferred backend's; the reason ends with the networks that the other one runs."""
        facts = self._preferred.facts
        return replace(facts, reason="; ".join([facts.reason, *self._refused]))

    @property
    def batch(self) -> int:
        """See `Backend`."""
        return self._preferred.batch

    @property
    def side_by_side(self) -> int:
        """See `Backend`."""
        return self._preferred.side_by_side

    def compile(self, network: "nn.Module | Deferred", channels: int, size: tuple[int, int]) -> Compiled:
        """See `Backend`."""
        try:
            return self._preferred.compile(network, channels, size)
        except UnsupportedNetworkError as error:
            self._other = self._other or self._make_other()
            self._refused[f"{error.reason}, so {self._other.facts.name} runs it"] = None
            return self._other.compile(network, channels, size)
