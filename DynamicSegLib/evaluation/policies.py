"""Ways to choose an option for each slice, compared on the same results: one candidate, dynamic, oracle, skip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.budget import Budget, plan_by_alpha, plan_within
from DynamicSegLib.cost import Cost
from DynamicSegLib.evaluation.choices import best_options
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.routing import Prediction
from DynamicSegLib.second_look import with_second_looks

DYNAMIC, ORACLE, SKIP_ONLY = "dynamic", "oracle", "skip only"


@dataclass(frozen=True)
class Prices:
    """What one slice costs: each option (skip first, free) and the router's look at it."""

    options: tuple[Cost, ...]
    router: Cost

    @property
    def macs(self) -> list[int]:
        return [cost.macs for cost in self.options]

    @property
    def paper_flops(self) -> list[int]:
        return [cost.paper_flops for cost in self.options]

    def of(self, options: NDArray[np.int64], routed: bool) -> Cost:
        """Cost of a plan over all its slices, with the router's where it was asked."""
        total = Cost()
        for option, slices in zip(*np.unique(options, return_counts=True), strict=True):
            total = total + self.options[int(option)].times(int(slices))
        return total + self.router.times(len(options)) if routed else total


def policies(
    prediction: Prediction, overlaps: Overlaps, prices: Prices, names: Sequence[str], alpha: float
) -> dict[str, NDArray[np.int64]]:
    """Options by policy, int64 `[slice]` each.

    `<candidate>`: that one on every slice. `dynamic`: the decision network's own choice (trained with `alpha`).
    `dynamic, alpha ...`: Eq. 4 on the predicted qualities. `skip, else <largest>`: its skips, the costliest candidate
    elsewhere. `oracle`: Eq. 4 with the true Dice. `skip only`: nothing is run (Med-DANet, Table 6).

    `names`: the candidates', in the bank's order.
    """
    slices = prediction.slices
    plans = {name: np.full(slices, index + 1, np.int64) for index, name in enumerate(names)}
    macs, flops = prices.macs, prices.paper_flops
    plans[DYNAMIC] = plan_by_alpha(prediction, flops, None, macs).options
    plans[f"dynamic, alpha {alpha:g}"] = plan_by_alpha(prediction, flops, alpha, macs).options
    costliest = int(np.argmax(macs))
    plans[f"skip, else {names[costliest - 1]}"] = np.where(prediction.choice == 0, 0, costliest).astype(np.int64)
    plans[ORACLE] = best_options(overlaps.slice_dice(), overlaps.foreground, flops[1:], alpha)
    plans[SKIP_ONLY] = np.zeros(slices, np.int64)
    return plans


def is_routed(policy: str, names: Sequence[str]) -> bool:
    """Whether the policy asks the router, whose cost then counts."""
    return policy not in (*names, ORACLE, SKIP_ONLY)


def compose(options: NDArray[np.int64], results: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The volume that a plan gives: uint8 `[slice, row, column]` from `results` `[candidate, slice, row, column]`."""
    volume = np.zeros(results.shape[1:], np.uint8)
    for index, option in enumerate(options):
        if option > 0:
            volume[index] = results[option - 1, index]
    return volume


def activation_ratio(plans: Sequence[NDArray[np.int64]], names: Sequence[str]) -> dict[str, float]:
    """Share of all slices that got each option (Med-DANet, Fig. 5)."""
    options = np.concatenate(list(plans))
    return {name: float((options == index).mean()) for index, name in enumerate(("skip", *names))}


class Reached(Protocol):
    """Anything that knows what plans reach on a case: `Overlaps`, or labels that are cleaned first."""

    def volume_dice(self, options: NDArray[np.int64]) -> dict[str, float]:
        """Dice of the volume that a plan gives (option 0 skips), by structure."""
        ...


@dataclass(frozen=True)
class CurveMeasurement:
    """One budget over several cases: `share` of the costliest candidate everywhere, mean macs a case, Dice promised and
    reached (mean over cases, by structure)."""

    share: float
    macs: float
    predicted: float
    measured: Mapping[str, float]


def measure_curve(
    predictions: Sequence[Prediction],
    results: Sequence[Reached],
    prices: Prices,
    shares: Sequence[float],
    second_look_mm2: float | None = None,
    found_mm2: Sequence[NDArray[np.float64]] = (),
) -> list[CurveMeasurement]:
    """Quality against cost: the plan within each budget, on every case; the router's cost is part of the budget.

    second_look_mm2, found_mm2: for second looks with what a plan leaves; see `second_look.with_second_looks`.
    """
    points = []
    for share in shares:
        macs, promised, reached = [], [], []
        for index, (prediction, measured) in enumerate(zip(predictions, results, strict=True)):
            budget = Budget.parse(f"{share * 100}%").macs(prediction.slices, max(prices.macs))
            left = budget - prices.router.macs * prediction.slices
            if left < 0:
                break
            plan = plan_within(prediction, prices.macs, left)
            options = plan.options
            if second_look_mm2 is not None:
                options = with_second_looks(options, found_mm2[index], second_look_mm2, prices.macs, left - plan.cost)
            macs.append(prices.of(options, routed=True).macs)
            promised.append(plan.quality)
            reached.append(measured.volume_dice(options))
        else:
            mean = {name: float(np.mean([dice[name] for dice in reached])) for name in reached[0]}
            points.append(CurveMeasurement(share, float(np.mean(macs)), float(np.mean(promised)), mean))
    return points
