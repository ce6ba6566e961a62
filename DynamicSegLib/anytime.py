"""Anytime segmentation: an answer at once, then better ones until the budget or the user ends it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.budget import Budget, Plan, Unit, Upgrade, predicted_quality, upgrades
from DynamicSegLib.engine import Run, Step
from DynamicSegLib.errors import BudgetError
from DynamicSegLib.routing import Prediction


def improve(run: Run, budget: Budget | None = None) -> Iterator[Step]:
    """Run every slice at stake with its cheapest worthwhile option first, then upgrade slices by predicted gain.

    Second looks (see `Run.execute`) come last. After each step the run holds a valid segmentation; stop iterating to
    keep it. All work counts against the budget, results that are replaced later included, so that what is spent never
    exceeds it.

    Parameters
    ----------
    budget: in macs or as a share; None goes on until no upgrade promises anything.

    Raises
    ------
    BudgetError: the budget is in seconds (stop iterating instead), or below the router's cost.
    """
    prediction, costs = run.route(), [cost.macs for cost in run.costs]
    left = _left(run, budget)
    options = np.zeros(run.study.slices, np.int64)
    steps = upgrades(prediction, costs)
    first = sorted((step for step in steps if step.first), key=lambda step: step.option)
    later = sorted((step for step in steps if not step.first), key=lambda step: -step.gain / costs[step.option])
    for queue in (first, later):
        while queue:
            batch = _next_batch(queue, run.batch)
            queue = [step for step in queue if step not in batch]
            affordable = len(batch) if left is None else min(len(batch), left // costs[batch[0].option])
            chosen = [step for step in batch[:affordable] if step.option > options[step.slice]]
            if not chosen:
                continue
            options[[step.slice for step in chosen]] = batch[0].option
            if left is not None:
                left -= len(chosen) * costs[batch[0].option]
            yield from run.execute(_plan(prediction, options, costs, 0))
    yield from run.execute(_plan(prediction, options, costs, left))


def _plan(prediction: Prediction, options: NDArray[np.int64], costs: list[int], left: int | None) -> Plan:
    """`left`: for second looks; None where they may cost what they will."""
    cost = sum(costs[option] for option in options)
    quality = predicted_quality(prediction, options)
    return Plan(options.copy(), quality, cost, budget=None if left is None else cost + left)


def _next_batch(queue: list[Upgrade], size: int) -> list[Upgrade]:
    return [step for step in queue if step.option == queue[0].option][:size]


def _left(run: Run, budget: Budget | None) -> int | None:
    if budget is None:
        return None
    if budget.unit is Unit.SECONDS:
        raise BudgetError("Anytime mode takes no budget in seconds: stop it when the time is over.")
    asked = budget.macs(run.study.slices, max(cost.macs for cost in run.costs))
    run.plan(budget)  # refuses a budget below the router's cost, and notes what was asked
    return asked - run.smallest_budget_macs
