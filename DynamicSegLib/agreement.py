"""Whether a lower precision is sound on this machine: how well its labels agree with float32's on slices of a study."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.execution import Execution
from DynamicSegLib.files import keep_text
from DynamicSegLib.resources import cache_folder

CHECK_SLICES = 6
FEWEST_PIXELS = 400
"""Of both results of a candidate together; with fewer a few pixels at a border would decide."""
_SEARCHED_SLICES = 24
_BATCH = 4


@dataclass(frozen=True)
class Agreement:
    """Agreement of two backends on the slices of a study that have most foreground.

    Parameters
    ----------
    slices: how many the study has.
    seen: what an option's candidate sees of slices, given as indices (see `Bank.seen`).
    candidates: how many the bank has.
    make_execution: the method's way to run options on a backend.
    key: names the weights (a bundle's checksum), so that the result can be kept; empty where nothing does.
    """

    slices: int
    seen: Callable[[int, NDArray[np.int64]], NDArray[np.float32]]
    candidates: int
    make_execution: Callable[[Backend], Execution]
    key: str

    def dice(self, exact: Backend, lower: Backend, machine: str) -> float | None:
        """The lowest Dice of any candidate's labels under `lower` against those under `exact`, all structures together.

        Measured once for a bundle and machine, then read from disk. None where too little is found to compare.
        """
        words = [self.key, exact.facts.name, lower.facts.precision, machine]
        path = cache_folder() / "agreement" / f"{hashlib.sha256(repr(words).encode()).hexdigest()[:32]}.json"
        if self.key and path.is_file():
            with suppress(OSError, ValueError, TypeError):  # unreadable: measured anew
                return float(json.loads(path.read_text(encoding="utf-8")))
        measured = self._measured(self.make_execution(exact), self.make_execution(lower))
        if self.key and measured is not None:
            keep_text(path, json.dumps(measured) + "\n")
        return measured

    def _measured(self, exact: Execution, lower: Execution) -> float | None:
        checked = self._check_slices(exact)
        if not checked.size:
            return None
        scores = []
        for option in range(1, self.candidates + 1):
            slices = self.seen(option, checked)
            found = _classes(exact, option, slices), _classes(lower, option, slices)
            if sum(map(np.count_nonzero, found)) >= FEWEST_PIXELS:
                scores.append(overlap(*found))
        return min(scores) if scores else None

    def _check_slices(self, exact: Execution) -> NDArray[np.int64]:
        """Those of slices evenly spread through the study on which the cheapest candidate finds most."""
        searched = np.unique(np.linspace(0, self.slices - 1, _SEARCHED_SLICES).round().astype(np.int64))
        classes = _classes(exact, 1, self.seen(1, searched))
        found = np.count_nonzero(classes, axis=(1, 2))
        most = np.argsort(-found, kind="stable")[:CHECK_SLICES]
        return np.sort(searched[most[found[most] > 0]])


def overlap(reference: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Dice of two class images over all foreground classes together; one of them has some."""
    sizes = np.count_nonzero(reference) + np.count_nonzero(other)
    return 2 * np.count_nonzero((reference == other) & (reference > 0)) / sizes


def _classes(execution: Execution, option: int, slices: NDArray[np.float32]) -> NDArray[np.uint8]:
    parts = [execution.run(option, slices[first : first + _BATCH]).classes for first in range(0, len(slices), _BATCH)]
    return np.concatenate(parts)
