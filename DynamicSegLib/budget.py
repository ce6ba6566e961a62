"""The budget and the plan: one option for each slice, the best that the budget can buy.

The volume's Dice is the mean of the slices' Dice weighted by their area (predicted and true pixels together), so what
an option is worth on a slice is `area x quality`. Maximising the sum under a budget is a multiple-choice knapsack.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.bundle import CurvePoint
from DynamicSegLib.errors import BudgetError
from DynamicSegLib.knapsack import best_options, hull_steps
from DynamicSegLib.routing import Prediction

CURVE_SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
# A slice with less predicted foreground (pixels) is not worth a run: its false positives weigh more.
SMALLEST_STAKE_PIXELS = 4.0

_MULTIPLES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MOST = 1e24  # of anything; more than any computer gives
_PATTERN = re.compile(r"^\s*([0-9.eE+-]+)\s*(%|[sKMGT]?)\s*$", re.IGNORECASE)


class Unit(str, Enum):
    """What a budget's number counts."""

    MACS = "macs"
    SHARE = "share"
    SECONDS = "seconds"


@dataclass(frozen=True)
class Budget:
    """What may be spent on one case, the router included.

    `value` is in multiply-accumulates, as a share (1.0 is the costliest candidate on every slice), or in seconds for
    routing and running on this machine.
    """

    value: float
    unit: Unit

    def __post_init__(self) -> None:
        if not 0 <= self.value <= _MOST:
            raise BudgetError(f"A budget of {self.value:g} {self.unit.value} is not between 0 and {_MOST:g}.")

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read `300G`, `40%` or `5s`.

        Raises
        ------
        BudgetError: none of the three, negative, or not finite.
        """
        match = _PATTERN.match(text)
        try:
            number = float(match.group(1)) if match else float("nan")
        except ValueError:
            number = float("nan")
        if match is None or not np.isfinite(number) or number < 0:
            raise BudgetError(
                f"Budget {text!r} cannot be read: expected multiply-accumulates (300G), a share of the costliest "
                "candidate on every slice (40%) or seconds (5s), not negative."
            )
        unit = match.group(2).upper()
        if unit == "%":
            return cls(number / 100, Unit.SHARE)
        if unit == "S":
            return cls(number, Unit.SECONDS)
        return cls(number * _MULTIPLES[unit], Unit.MACS)

    def macs(self, slices: int, costliest: int) -> int:
        """The budget in multiply-accumulates for a case; not for a budget in seconds."""
        if self.unit is Unit.SECONDS:
            raise BudgetError("A budget in seconds has no fixed number of multiply-accumulates.")
        return int(self.value if self.unit is Unit.MACS else self.value * slices * costliest)


def rounded_up(number: float) -> str:
    """Two decimals, never below the number: a smallest budget that is named must also be accepted."""
    return f"{math.ceil(100 * number) / 100:.2f}"


@dataclass(frozen=True)
class Plan:
    """One option a slice.

    Parameters
    ----------
    options: int64 `[slice]`.
    quality: predicted Dice of the whole segmentation, the area-weighted mean of the slices'.
    cost: of all options chosen, in the unit of the costs that the plan was made with, the router not included.
    gap: no plan within the budget has a predicted quality above `quality + gap`.
    pinned: slices whose option the user chose.
    seconds: the budget where it was given in seconds; the engine corrects such a plan on the way.
    budget: what `cost` may rise to; None where the plan has no budget, or one in seconds.
    """

    options: NDArray[np.int64]
    quality: float
    cost: int
    gap: float = 0.0
    pinned: frozenset[int] = frozenset()
    seconds: float | None = None
    budget: int | None = None


def plan_within(
    prediction: Prediction, costs: Sequence[int], budget: int, pins: Mapping[int, int] | None = None
) -> Plan:
    """The plan of highest predicted quality whose cost is at most `budget`.

    Parameters
    ----------
    prediction: of a router.
    costs: cost of each option on one slice, non-negative integers (macs, or microseconds); skip costs 0.
    budget: in the same unit, the router's cost already taken off.
    pins: option by slice, chosen by the user.

    Raises
    ------
    BudgetError: the budget is negative, or below the cost of the pinned slices.

    Notes
    -----
    Up to 100,000 combinations are tried one by one. Beyond that each slice's options are reduced to their convex hull
    of (cost, value), and the hull's steps of all slices are taken in the order of value per cost as long as they fit.
    That is the Lagrangian relaxation `max sum(value - multiplier x cost)`, the multiplier being the first step's
    value per cost that does not fit; its bound gives `gap`, which is below the value of that one step. A step that
    does not fit is worth more than anything its leftover can buy, so more budget never buys a worse plan.

    Source: Med-DANet, Eq. 4. Its `(1 - alpha) S + alpha softmax(1 / F)` is the same trade-off with a multiplier fixed
    before training: up to a constant a slice, `alpha / (1 - alpha) softmax(1 / F)` stands for `-multiplier x cost`.
    Deviation: weighted by the area at stake; a multiplier that follows from the budget instead of a fixed alpha.
    """
    values = _values(prediction)
    pinned = _checked_pins(prediction, pins)
    fixed = sum(int(costs[option]) for option in pinned.values())
    if budget < fixed:
        raise BudgetError(
            f"A budget of {budget:,} is below what "
            + (f"the pinned slices alone cost ({fixed:,})." if pinned else "any plan costs (0).")
            + " Raise the budget, or take pins away."
        )
    free = np.array([index for index in range(prediction.slices) if index not in pinned], np.int64)
    options = np.zeros(prediction.slices, np.int64)
    for index, option in pinned.items():
        options[index] = option
    options[free], gap = best_options(values[free], np.asarray(costs, np.int64), budget - fixed)
    total = float(prediction.area.sum(dtype=np.float64))
    return Plan(
        options,
        predicted_quality(prediction, options),
        int(np.asarray(costs, np.int64)[options].sum()),
        gap / total if total > 0 else 0.0,
        frozenset(pinned),
        budget=budget,
    )


def plan_by_alpha(
    prediction: Prediction,
    paper_flops: Sequence[int],
    alpha: float | None,
    costs: Sequence[int],
    pins: Mapping[int, int] | None = None,
) -> Plan:
    """The papers' rule, one slice at a time and without a budget.

    Parameters
    ----------
    paper_flops: of each option on one slice, skip first.
    alpha: weight of cost in Eq. 4, applied to the predicted qualities; None takes the decision network's own choice,
        which was trained with the bundle's alpha.
    costs, pins: as for `plan_within`.

    Raises
    ------
    BudgetError: alpha is not between 0 and 1, or a pin names no slice or option.

    Source: Med-DANet, Eq. 4, with softmax on F only (Table 4's final setting), F in G.
    """
    if alpha is None:
        options = prediction.choice.copy()
    else:
        if not 0 <= alpha <= 1:
            raise BudgetError(f"Alpha {alpha} is not between 0 and 1.")
        cheapness = 1 / (np.asarray(paper_flops[1:], np.float64) / 1e9)
        share = np.exp(cheapness - cheapness.max())
        scores = (1 - alpha) * prediction.quality[:, 1:] + alpha * share / share.sum()
        options = np.where(prediction.choice == 0, 0, scores.argmax(axis=1) + 1)
    pinned = _checked_pins(prediction, pins)
    for index, option in pinned.items():
        options[index] = option
    cost = int(np.asarray(costs, np.int64)[options].sum())
    return Plan(options, predicted_quality(prediction, options), cost, pinned=frozenset(pinned))


def _checked_pins(prediction: Prediction, pins: Mapping[int, int] | None) -> dict[int, int]:
    for index, option in (pins or {}).items():
        if not 0 <= index < prediction.slices or not 0 <= option < prediction.options:
            raise BudgetError(
                f"Option {option} cannot be pinned to slice {index}: there are {prediction.slices} slices and options "
                f"0 to {prediction.options - 1}."
            )
    return dict(pins or {})


def quality_cost_curve(
    prediction: Prediction, costs: Sequence[int], router_macs: int, shares: Sequence[float] = CURVE_SHARES
) -> tuple[CurvePoint, ...]:
    """What budgets from nothing to everything would buy, predicted: MutualNet's query table, for any router.

    Parameters
    ----------
    costs: macs of each option on one slice.
    router_macs: of the router on all slices; budgets below it give the point where only the router runs.
    shares: budgets, 1.0 being the costliest candidate on every slice.
    """
    full = max(costs) * prediction.slices
    points = []
    for share in shares:
        plan = plan_within(prediction, costs, max(0, int(share * full) - router_macs))
        points.append(CurvePoint(share, float(plan.cost + router_macs), plan.quality))
    return tuple(points)


def predicted_quality(prediction: Prediction, options: NDArray[np.int64]) -> float:
    """Dice that a plan promises for the whole volume: the slices' mean weighted by area; 1 if nothing is at stake."""
    total = float(prediction.area.sum(dtype=np.float64))
    if total <= 0:
        return 1.0
    quality = np.where(options > 0, prediction.quality[np.arange(prediction.slices), options], 0.0)
    return float((prediction.area.astype(np.float64) * quality).sum() / total)


@dataclass(frozen=True)
class Upgrade:
    """A worthwhile step of one slice to a better option. gain: pixels of overlap, predicted. first: from nothing."""

    slice: int
    option: int
    gain: float
    first: bool


def upgrades(prediction: Prediction, costs: Sequence[int]) -> list[Upgrade]:
    """All worthwhile steps in the order of predicted gain per extra cost; each slice's own steps ascend."""
    steps = hull_steps(_values(prediction), np.asarray(costs, np.int64))
    columns = zip(steps.index, steps.option, steps.gain, steps.before, strict=True)
    return [Upgrade(int(i), int(option), float(gain), bool(before == 0)) for i, option, gain, before in columns]


def _values(prediction: Prediction) -> NDArray[np.float64]:
    """What each option is worth on each slice, `[slice, option]`: pixels of overlap; skip is worth nothing."""
    area = np.where(prediction.area >= SMALLEST_STAKE_PIXELS, prediction.area, 0.0).astype(np.float64)
    values = area[:, None] * prediction.quality.astype(np.float64)
    values[:, 0] = 0.0
    return values
