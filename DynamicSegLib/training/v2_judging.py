"""A case run by Med-DANet V2 as after training: what it achieves, what it really spends, and how long it takes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cleaning import clean
from DynamicSegLib.context import ALONE
from DynamicSegLib.cost import Cost
from DynamicSegLib.evaluation.metrics import score_volume
from DynamicSegLib.methods.med_danet import make_router
from DynamicSegLib.methods.med_danet_v2 import router_cost
from DynamicSegLib.methods.staged_execution import DynamicExecution
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.stages import class_structures
from DynamicSegLib.training.task import Task

_BATCH = 8
_RUNS = 3


@dataclass(frozen=True)
class CaseFigures:
    """One case: Dice by structure, and means over its slices, the policy network included."""

    case: str
    dice: dict[str, float]
    macs: float
    paper_flops: float


class CaseRunner:
    """Runs cases by the policy network's own choice; whole slices everywhere where the bundle has no router.

    Parameters
    ----------
    size: rows and columns of a slice.
    """

    def __init__(self, bundle: Bundle, backend: Backend, size: tuple[int, int]) -> None:
        self.bundle = bundle
        self.router = None if bundle.router is None else make_router(bundle, backend, size)
        self.looked = Cost() if bundle.router is None else router_cost(bundle, size)
        self.execution = DynamicExecution(bundle, backend, size, "whole")

    def run(self, volumes: NDArray[np.float32], spacing_mm: float) -> tuple[NDArray[np.uint8], list[Cost]]:
        """Classes uint8 `[slice, row, column]` and what each slice cost.

        volumes: float32 `[modality, slice, row, column]`. spacing_mm: distance of slices.
        """
        options = self._choice(volumes)
        classes = np.zeros(volumes.shape[1:], np.uint8)
        costs = [self.looked] * len(classes)
        for option in range(1, len(self.bundle.bank.options)):
            places = np.flatnonzero(options == option)
            for first in range(0, len(places), _BATCH):
                batch = places[first : first + _BATCH]
                outcome = self.execution.run(option, self.bundle.bank.seen(option, volumes, batch, spacing_mm))
                classes[batch] = outcome.classes
                for place, cost in zip(batch, outcome.costs, strict=True):
                    costs[place] = self.looked + cost
        return classes, costs

    def _choice(self, volumes: NDArray[np.float32]) -> NDArray[np.int64]:
        count = volumes.shape[1]
        if self.router is None:
            return np.full(count, len(self.bundle.bank.candidates), np.int64)
        batches = (range(first, min(first + _BATCH, count)) for first in range(0, count, _BATCH))
        return np.concatenate([self.router.predict(ALONE.gather(volumes, batch, 1.0)).choice for batch in batches])


def judge(bundle: Bundle, case: CachedCase, task: Task, backend: Backend) -> CaseFigures:
    """Run and score one case, its labels cleaned as the bundle says."""
    volumes, spacing_mm = case.volumes(), case.record.spacing_mm
    classes, costs = CaseRunner(bundle, backend, volumes.shape[2:]).run(volumes, spacing_mm[0])
    cleaning = None if bundle.cleaning is None else bundle.cleaning.renumbered(task.class_of_value)
    classes = clean(classes, spacing_mm, cleaning)
    scores = score_volume(classes, case.classes(), class_structures(task), spacing_mm)
    return CaseFigures(
        case.record.case,
        {name: score.dice for name, score in scores.items()},
        float(np.mean([cost.macs for cost in costs])),
        float(np.mean([cost.paper_flops for cost in costs])),
    )


def milliseconds_a_slice(bundle: Bundle, case: CachedCase, backend: Backend) -> float:
    """Best of several runs of a case, routing included, after one that compiles and warms up."""
    volumes, spacing_mm = case.volumes(), case.record.spacing_mm[0]
    runner = CaseRunner(bundle, backend, volumes.shape[2:])
    runner.run(volumes, spacing_mm)
    times = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        runner.run(volumes, spacing_mm)
        times.append(time.perf_counter() - started)
    return 1000 * min(times) / volumes.shape[1]


def table_markdown(figures: Mapping[str, Sequence[CaseFigures]], times: Mapping[str, float], where: str) -> str:
    """Table 3a in form: mean Dice by structure, mean cost a slice, milliseconds a slice.

    The ratio is to the first row's paper FLOPs. `times`: milliseconds by network. `where`: what they were measured on.
    """
    names = list(next(iter(figures.values()))[0].dice)
    first = np.mean([case.paper_flops for case in next(iter(figures.values()))])
    dice_columns = " | ".join(f"Dice {name}" for name in names)
    lines = [
        f"| network | {dice_columns} | mean | paper G a slice | ratio | G macs | ms a slice ({where}) |",
        "|" + "---|" * (len(names) + 6),
    ]
    for network, cases in figures.items():
        dice = [float(np.mean([case.dice[name] for case in cases])) for name in names]
        flops = float(np.mean([case.paper_flops for case in cases]))
        macs = float(np.mean([case.macs for case in cases]))
        shown = " | ".join(f"{each:.4f}" for each in (*dice, float(np.mean(dice))))
        costs = f"{flops / 1e9:.4f} | {flops / first:.3f} | {macs / 1e9:.4f}"
        lines.append(f"| {network} | {shown} | {costs} | {times[network]:.2f} |")
    return "\n".join(lines) + "\n"
