"""The engine: runs a plan on a study in steps, and keeps what it ran.

    run = Run(study, bundle)
    run.route()                               # the router looks at every slice
    plan = run.plan(Budget.parse("40%"))      # one option a slice
    for step in run.execute(plan):            # slices of one candidate run together; stop any time
        print(step.done, step.total)
    segmentation = run.segmentation()

A second `plan` and `execute` on the same run computes only slices whose option changed.
"""

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.budget import Budget, Plan, Unit, plan_by_alpha, plan_within, quality_cost_curve, rounded_up
from DynamicSegLib.bundle import Bundle, CurvePoint
from DynamicSegLib.calibration import Calibration
from DynamicSegLib.cleaning import changes, clean
from DynamicSegLib.cost import Cost
from DynamicSegLib.crop_boxes import moved
from DynamicSegLib.errors import BudgetError
from DynamicSegLib.execution import CandidateExecution, Execution
from DynamicSegLib.extent import Extent
from DynamicSegLib.routing import Prediction, Router
from DynamicSegLib.second_look import second_looks
from DynamicSegLib.segmentation import Decision, Segmentation
from DynamicSegLib.study import Study

REFERENCE_PIXELS = 240 * 240


@dataclass(frozen=True)
class Step:
    """One step of a run: slices of one option that were just done.

    slices: indices on the working grid. option: what they got; None for the first step, which gathers all slices
    that need no work (skipped, or run before). macs_spent: all so far, the router included. done, total: slices.
    """

    slices: tuple[int, ...]
    option: int | None
    macs_spent: int
    done: int
    total: int


@dataclass(frozen=True)
class _Result:
    labels: NDArray[np.uint8]
    milliseconds: float
    cost: Cost
    extra: Mapping[str, Any] = field(default_factory=dict)


class Run:
    """One study being segmented.

    Parameters
    ----------
    study, bundle: what, and with what.
    router: of the bundle's method (`methods.registry.start_run` makes it).
    backend: of `backends.choice`.
    setting: `whole` slices (default), or `window` for overlapping windows of 128 pixels (Med-DANet, Table 3).
    batch: slices run at once at most; by default what the backend likes at this in-plane size.
    execution: the method's own way to run options on slices of the extent's size; by default each candidate is one
        network.
    extent: the part of each slice that candidates see; by default all of it. Their costs are of slices of this size;
        the router sees whole slices, since what it says depends on how much of a slice is empty.
    """

    def __init__(
        self,
        study: Study,
        bundle: Bundle,
        router: Router,
        backend: Backend,
        setting: str = "whole",
        batch: int | None = None,
        execution: Execution | None = None,
        extent: Extent | None = None,
    ) -> None:
        self.study, self.bundle, self.router, self.backend, self.setting = study, bundle, router, backend, setting
        self.extent = extent or Extent.whole(study.grid.shape[1:])
        size = self.extent.size
        self.costs = bundle.bank.costs(size, setting)
        self.router_cost = router.cost(self.extent.slice_size)
        self.batch = batch or max(1, backend.batch * REFERENCE_PIXELS // (size[0] * size[1]))
        self.execution = execution or CandidateExecution(bundle, backend, size, setting)
        self._results: dict[tuple[int, int], _Result] = {}
        self._chosen = np.zeros(study.slices, np.int64)
        self._doubted: frozenset[int] = frozenset()
        self._macs_spent = 0
        self._prediction: Prediction | None = None
        self._asked_macs: int | None = None
        self._seconds = {"route": 0.0, "run": 0.0}
        self._seconds_before = 0.0  # of earlier plans that this run executed
        self.calibration = Calibration.load(bundle, backend.facts, size, setting, self.batch)

    @property
    def macs_spent(self) -> int:
        """All multiply-accumulates of this run so far, the router and results since replaced included."""
        return self._macs_spent

    @property
    def smallest_budget_macs(self) -> int:
        """The router's cost on every slice: below it nothing can be decided."""
        return self.router_cost.macs * self.study.slices

    def route(self) -> Prediction:
        """Let the router look at every slice (once; later calls return the same prediction)."""
        for _ in self.routing():
            pass
        assert self._prediction is not None
        return self._prediction

    def routing(self) -> Iterator[int]:
        """`route` in steps of one batch, for a window that has to stay live; yields how many slices were looked at."""
        if self._prediction is None:
            parts, seconds = [], 0.0
            for first in range(0, self.study.slices, self.batch):
                started = time.perf_counter()
                last = min(first + self.batch, self.study.slices)
                parts.append(self.router.predict(np.stack([self.study.volumes[:, i] for i in range(first, last)])))
                seconds += time.perf_counter() - started
                yield last
            self._prediction = Prediction(
                np.concatenate([part.quality for part in parts]),
                np.concatenate([part.area for part in parts]),
                np.concatenate([part.choice for part in parts]),
            )
            self._seconds["route"] = seconds
            self._macs_spent += self.smallest_budget_macs

    def plan(
        self, budget: Budget | None = None, alpha: float | None = None, pins: Mapping[int, int] | None = None
    ) -> Plan:
        """One option for each slice.

        Parameters
        ----------
        budget: for the whole case, the router included; None follows the papers' rule.
        alpha: Eq. 4's weight of cost where there is no budget; None takes the decision network's own choice.
        pins: option by working slice, chosen by the user.

        Raises
        ------
        BudgetError: the budget is below the router's cost, or below the pinned slices'; the message names the
            smallest budget possible. Or both a budget and alpha are given.
        """
        if budget is not None and alpha is not None:
            raise BudgetError(f"Alpha ({alpha:g}) weighs cost where there is no budget: give only one of the two.")
        prediction = self.route()
        macs = [cost.macs for cost in self.costs]
        self._asked_macs = None
        if budget is None:
            return plan_by_alpha(prediction, [cost.paper_flops for cost in self.costs], alpha, macs, pins)
        if budget.unit is Unit.SECONDS:
            return self._plan_in_seconds(prediction, budget.value, pins or {})
        asked = budget.macs(self.study.slices, max(macs))
        if asked < self.smallest_budget_macs:
            raise BudgetError(
                f"A budget of {asked:,} multiply-accumulates is below the router's own cost: the smallest budget "
                f"possible for these {self.study.slices} slices is {self.smallest_budget_macs:,} "
                f"({rounded_up(100 * self.smallest_budget_macs / (self.study.slices * max(macs)))}%)."
            )
        self._asked_macs = asked
        return plan_within(prediction, macs, asked - self.smallest_budget_macs, pins)

    def curve(self) -> tuple[CurvePoint, ...]:
        """The quality that budgets from nothing to everything would buy on this study, before anything is run."""
        return quality_cost_curve(self.route(), [cost.macs for cost in self.costs], self.smallest_budget_macs)

    def _plan_in_seconds(self, prediction: Prediction, seconds: float, pins: Mapping[int, int]) -> Plan:
        self._calibrate()
        left = round(1e6 * (seconds - self._seconds["route"]))
        if left < 0:
            raise BudgetError(
                f"A budget of {seconds:g} s is below what routing alone takes here: the smallest budget possible is "
                f"{rounded_up(self._seconds['route'])} s."
            )
        plan = plan_within(prediction, self._microseconds(), left, pins)
        return replace(plan, cost=self._macs_of(plan.options), seconds=seconds, budget=None)

    def _microseconds(self) -> list[int]:
        return [0, *(round(1000 * ms) for ms in self.calibration.milliseconds)]

    def _macs_of(self, options: NDArray[np.int64]) -> int:
        return int(np.array([cost.macs for cost in self.costs], np.int64)[options].sum())

    def predicted_seconds(self, plan: Plan) -> float:
        """What routing and running a plan takes on this machine; measures the candidates first where not yet known."""
        self._calibrate()
        return self._seconds["route"] + float(np.array(self._microseconds())[plan.options].sum()) / 1e6

    def _calibrate(self) -> None:
        """Measure every candidate once: a warm-up and the median of three batches."""
        if not self.calibration.known:
            sample = range(min(self.batch, self.study.slices))
            self.calibration.measure(
                lambda option: _milliseconds_a_slice(self.execution, option, self.seen(option, sample))
            )

    def execute(self, plan: Plan) -> Iterator[Step]:
        """Run a plan, cheapest options first, in steps of one batch; stop iterating to cancel.

        Slices that already have a result for their option are not run again. Between steps every slice has a valid
        label image, so the segmentation can be read at any time. A plan in seconds is corrected on the way: what is
        left is planned anew within the time that is left, at the speed that was really seen.

        Where the bundle says so, skipped slices beside a large finding are then run after all, as far as the budget
        goes (see `second_look`); pinned slices stay as they are. In these steps all slices count as done.
        """
        options = plan.options.copy()
        self._doubted = frozenset()
        self._seconds_before = self._seconds["run"]
        waiting = [i for i in range(len(options)) if options[i] and (i, int(options[i])) not in self._results]
        done = np.setdiff1d(np.arange(len(options)), waiting)
        self._chosen[done] = options[done]
        if done.size:
            yield Step(tuple(done.tolist()), None, self._macs_spent, done.size, len(options))
        while waiting:
            option = min(int(options[i]) for i in waiting)
            batch = [i for i in waiting if options[i] == option][: self.batch]
            self._compute(batch, option)
            waiting = [i for i in waiting if i not in batch]
            if plan.seconds is not None and waiting:
                waiting = self._corrected(plan, options, waiting)
            yield Step(tuple(batch), option, self._macs_spent, len(options) - len(waiting), len(options))
        yield from self._second_looks(plan)
        self.calibration.save()

    def _second_looks(self, plan: Plan) -> Iterator[Step]:
        if self.bundle.second_look_mm2 is None:
            return
        empty = {i for i in np.flatnonzero(self._chosen == 0).tolist() if not self.study.volumes[:, i].any()}
        while looks := self._doubtful(plan, self.bundle.second_look_mm2, plan.pinned | empty):
            for option in sorted(set(looks.values())):
                slices = [index for index in looks if looks[index] == option]
                for first in range(0, len(slices), self.batch):
                    batch = slices[first : first + self.batch]
                    unknown = [index for index in batch if (index, option) not in self._results]
                    if unknown:
                        self._compute(unknown, option)
                    self._chosen[batch] = option
                    self._doubted |= set(batch)
                    yield Step(tuple(batch), option, self._macs_spent, self.study.slices, self.study.slices)

    def _doubtful(self, plan: Plan, smallest_mm2: float, fixed: frozenset[int]) -> dict[int, int]:
        """Skipped slices that deserve a second look now, with the option that they are to get."""
        costs, left = [cost.macs for cost in self.costs], math.inf
        if plan.seconds is not None:
            costs = self._microseconds()
            left = self._microseconds_left(plan.seconds)
        elif plan.budget is not None:
            left = plan.budget - self._macs_of(self._chosen)
        return second_looks(self._chosen, self._found_mm2(), smallest_mm2, costs, left, fixed)

    def _found_mm2(self) -> NDArray[np.float64]:
        """Area of all labels on each slice as they stand, float64 `[slice]`."""
        results = [self._results.get((index, int(option))) for index, option in enumerate(self._chosen)]
        pixels = [0 if result is None else np.count_nonzero(result.labels) for result in results]
        return np.array(pixels) * (self.study.spacing_mm[1] * self.study.spacing_mm[2])

    def _corrected(self, plan: Plan, options: NDArray[np.int64], waiting: list[int]) -> list[int]:
        """Plan the waiting slices anew within the seconds left, in place; return those that still wait."""
        assert plan.seconds is not None
        left = self._microseconds_left(plan.seconds)
        free = [i for i in waiting if i not in plan.pinned]
        costs = self._microseconds()
        left -= sum(costs[options[i]] for i in waiting if i in plan.pinned)
        options[free] = plan_within(self.route().only(free), costs, max(0, left)).options
        settled = [i for i in waiting if not options[i] or (i, int(options[i])) in self._results]
        self._chosen[settled] = options[settled]
        return [i for i in waiting if i not in settled]

    def _microseconds_left(self, seconds: float) -> int:
        """Of a plan in seconds; what earlier plans of this run took is not its own."""
        used = self._seconds["route"] + self._seconds["run"] - self._seconds_before
        return max(0, round(1e6 * (seconds - used)))

    def _compute(self, batch: list[int], option: int) -> None:
        self.execution.prepare(option)
        started = time.perf_counter()
        outcome = self.execution.run(option, self.seen(option, batch))
        seconds = time.perf_counter() - started
        values = np.array([0, *(label.value for label in self.bundle.labels)], np.uint8)
        each = 1000 * seconds / len(batch)
        costs = outcome.costs or (self.costs[option],) * len(batch)
        extras = outcome.extras or ({},) * len(batch)
        for index, plane, cost, extra in zip(batch, outcome.classes, costs, extras, strict=True):
            self._results[index, option] = _Result(values[plane], each, cost, moved(extra, self.extent.first))
        self._chosen[batch] = option
        self._macs_spent += sum(cost.macs for cost in costs)
        self._seconds["run"] += seconds
        self.calibration.observe(option, each, len(batch) / self.batch)

    def seen(self, option: int, indices: Sequence[int]) -> NDArray[np.float32]:
        """What an option's candidate sees of working slices, within the extent (see `Bank.seen`)."""
        volumes, spacing_mm = self.extent.cut(self.study.volumes), self.study.spacing_mm[0]
        return self.bundle.bank.seen(option, volumes, indices, spacing_mm)

    def labels_of(self, index: int) -> NDArray[np.uint8]:
        """Labels of one working slice as they stand, uint8 `[row, column]`; zeros where it was skipped or not run.

        They are the network's own; what is small in the whole case is cleaned in `segmentation` only.
        """
        result = self._results.get((index, int(self._chosen[index])))
        return np.zeros(self.extent.slice_size, np.uint8) if result is None else self.extent.paste(result.labels)

    def segmentation(self) -> Segmentation:
        """The result as it stands, cleaned as the bundle says."""
        prediction, options = self.route(), self.bundle.bank.options
        found, cleaning = np.stack([self.labels_of(index) for index in range(self.study.slices)]), self.bundle.cleaning
        labels = clean(found, self.study.spacing_mm, cleaning)
        facts = self.backend.facts
        return Segmentation(
            study=self.study,
            labels=labels,
            decisions=tuple(self._decision(index, prediction, options) for index in range(self.study.slices)),
            options=options,
            label_names={label.value: label.name for label in self.bundle.labels},
            asked_macs=self._asked_macs,
            router=self.router_cost.times(self.study.slices),
            seconds=dict(self._seconds),
            facts={
                "bundle": self.bundle.name,
                "method": self.bundle.method,
                "device": facts.device,
                "backend": facts.name,
                "precision": facts.precision,
                "choice_of_backend": facts.reason,
                "extent": dict(
                    zip(("row", "column", "rows", "columns"), (*self.extent.first, *self.extent.size), strict=True)
                ),
                **self.execution.facts,
            },
            warnings=self.study.warnings,
            cleaned=None if cleaning is None else changes(found, labels, self.study.spacing_mm),
            second_looks=tuple(sorted(self.study.native_slice_index(index) for index in self._doubted)),
        )

    def _decision(self, index: int, prediction: Prediction, options: tuple[str, ...]) -> Decision:
        option = int(self._chosen[index])
        result = self._results.get((index, option))
        cost = self.router_cost + (result.cost if result else self.costs[option])
        return Decision(
            slice=self.study.native_slice_index(index),
            option=option,
            candidate=options[option],
            macs=cost.macs,
            paper_flops=cost.paper_flops,
            milliseconds=1000 * self._seconds["route"] / self.study.slices + (result.milliseconds if result else 0.0),
            quality={name: float(q) for name, q in zip(options, prediction.quality[index], strict=True)},
            extra=result.extra if result else {},
        )


def _milliseconds_a_slice(execution: Execution, option: int, sample: NDArray[np.float32]) -> float:
    execution.run(option, sample)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        execution.run(option, sample)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times) / len(sample)
