"""MutualNet on folds: each configuration is judged on cases that its network never saw, then all cases are trained on.

For each fold a slimmable network is trained on the other folds; together they give the cross-validated query table,
from whose front the bank of the decision network is taken. From there on it is a bank like any other
(`training.folds`). Finished stages are found on disk and not run again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.methods.mutualnet import FACT
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_network import shared_from_plain
from DynamicSegLib.query_table import QueryRow, pareto_front, spread, to_plain
from DynamicSegLib.training.cache import open_cases
from DynamicSegLib.training.config import BundleConfig, DataConfig, DecisionConfig, FoldsConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.export import BANK_FILE, record_run, recorded_run
from DynamicSegLib.training.fold_runs import Folds, fold_folder, require_alike, start_of_fold
from DynamicSegLib.training.folds import cross_validate
from DynamicSegLib.training.mutual_comparison import write_comparison
from DynamicSegLib.training.mutual_config import MutualConfig, MutualFoldsConfig, QueryTableConfig
from DynamicSegLib.training.mutual_run import WEIGHTS_FILE, export_part
from DynamicSegLib.training.mutual_stages import Report, make_query_table, train_mutual
from DynamicSegLib.training.sources import chosen_cases
from DynamicSegLib.training.stages import require_precisions
from DynamicSegLib.weights import load_weights


class MutualFolds:
    """All folds of one configuration; see the module's text."""

    def __init__(self, config: MutualFoldsConfig, device: torch.device, report: Report) -> None:
        self.config, self.device, self.report = config, device, report
        self.mutual = read_config(config.mutual, MutualConfig)
        bundle = read_config(config.bundle, BundleConfig)
        require_alike(read_config(config.decision, DecisionConfig), bundle)
        self.cleaning = bundle.cleaning
        self.folds = Folds.of(config.cache, config.cases, config.held_out)

    def bundle(self) -> Bundle:
        """Everything: table, comparison, decision networks over a part of the front, bundle."""
        rows = self.table("mutual", self.mutual, timing=True)
        self.compare(rows)
        names = [row.name for row in spread(pareto_front(rows), self.config.candidates)]
        for held_out in (*self.folds.held_out, None):
            folder = self._folder(held_out) / "bank"
            if not (folder / BANK_FILE).is_file():
                whole = self._trained("mutual", self.mutual, held_out)
                export_part(whole, folder, names)
                run = recorded_run(whole)
                if run is not None:
                    record_run(folder, run)
        return cross_validate(self._as_bank(rows), self.device, self.report)

    def table(self, label: str, settings: MutualConfig, timing: bool = False) -> tuple[QueryRow, ...]:
        """The cross-validated query table of one way to train."""
        config = QueryTableConfig(
            self.config.output / f"table-{label}",
            tuple(self._trained(label, settings, fold) for fold in self.folds.held_out),
            self.config.cache,
            self.config.cases,
            self.folds.held_out,
            settings.task,
            self.config.candidates,
            self.config.distances,
            timing,
            self.config.backend,
            self.cleaning,
        )
        return make_query_table(config, self.device, self.report)

    def compare(self, rows: Sequence[QueryRow]) -> None:
        """Train and measure what the slimmable network is compared with, and write the figure and the table."""
        others: dict[str, Sequence[QueryRow]] = {}
        narrowed = self._narrowed() if self.config.narrowed else ()
        if self.config.alone:
            # The full width that is narrowed was itself trained alone.
            full = [row for row in narrowed if row.width == 1.0]
            others["trained alone"] = [*(self._alone(width) for width in sorted(self.config.alone)), *full]
        if narrowed:
            others["narrowed only"] = narrowed
        curves = {name: load_bundle(name).curve for name in self.config.compare}
        names = [row.case for row in chosen_cases(DataConfig(self.config.cache, self.config.cases))]
        slices = float(np.mean([case.record.shape[0] for case in open_cases(self.config.cache, names)]))
        write_comparison(self.config.output, rows, others, curves, slices)

    def _alone(self, width: float) -> QueryRow:
        settings = replace(self.mutual, width=width, students=None, keep=(Configuration(width),))
        (row,) = self.table(f"alone-{width:.2f}", settings)
        return row

    def _narrowed(self) -> tuple[QueryRow, ...]:
        keep = tuple(Configuration(width) for width in sorted({*self.mutual.widths, 1.0}))
        return self.table("narrowed", replace(self.mutual, students=None, keep=keep))

    def _trained(self, label: str, settings: MutualConfig, held_out: int | None) -> Path:
        """The folder of a run that did not see the fold `held_out`, trained now if it is not there yet."""
        folder = self._folder(held_out) / label
        if not (folder / BANK_FILE).is_file():
            self.report(f"{folder}: training")
            data = replace(
                settings.data,
                cache=self.config.cache,
                cases=self.config.cases,
                folds=self.folds.others(held_out),
                extra=self.config.extra,
            )
            train_mutual(replace(settings, output=folder, data=data), self.device, self._start(label, held_out))
        return folder

    def _start(self, label: str, held_out: int | None) -> Mapping[str, Tensor] | None:
        if self.config.start is None:
            return None
        earlier = fold_folder(self.config.start, held_out) / label / WEIGHTS_FILE
        if earlier.is_file():
            return load_weights(earlier)
        return shared_from_plain(start_of_fold(self.config.start, held_out, "unet2d", {"base": self.mutual.base}))

    def _folder(self, held_out: int | None) -> Path:
        return fold_folder(self.config.output, held_out)

    def _as_bank(self, rows: Sequence[QueryRow]) -> FoldsConfig:
        """The cross-validation of any bank: the banks are there already, so nothing of `bank` is trained."""
        content = yaml.safe_load(self.config.bundle.read_text(encoding="utf-8"))
        content["facts"] = {**content.get("facts", {}), FACT: to_plain(rows)}
        described = self.config.output / "bundle.yaml"
        described.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return FoldsConfig(
            self.config.output,
            self.config.cache,
            self.config.cases,
            Path(__file__).parent / "configs" / "paper-bank.yaml",
            self.config.decision,
            described,
            self.config.extra,
            self.config.held_out,
        )


def cross_validate_mutual(config: MutualFoldsConfig, device: torch.device, report: Report) -> Bundle:
    """Everything: slimmable networks, query table, comparison, decision networks, bundle."""
    require_precisions(read_config(config.bundle, BundleConfig))
    return MutualFolds(config, device, report).bundle()
