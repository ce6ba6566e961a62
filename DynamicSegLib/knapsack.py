"""The multiple-choice knapsack behind the plan: one option a slice, the most value within a budget."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

# Up to this many combinations all are tried.
_EXHAUSTIVE = 100_000


@dataclass(frozen=True)
class Steps:
    """Steps along the slices' convex hulls, sorted by gain per cost, best first."""

    index: NDArray[np.int64]
    option: NDArray[np.int64]
    cost: NDArray[np.int64]
    gain: NDArray[np.float64]
    before: NDArray[np.int64]  # the option that the step starts from


def hull_steps(values: NDArray[np.float64], costs: NDArray[np.int64]) -> Steps:
    """The steps of every slice along its convex hull of (cost, value), from option 0 upwards.

    Parameters
    ----------
    values: float64 `[slice, option]`. costs: int64 `[option]`; option 0 is free and worth nothing.
    """
    slices, count = values.shape
    rows = np.arange(slices)
    current = np.zeros(slices, np.int64)
    parts: list[tuple[NDArray[np.int64], ...]] = []
    ratios: list[NDArray[np.float64]] = []
    gains: list[NDArray[np.float64]] = []
    for _ in range(count - 1):
        extra = costs[None, :] - costs[current][:, None]
        gain = values - values[rows, current][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where((extra > 0) & (gain > 0), gain / extra, np.where((extra <= 0) & (gain > 0), np.inf, 0.0))
        best = ratio.argmax(axis=1)
        moving = np.flatnonzero(ratio[rows, best] > 0)
        if not moving.size:
            break
        target = best[moving]
        parts.append((moving, target, extra[moving, target], current[moving]))
        ratios.append(ratio[moving, target])
        gains.append(gain[moving, target])
        current[moving] = target
    if not parts:
        none = np.zeros(0, np.int64)
        return Steps(none, none, none, np.zeros(0), none)
    index, option, cost, before = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-np.concatenate(ratios), kind="stable")
    return Steps(index[order], option[order], cost[order], np.concatenate(gains)[order], before[order])


def best_options(values: NDArray[np.float64], costs: NDArray[np.int64], budget: int) -> tuple[NDArray[np.int64], float]:
    """One option a slice, int64 `[slice]`, of the highest total value within the budget, and the gap to the optimum.

    No choice within the budget is worth more than the one returned plus the gap; see `budget.plan_within`.
    """
    slices, count = values.shape
    if slices and count**slices <= _EXHAUSTIVE:
        return _exhaustive(values, costs, budget), 0.0
    steps = hull_steps(values, costs)
    chosen = np.zeros(slices, np.int64)
    # All steps up to the first that does not fit at once, the rest one by one.
    too_dear = np.flatnonzero(np.cumsum(steps.cost) > budget)
    prefix = int(too_dear[0]) if too_dear.size else len(steps.cost)
    chosen[steps.index[:prefix]] = steps.option[:prefix]
    left = budget - int(steps.cost[:prefix].sum())
    bound = float(steps.gain[prefix] / steps.cost[prefix]) * left if too_dear.size else 0.0
    bought = 0.0
    for place in range(prefix, len(steps.cost)):
        index = steps.index[place]
        if steps.cost[place] <= left and chosen[index] == steps.before[place]:
            chosen[index] = steps.option[place]
            left -= int(steps.cost[place])
            bought += float(steps.gain[place])
    return chosen, max(0.0, bound - bought)


def _exhaustive(values: NDArray[np.float64], costs: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    slices, count = values.shape
    combinations = np.array(list(product(range(count), repeat=slices)), np.int64)
    spent = costs[combinations].sum(axis=1)
    worth = values[np.arange(slices), combinations].sum(axis=1)
    worth[spent > budget] = -np.inf
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    return combinations[best[spent[best].argmin()]]
