"""The schedule of a run: learning rate and batch step by step, and when candidates are detached."""

from collections.abc import Sequence
from dataclasses import dataclass

from DynamicSegLib.errors import TrainingError


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then poly decay to zero at `steps`.

    Source: facts of the official code: poly power 0.9, one epoch of warm-up.
    """

    steps: int
    learning_rate: float
    warm_up_steps: int = 0
    power: float = 0.9

    def rate(self, step: int) -> float:
        """The learning rate of step `step` (0-based)."""
        warm = min(1.0, (step + 1) / (self.warm_up_steps + 1))
        return self.learning_rate * warm * (1 - min(step, self.steps) / self.steps) ** self.power


@dataclass(frozen=True)
class Detachment:
    """Candidates `names` stop learning at the fraction `at` of the schedule.

    Source: Med-DANet, Sec. 3.4: the small candidates are detached at three quarters, the large ones go on.
    """

    names: tuple[str, ...] = ()
    at: float = 0.75

    def learning(self, candidates: Sequence[str], step: int, steps: int) -> list[str]:
        """The candidates that still learn at `step`."""
        return [name for name in candidates if name not in self.names or step < self.at * steps]


@dataclass(frozen=True)
class ProgressiveResizing:
    """Small batches of small crops up to the fraction `until` of the schedule, then those of the run.

    Early steps learn what small crops show as well, several times faster.

    Parameters
    ----------
    size: in pixels (row, column), divisible by 8.
    """

    until: float
    size: tuple[int, int]
    batch: int

    def __post_init__(self) -> None:
        if not 0 < self.until < 1:
            raise TrainingError(f"progressive: until {self.until}: expected a fraction of the schedule, as 0.6.")
        if self.batch < 1:
            raise TrainingError(f"progressive: batch {self.batch}: expected 1 or more slices.")
        if any(side < 8 or side % 8 for side in self.size):
            raise TrainingError(f"progressive: size {self.size}: expected sides that are divisible by 8.")
