"""Med-DANet V2 on folds: Table 3a with cross-validated figures, then the bundle trained on all cases.

Every case is judged by networks that never saw it, run as they will be run: crops on whole pixels, bits as chosen, at
the cost that was really spent. Finished stages are found on disk and not run again.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.bundle import Bundle, RouterSpec
from DynamicSegLib.cost import Cost
from DynamicSegLib.evaluation.metrics import score_volume
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.methods.med_danet import make_router
from DynamicSegLib.methods.med_danet_v2 import METHOD, router_cost
from DynamicSegLib.methods.staged_execution import DynamicExecution
from DynamicSegLib.training.cache import CachedCase, open_case
from DynamicSegLib.training.config import DataConfig, FoldsConfig, read_config
from DynamicSegLib.training.distribution import require_one_process
from DynamicSegLib.training.export import BANK_FILE, read_bank
from DynamicSegLib.training.folds import cross_validate
from DynamicSegLib.training.sources import chosen_cases
from DynamicSegLib.training.stages import Report, class_structures
from DynamicSegLib.training.task import Task, read_task
from DynamicSegLib.training.v2_config import V2Config, V2FoldsConfig
from DynamicSegLib.training.v2_run import ROUTER_FILE, train_v2

FULL = "S+Q"
VARIANTS = {"baseline": (False, False), "S": (True, False), "Q": (False, True), FULL: (True, True)}
"""Rows of Table 3a: whether there is a spatial choice, whether bits are quantised."""

_BATCH = 8


@dataclass(frozen=True)
class CaseFigures:
    """One case: Dice by structure, and means over its slices, the policy network included."""

    case: str
    dice: dict[str, float]
    macs: float
    paper_flops: float


class V2Folds:
    """All folds of one configuration; see the module's text."""

    def __init__(self, config: V2FoldsConfig, device: torch.device, report: Report) -> None:
        require_one_process("A cross-validation")
        self.config, self.device, self.report = config, device, report
        self.v2 = read_config(config.v2, V2Config)
        self.task = read_task(self.v2.task)
        rows = chosen_cases(DataConfig(config.cache, config.cases))
        self.folds = tuple(sorted({row.fold for row in rows}))
        self.cases = {fold: [row.case for row in rows if row.fold == fold] for fold in self.folds}

    def run(self) -> str:
        """Everything. Returns Table 3a, Markdown, also left in `table.md`; the bundle is written on the way."""
        names = [name for name in VARIANTS if name == FULL or name in self.config.ablations]
        table = table_markdown({name: self.figures(name) for name in names})
        write_text_whole(self.config.output / "table.md", table)
        self.bundle()
        return table

    def figures(self, variant: str) -> list[CaseFigures]:
        """Every case by the networks of its fold, kept case by case."""
        found = []
        for fold in self.folds:
            bundle = self._bundle_of(variant, fold)
            for case in self.cases[fold]:
                path = self.config.output / "figures" / variant / f"{case}.json"
                if not path.is_file():
                    judged = judge(bundle, open_case(self.config.cache / case), self.task, self.device)
                    write_text_whole(path, json.dumps(asdict(judged)) + "\n")
                    self.report(f"{variant} {case}: validated")
                found.append(CaseFigures(**json.loads(path.read_text(encoding="utf-8"))))
        return found

    def bundle(self) -> Bundle:
        """The bundle of S+Q on all cases, with curve, calibration and card of the cross-validation."""
        for held_out in (*self.folds, None):
            folder = self.trained(FULL, held_out)
            decided = folder.parent / "decision-final" / ROUTER_FILE
            if not self.config.refit and not decided.is_file():
                decided.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / ROUTER_FILE, decided)
        bank = read_bank(self.trained(FULL, None))
        rows = [{"name": c.name, "network": c.network, "arguments": dict(c.arguments)} for c in bank.candidates]
        data = {"cache": str(self.config.cache), "cases": str(self.config.cases)}
        content = {"output": "unused", "data": data, "candidates": rows, "steps": 1}
        described = self.config.output / "bank.yaml"
        write_text_whole(described, yaml.safe_dump(content))
        folds = FoldsConfig(
            self.config.output,
            self.config.cache,
            self.config.cases,
            described,
            self.config.decision,
            self.config.bundle,
        )
        return cross_validate(folds, self.device, self.report)

    def trained(self, variant: str, held_out: int | None) -> Path:
        """Folder of one variant without a fold (None: on all cases), trained now if it is not there yet."""
        root = self.config.output if variant == FULL else self.config.output / variant
        folder = root / ("all" if held_out is None else f"fold{held_out}") / "bank"
        if not (folder / BANK_FILE).is_file():
            spatial, quantised = VARIANTS[variant]
            others = tuple(fold for fold in self.folds if fold != held_out)
            data = replace(self.v2.data, cache=self.config.cache, cases=self.config.cases, folds=others)
            self.report(f"{folder.parent.name}: training {variant}")
            config = replace(self.v2, output=folder, data=data, spatial=spatial, quantised=quantised)
            train_v2(config, self.device, self.config.start)
        return folder

    def _bundle_of(self, variant: str, fold: int) -> Bundle:
        folder = self.trained(variant, fold)
        weights = folder / ROUTER_FILE
        router = RouterSpec(self.v2.backbone, {}, weights) if weights.is_file() else None
        return Bundle(variant, METHOD, self.task.input, self.task.labels, read_bank(folder), router)


def judge(bundle: Bundle, case: CachedCase, task: Task, device: torch.device) -> CaseFigures:
    """Run a case by its policy network's own choice, whole slices everywhere where there is none, and score it."""
    volumes, reference = case.volumes(), case.classes()
    slices = np.ascontiguousarray(volumes.swapaxes(0, 1))
    size = (slices.shape[2], slices.shape[3])
    backend = TorchBackend(str(device), "fp32", "validation")
    looked = Cost() if bundle.router is None else router_cost(bundle, size)
    options = _chosen(bundle, backend, slices, size)
    execution = DynamicExecution(bundle, backend, size, "whole")
    classes, costs = np.zeros(reference.shape, np.uint8), [looked] * len(slices)
    for option in range(1, len(bundle.bank.options)):
        places = np.flatnonzero(options == option)
        for first in range(0, len(places), _BATCH):
            batch = places[first : first + _BATCH]
            outcome = execution.run(option, slices[batch])
            classes[batch] = outcome.classes
            for place, cost in zip(batch, outcome.costs, strict=True):
                costs[place] = looked + cost
    scores = score_volume(classes, reference, class_structures(task), case.record.spacing_mm)
    return CaseFigures(
        case.record.case,
        {name: score.dice for name, score in scores.items()},
        float(np.mean([cost.macs for cost in costs])),
        float(np.mean([cost.paper_flops for cost in costs])),
    )


def _chosen(
    bundle: Bundle, backend: TorchBackend, slices: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.int64]:
    if bundle.router is None:
        return np.full(len(slices), len(bundle.bank.candidates), np.int64)
    router = make_router(bundle, backend, size)
    parts = [router.predict(slices[first : first + _BATCH]).choice for first in range(0, len(slices), _BATCH)]
    return np.concatenate(parts)


def table_markdown(figures: dict[str, Sequence[CaseFigures]] | dict[str, list[CaseFigures]]) -> str:
    """Table 3a in form: mean Dice by structure and mean cost a slice; the ratio is to the first row's paper FLOPs."""
    names = list(next(iter(figures.values()))[0].dice)
    first = np.mean([case.paper_flops for case in next(iter(figures.values()))])
    lines = [
        "| network | " + " | ".join(f"Dice {name}" for name in names) + " | mean | paper G a slice | ratio | G macs |",
        "|" + "---|" * (len(names) + 5),
    ]
    for variant, cases in figures.items():
        dice = [float(np.mean([case.dice[name] for case in cases])) for name in names]
        flops = float(np.mean([case.paper_flops for case in cases]))
        macs = float(np.mean([case.macs for case in cases]))
        shown = " | ".join(f"{each:.4f}" for each in (*dice, float(np.mean(dice))))
        lines.append(f"| {variant} | {shown} | {flops / 1e9:.4f} | {flops / first:.3f} | {macs / 1e9:.4f} |")
    return "\n".join(lines) + "\n"
