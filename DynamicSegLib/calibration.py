"""What a slice takes in milliseconds, by option, on this machine: measured once, kept, and corrected by real runs."""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from DynamicSegLib.backends.base import BackendFacts
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.files import keep_text
from DynamicSegLib.resources import cache_folder
from DynamicSegLib.threads import thread_count

# Weight of one observed full batch against what was known: noise averages out, slowness is noticed in a run or two.
_LEARNING_RATE = 0.1


@dataclass
class Calibration:
    """Milliseconds a slice, by candidate (skip takes none), for one bundle, backend, device, size, setting and batch.

    `path` is the file that keeps them between runs; nothing is kept where it is None.
    """

    candidates: int
    path: Path | None = None
    milliseconds: list[float] = field(default_factory=list)

    @classmethod
    def load(
        cls, bundle: Bundle, facts: BackendFacts, size: tuple[int, int], setting: str, batch: int
    ) -> "Calibration":
        """The calibration kept for these circumstances, or an empty one; an unreadable file counts as none."""
        machine = [platform.node(), thread_count()]
        words = [bundle.checksum, facts.name, facts.device, facts.precision, size, setting, batch, *machine]
        key = hashlib.sha256(repr(words).encode()).hexdigest()[:16]
        path = cache_folder() / "calibration" / f"{key}.json" if bundle.checksum else None
        count = len(bundle.bank.candidates)
        try:
            known = json.loads(path.read_text(encoding="utf-8")) if path is not None else []
        except (OSError, ValueError):
            known = []
        valid = isinstance(known, list) and len(known) == count and all(isinstance(ms, float) for ms in known)
        return cls(count, path, known if valid else [])

    @property
    def known(self) -> bool:
        return len(self.milliseconds) == self.candidates

    def measure(self, milliseconds_of: Callable[[int], float]) -> None:
        """Measure every candidate with `milliseconds_of(option)`, and keep the result."""
        self.milliseconds = [milliseconds_of(option) for option in range(1, self.candidates + 1)]
        self.save()

    def observe(self, option: int, milliseconds: float, fullness: float) -> None:
        """Learn from a batch that really ran: `milliseconds` a slice of `option`; one that was not full counts less."""
        if self.known:
            weight = _LEARNING_RATE * fullness
            self.milliseconds[option - 1] += weight * (milliseconds - self.milliseconds[option - 1])

    def save(self) -> None:
        """Keep what is known for the next run."""
        if self.path is not None and self.known:
            keep_text(self.path, json.dumps(self.milliseconds) + "\n")
