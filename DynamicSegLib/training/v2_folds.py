"""Med-DANet V2 on folds: Table 3a with cross-validated figures, then the bundle trained on all cases.

Every case is judged by networks that never saw it, run as they will be run: crops on whole pixels, bits as chosen, at
the cost that was really spent; all rows of the table are timed on one case in one process. Finished stages are found on
disk and not run again.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
import yaml
from torch import Tensor

from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.bundle import Bundle, RouterSpec
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.methods.med_danet_v2 import METHOD
from DynamicSegLib.training.cache import CachedCase, open_case
from DynamicSegLib.training.config import BundleConfig, DataConfig, DecisionConfig, FoldsConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.export import BANK_FILE, ROUTER_FILE, described, read_bank
from DynamicSegLib.training.fold_runs import Folds, fold_folder, require_alike, start_of_fold
from DynamicSegLib.training.folds import CrossValidation, cross_validate
from DynamicSegLib.training.found_labels import results_folder
from DynamicSegLib.training.measuring import digest_of, keep_measured, of_case
from DynamicSegLib.training.position_run import train_position
from DynamicSegLib.training.sources import chosen_cases
from DynamicSegLib.training.stages import Report, require_precisions
from DynamicSegLib.training.task import read_task
from DynamicSegLib.training.v2_config import PositionConfig, V2Config, V2FoldsConfig
from DynamicSegLib.training.v2_judging import CaseFigures, judge, milliseconds_a_slice, table_markdown
from DynamicSegLib.training.v2_run import base_arguments, train_v2

FULL = "S+Q"
VARIANTS = {"baseline": (False, False), "S": (True, False), "Q": (False, True), FULL: (True, True)}
"""Rows of Table 3a: whether there is a spatial choice, whether bits are quantised."""


class V2Folds:
    """All folds of one configuration; see the module's text."""

    def __init__(self, config: V2FoldsConfig, device: torch.device, report: Report) -> None:
        self.config, self.device, self.report = config, device, report
        self.v2 = read_config(config.v2, V2Config)
        self.position = None if config.position is None else read_config(config.position, PositionConfig)
        self.task = read_task(self.v2.task)
        bundle, self.decision = read_config(config.bundle, BundleConfig), read_config(config.decision, DecisionConfig)
        require_alike(self.decision, bundle)
        self.cleaning = self.task.cleaning(bundle.cleaning)
        self.folds = Folds.of(config.cache, config.cases, config.held_out)
        rows = chosen_cases(DataConfig(config.cache, config.cases))
        self.cases = {fold: [row.case for row in rows if row.fold == fold] for fold in self.folds.held_out}

    def run(self) -> str:
        """Everything. Returns Table 3a, Markdown, also left in `table.md`; the bundle is written on the way."""
        require_precisions(read_config(self.config.bundle, BundleConfig))
        names = [name for name in VARIANTS if name == FULL or name in self.config.ablations]
        backend = choose_backend(device="cpu")
        where = f"{backend.facts.name} {backend.facts.precision}, CPU"
        figures, times = {}, {}
        for name in names:
            figures[name] = self.figures(name)
            fold = self.folds.held_out[0]
            case = open_case(self.config.cache / self.cases[fold][0])
            times[name] = milliseconds_a_slice(self._bundle_of(name, fold), case, backend)
        table = table_markdown(figures, times, where)
        write_text_whole(self.config.output / "table.md", table)
        self.bundle()
        return table

    def figures(self, variant: str) -> list[CaseFigures]:
        """Every held-out case by the networks of its fold, kept case by case."""
        found = []
        for fold in self.folds.held_out:
            bundle = self._bundle_of(variant, fold)
            router = None if bundle.router is None else bundle.router.weights
            digest = digest_of(bundle.bank, router)
            for case in map(open_case, (self.config.cache / name for name in self.cases[fold])):
                folder = results_folder(self.config.output / "figures", self.cleaning) / variant
                path = folder / f"{case.record.case}.json"
                keep_measured(path, of_case(digest, case), partial(self._judge, bundle, case, path), self.report)
                found.append(CaseFigures(**json.loads(path.read_text(encoding="utf-8"))))
        return found

    def _judge(self, bundle: Bundle, case: CachedCase, path: Path) -> None:
        judged = judge(bundle, case, self.task, TorchBackend(str(self.device), "fp32", "validation"))
        write_text_whole(path, json.dumps(asdict(judged)) + "\n")
        self.report(f"{bundle.name} {case.record.case}: validated")

    def bundle(self) -> Bundle:
        """The bundle of S+Q on all cases, with curve, calibration and card of the cross-validation."""
        for held_out in (*self.folds.held_out, None):
            folder = self.trained(FULL, held_out)
            decided = folder.parent / "decision-final" / ROUTER_FILE
            if not self.config.refit and not decided.is_file():
                decided.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / ROUTER_FILE, decided)
        return cross_validate(self._as_bank(FULL), self.device, self.report)

    def trained(self, variant: str, held_out: int | None) -> Path:
        """Folder of one variant without a fold (None: on all cases), trained now if it is not there yet."""
        folder = fold_folder(self._root(variant), held_out) / "bank"
        spatial, quantised = VARIANTS[variant]
        position = self.position if spatial else None
        phases = folder if position is None else folder.with_name("phases")
        if not (phases / BANK_FILE).is_file():
            self.report(f"{folder.parent.name}: training {variant}")
            data = self._data(self.v2.data, held_out)
            config = replace(self.v2, output=phases, data=data, spatial=spatial, quantised=quantised)
            train_v2(config, self.device, self._start(held_out))
        if position is not None and not (folder / BANK_FILE).is_file():
            self.report(f"{folder.parent.name}: training crop positions of {variant}")
            data = self._data(position.data, held_out)
            train_position(replace(position, output=folder, bank=phases, data=data), self.device)
        return folder

    def _router(self, variant: str, fold: int) -> Path | None:
        """The weights of what chooses among the options of one variant; None where there is nothing to choose."""
        if not VARIANTS[variant][0]:
            return None
        if not self.config.refit:
            return self.trained(variant, fold) / ROUTER_FILE
        for other in self.folds.held_out:
            self.trained(variant, other)
        validation = CrossValidation(self._as_bank(variant), self.device, self.report)
        return validation.decide(fold, validation.variant)[1] / ROUTER_FILE

    def _as_bank(self, variant: str) -> FoldsConfig:
        """The cross-validation of any bank: the banks are there already, so nothing of `bank` is trained."""
        bank = read_bank(self.trained(variant, self.folds.held_out[0]))
        rows = [described(candidate) for candidate in bank.candidates]
        data = {"cache": str(self.config.cache), "cases": str(self.config.cases)}
        content = {"output": "unused", "data": data, "candidates": rows, "steps": 1}
        file = self._root(variant) / "bank.yaml"
        write_text_whole(file, yaml.safe_dump(content))
        return FoldsConfig(
            self._root(variant),
            self.config.cache,
            self.config.cases,
            file,
            self.config.decision,
            self.config.bundle,
            self.config.extra,
            self.config.held_out,
        )

    def _root(self, variant: str) -> Path:
        return self.config.output if variant == FULL else self.config.output / variant

    def _data(self, data: DataConfig, held_out: int | None) -> DataConfig:
        return replace(
            data,
            cache=self.config.cache,
            cases=self.config.cases,
            folds=self.folds.others(held_out),
            extra=self.config.extra,
        )

    def _start(self, held_out: int | None) -> Mapping[str, Tensor] | None:
        if self.config.start is None:
            return None
        return start_of_fold(self.config.start, held_out, self.v2.base, base_arguments(self.v2))

    def _bundle_of(self, variant: str, fold: int) -> Bundle:
        bank, weights = read_bank(self.trained(variant, fold)), self._router(variant, fold)
        backbone = self.decision.backbone if self.config.refit else self.v2.backbone
        router = None if weights is None else RouterSpec(backbone, {}, weights)
        return Bundle(variant, METHOD, self.task.input, self.task.labels, bank, router, cleaning=self.cleaning)
