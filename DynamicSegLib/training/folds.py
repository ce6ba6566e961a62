"""Cross-validation: every case is judged by networks that never saw it, then the bundle is trained on all of them.

For each fold k a bank is trained on the other folds and run on fold k, which gives the *cross-fitted* overlaps: what
candidates achieve on cases they did not see. The decision network of fold k learns from the other folds' cross-fitted
overlaps and is validated, with bank k, on fold k. Finished stages are found on disk and not run again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from DynamicSegLib.bank import Bank
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.evaluation.budget_rules import RuleRow
from DynamicSegLib.evaluation.choices import Softmax
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.training.assembly import load_decision_network
from DynamicSegLib.training.bank_run import BankRun
from DynamicSegLib.training.cache import CachedCase, open_cases
from DynamicSegLib.training.cleaning_choice import CleaningTrial, Scores, Thresholds, try_on_cases
from DynamicSegLib.training.config import (
    BankConfig,
    BundleConfig,
    CandidateConfig,
    DataConfig,
    DecisionConfig,
    FoldsConfig,
)
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.decision_run import DecisionRun
from DynamicSegLib.training.export import (
    BANK_FILE,
    ROUTER_FILE,
    RunRecord,
    describes,
    export_bank,
    export_decision,
    read_bank,
    require_choice,
)
from DynamicSegLib.training.fold_runs import Folds, fold_folder, require_alike
from DynamicSegLib.training.measuring import measure_cases
from DynamicSegLib.training.precisions import DiceByPrecision, Precisions, joined
from DynamicSegLib.training.sources import cases_in, chosen_cases
from DynamicSegLib.training.stages import (
    Report,
    assemble,
    budget_rules,
    candidate_states,
    class_cleaning,
    class_structures,
    judged,
    quantised,
    recorded_runs,
    require_precisions,
)
from DynamicSegLib.training.task import read_task
from DynamicSegLib.training.validation import CaseValidation, Validator


@dataclass(frozen=True)
class Variant:
    """One way to decide on the same banks: what the papers' ablations vary (see `CrossValidation.variant`).

    candidates: names kept in the bank, all where empty. setting: `whole` slices or `window` (see `bank.Candidate`).
    """

    name: str
    alpha: float
    softmax: Softmax
    backbone: str
    candidates: tuple[str, ...] = ()
    setting: str = "whole"

    def of(self, bank: Bank) -> Bank:
        """The bank with only the variant's candidates."""
        kept = tuple(c for c in bank.candidates if not self.candidates or c.name in self.candidates)
        return Bank(kept, bank.modalities)


class CrossValidation:
    """All folds of one configuration; see the module's text."""

    def __init__(self, config: FoldsConfig, device: torch.device, report: Report) -> None:
        self.config, self.device, self.report = config, device, report
        self.bank_config = read_config(config.bank, BankConfig)
        self.decision_config = read_config(config.decision, DecisionConfig)
        self.structures = class_structures(read_task(self.decision_config.task))
        bundle = read_config(config.bundle, BundleConfig)
        require_alike(self.decision_config, bundle)
        self.cleaning, self.second_look_mm2 = class_cleaning(bundle), bundle.second_look_mm2
        self.folds = Folds.of(config.cache, config.cases, config.held_out)

    @property
    def variant(self) -> Variant:
        """What the decision networks' configuration asks for; ablations replace a part of it."""
        config = self.decision_config
        return Variant("final", config.alpha, config.softmax, config.backbone)

    def bank(self, held_out: int | None) -> Bank:
        """The bank trained without the fold `held_out` (None: on all cases), trained now if it is not there yet."""
        return read_bank(*self.bank_folders(held_out))

    def bank_folders(self, held_out: int | None) -> list[Path]:
        """The folders of that bank: one, or one a candidate where each is trained alone."""
        jobs = [self.bank_config.candidates]
        if not self.config.joint:
            jobs = [(candidate,) for candidate in self.bank_config.candidates]
        folders: list[Path] = []
        for candidates in jobs:
            label = "bank" if self.config.joint else f"bank-{candidates[0].name}"
            folders.append(self._finished(held_out, label, candidates, folders))
        return folders

    def _finished(
        self, held_out: int | None, label: str, candidates: tuple[CandidateConfig, ...], before: Sequence[Path]
    ) -> Path:
        """The folder of a finished bank of `candidates`: here, of the earlier cross-validation, or trained now.

        before: banks of this fold that were finished for candidates before these.
        """
        folder = fold_folder(self.config.output, held_out) / label
        if (folder / BANK_FILE).is_file():
            return folder
        known = candidate_states(read_bank(*before)) if before else {}
        if self.config.earlier is not None:
            earlier = fold_folder(self.config.earlier, held_out) / label
            if (earlier / BANK_FILE).is_file():
                bank = read_bank(earlier)
                if describes(bank, candidates):
                    return earlier
                known |= candidate_states(bank)
        self.report(f"{folder.parent.name}: training {', '.join(c.name for c in candidates)}")
        data = replace(self._data(self.bank_config.data), folds=self.folds.others(held_out))
        config = replace(self.bank_config, output=folder, data=data, candidates=candidates)
        run = BankRun(config, self.device, known or None)
        export_bank(folder, candidates, run.train(), run.pool.modalities, RunRecord.of(config, run.pool.cases))
        return folder

    def overlaps(self, setting: str = "whole") -> dict[str, Overlaps]:
        """What candidates achieve on all cases: on held-out folds cross-fitted, elsewhere by the first fold's bank."""
        found: dict[str, Overlaps] = {}
        folder = self.config.output / f"overlaps-{setting}"
        for fold in self.folds.every:
            names = self._names(fold)
            cases = open_cases(self.config.cache, names)
            found |= self._measured(names, cases, self.bank(self.folds.judge_of(fold)), folder, setting)
        for extra in self.config.extra:
            names = cases_in(Path(extra))
            found |= self._measured(
                names, open_cases(Path(extra), names), self.bank(self.folds.held_out[0]), folder, setting
            )
        return found

    def decide(self, held_out: int | None, variant: Variant) -> tuple[Bank, Path]:
        """The bank of a fold and the folder of its decision network, trained now if it is not there yet."""
        bank = variant.of(self.bank(held_out))
        folder = fold_folder(self.config.output, held_out) / f"decision-{variant.name}"
        config = replace(
            self.decision_config,
            output=folder,
            data=replace(self._data(self.decision_config.data), folds=self.folds.others(held_out)),
            alpha=variant.alpha,
            softmax=variant.softmax,
            backbone=variant.backbone,
        )
        if (folder / ROUTER_FILE).is_file():
            require_choice(config)
        else:
            self.report(f"{folder.parent.name}: training decision network {variant.name!r}")
            self._train_decision(config, held_out, bank, variant)
        return bank, folder

    def _train_decision(self, config: DecisionConfig, held_out: int | None, bank: Bank, variant: Variant) -> None:
        names = [candidate.name for candidate in self.bank(held_out).candidates]
        kept = [names.index(candidate.name) for candidate in bank.candidates]
        overlaps = {case: each.only(kept) for case, each in self.overlaps(variant.setting).items()}
        flops = [cost.paper_flops for cost in bank.costs(config.size, variant.setting)[1:]]
        run = DecisionRun(config, overlaps, flops, self.device)
        export_decision(config, run.train(), bank.options[1:], run.pool.cases)

    def validate(self, variant: Variant) -> tuple[Validator, list[CaseValidation]]:
        """Every held-out case, judged by the networks of its fold. The validator is the last fold's (for costs)."""
        results: list[CaseValidation] = []
        for fold in self.folds.held_out:
            validator = self._validator(fold, variant)
            results += validator.validate(open_cases(self.config.cache, self._names(fold)), self.report)
        return validator, results

    def try_cleaning(self) -> CleaningTrial:
        """What thresholds of cleaning do to every held-out case; the bundle's own are not looked at."""
        optional = read_task(self.decision_config.task).optional_classes
        tried: dict[str, dict[Thresholds, Scores]] = {}
        for fold in self.folds.held_out:
            validator = self._validator(fold, self.variant)
            cases = open_cases(self.config.cache, self._names(fold))
            tried |= try_on_cases(validator, cases, optional, self.report)
        return CleaningTrial(tried)

    def compare_budget_rules(self) -> list[RuleRow]:
        """Rules that spend the same budget, on every held-out case."""
        validator, results = self.validate(self.variant)
        return budget_rules(validator, results, read_task(self.decision_config.task))

    def bundle(self) -> Bundle:
        """The bundle: networks trained on all cases, figures and calibration from the cross-validation."""
        _, results = self.validate(self.variant)
        config = read_config(self.config.bundle, BundleConfig)
        validator = self._validator(None, self.variant)
        runs = recorded_runs(self.bank_folders(None), self.decide(None, self.variant)[1])
        return assemble(config, validator, results, self.report, self._precisions(config), runs)

    def _precisions(self, config: BundleConfig) -> Precisions:
        """The final bank in lower precision; each fold's, made in the same way, is judged on the cases held out."""
        scores: DiceByPrecision = {}
        for fold in self.folds.held_out if config.judge_precisions else ():
            cases = open_cases(self.config.cache, self._names(fold))
            int8, folder = self._quantised(config, fold), fold_folder(self.config.output, fold)
            scores = joined(scores, judged(config, self.bank(fold), int8, cases, folder, self.report))
        return Precisions(self._quantised(config, None), scores)

    def _quantised(self, config: BundleConfig, held_out: int | None) -> Mapping[str, Path]:
        data = replace(self._data(self.bank_config.data), folds=self.folds.others(held_out))
        folder = fold_folder(self.config.output, held_out) / "int8"
        return quantised(config, self.bank(held_out), data, folder, self.report)

    def _validator(self, held_out: int | None, variant: Variant) -> Validator:
        bank, folder = self.decide(held_out, variant)
        network = load_decision_network(folder, variant.backbone, bank)
        fold = folder.parent
        return Validator(
            bank,
            network,
            self.structures,
            variant.alpha,
            fold / f"validation-{variant.name}",
            self.device,
            variant.setting,
            self.cleaning,
            fold / "-".join(("labels", variant.setting, *variant.candidates)),
            self.second_look_mm2,
        )

    def _measured(
        self, names: Sequence[str], cases: Sequence[CachedCase], bank: Bank, folder: Path, setting: str
    ) -> dict[str, Overlaps]:
        measured = measure_cases(cases, bank, self.structures, folder, self.device, self.report, setting)
        return dict(zip(names, measured, strict=True))

    def _names(self, fold: int) -> list[str]:
        return [row.case for row in chosen_cases(DataConfig(self.config.cache, self.config.cases, (fold,)))]

    def _data(self, data: DataConfig) -> DataConfig:
        return replace(data, cache=self.config.cache, cases=self.config.cases, extra=self.config.extra)


def cross_validate(config: FoldsConfig, device: torch.device, report: Callable[[str], None]) -> Bundle:
    """Everything: banks, cross-fitted overlaps, decision networks, validation, final networks, bundle."""
    require_precisions(read_config(config.bundle, BundleConfig))
    return CrossValidation(config, device, report).bundle()
