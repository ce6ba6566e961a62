"""The query table of a slimmable network: what each configuration reaches and costs, and which one a budget buys.

Source: MutualNet (ECCV 2020) and lecture 12: deploy one model and its table; choose by FLOPs or latency.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.budget import Budget, Unit, rounded_up
from DynamicSegLib.errors import BudgetError


@dataclass(frozen=True)
class QueryRow:
    """One configuration.

    Parameters
    ----------
    name, width, resolution: as in `networks.slimmable.Configuration`.
    macs, paper_flops: of one slice at the working size; two units of cost as in `cost.py`.
    dice, hd95_mm: cross-validated means by structure; distances are empty where they were not measured.
    milliseconds: of one slice at the working size on the machine of the table; None where not measured.
    present: mean Dice by structure over the cases that have it; empty where that was not told apart.
    """

    name: str
    width: float
    resolution: int | None
    macs: int
    paper_flops: int
    dice: Mapping[str, float]
    hd95_mm: Mapping[str, float] = field(default_factory=dict)
    milliseconds: float | None = None
    present: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the structures, 0..1, by the challenges' rule for what a case lacks."""
        return float(np.mean(list(self.dice.values())))

    @property
    def quality(self) -> float:
        """By which rows are chosen, 0..1: mean Dice over the structures, each where it is present.

        Where a structure is absent the challenges give 1 or 0 for some voxels more or less, and a few such cases decide
        which of two configurations looks better.
        """
        return float(np.mean(list((self.present or self.dice).values())))


def to_plain(rows: Iterable[QueryRow]) -> list[dict[str, Any]]:
    """Rows as JSON has them."""
    return [asdict(row) for row in rows]


def from_plain(rows: Iterable[Mapping[str, Any]]) -> tuple[QueryRow, ...]:
    """Rows from what `to_plain` gave."""
    return tuple(QueryRow(**row) for row in rows)


def pareto_front(
    rows: Iterable[QueryRow],
    cost: Callable[[QueryRow], float] = lambda row: row.macs,
    value: Callable[[QueryRow], float] = lambda row: row.quality,
) -> tuple[QueryRow, ...]:
    """The rows that no other row beats: by rising cost, each of higher value than every cheaper one."""
    front: list[QueryRow] = []
    for row in sorted(rows, key=lambda row: (cost(row), -value(row))):
        if not front or value(row) > value(front[-1]):
            front.append(row)
    return tuple(front)


def spread(front: Sequence[QueryRow], count: int) -> tuple[QueryRow, ...]:
    """At most `count` rows of a front, both ends among them, as evenly apart in log(macs) as it has them."""
    if count >= len(front):
        return tuple(front)
    place = np.log([row.macs for row in front])
    chosen = {int(np.abs(place - target).argmin()) for target in np.linspace(place[0], place[-1], count)}
    return tuple(front[index] for index in sorted(chosen))


def choose(rows: Sequence[QueryRow], budget: Budget, slices: int) -> QueryRow:
    """The best configuration that runs on all `slices` of a volume within a budget; the cheapest of equals.

    Parameters
    ----------
    budget: in multiply-accumulates, as a share of the costliest row, or in seconds on the table's machine.

    Raises
    ------
    BudgetError: even the cheapest row costs more; the message names the smallest budget possible. Or the budget is in
        seconds, and the table has none.
    """
    if budget.unit is Unit.SECONDS:
        return _choose_by_seconds(rows, budget.value, slices)
    costs = [row.macs * slices for row in rows]
    limit = budget.macs(slices, max(row.macs for row in rows))
    fitting = [row for row, cost in zip(rows, costs, strict=True) if cost <= limit]
    if not fitting:
        raise BudgetError(
            f"A budget of {limit:,} multiply-accumulates is below what the cheapest configuration costs on {slices} "
            f"slices: the smallest budget possible is {min(costs):,}."
        )
    return best(fitting)


def best(rows: Iterable[QueryRow]) -> QueryRow:
    """The row of highest quality; the cheapest of equals."""
    return max(rows, key=lambda row: (row.quality, -row.macs))


def _choose_by_seconds(rows: Sequence[QueryRow], seconds: float, slices: int) -> QueryRow:
    timed = [(row, row.milliseconds * slices / 1000) for row in rows if row.milliseconds is not None]
    if not timed:
        raise BudgetError("The query table has no milliseconds: give the budget in multiply-accumulates or as a share.")
    fitting = [row for row, taken in timed if taken <= seconds]
    if not fitting:
        raise BudgetError(
            f"A budget of {seconds:g} s is below what the fastest configuration takes on {slices} slices: the smallest "
            f"budget possible is {rounded_up(min(taken for _, taken in timed))} s."
        )
    return best(fitting)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; equal values share their mean rank. Source: Spearman (1904)."""
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)
