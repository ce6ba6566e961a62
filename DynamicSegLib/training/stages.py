"""The stages of training as functions: what the command line and the cross-validation both call."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from DynamicSegLib.bank import Bank
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.cleaning import Cleaning
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.evaluation.budget_rules import HeldOut, RuleRow, compare_rules
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.training.assembly import Assembly, calibrated_each, load_decision_network
from DynamicSegLib.training.bank_run import BankRun
from DynamicSegLib.training.cache import CachedCase, open_case, open_cases
from DynamicSegLib.training.card import Runs
from DynamicSegLib.training.cleaning_choice import CleaningTrial, try_on_cases
from DynamicSegLib.training.config import BankConfig, BundleConfig, DataConfig, DecisionConfig
from DynamicSegLib.training.decision_run import DecisionRun
from DynamicSegLib.training.distribution import join_processes
from DynamicSegLib.training.export import RunRecord, export_bank, export_decision, read_bank, recorded_run
from DynamicSegLib.training.measuring import digest_of, keep_measured, measure_cases
from DynamicSegLib.training.precisions import (
    DiceByPrecision,
    Precisions,
    calibration_slices,
    judge,
    quantise_bank,
    require_packages,
)
from DynamicSegLib.training.sources import cases_in, chosen_cases
from DynamicSegLib.training.task import Task, read_task
from DynamicSegLib.training.validation import CaseValidation, Validator
from DynamicSegLib.weights import load_weights

Report = Callable[[str], None]
_LISTED = 10


def train_bank(config: BankConfig, device: torch.device, bundle: str | None = None) -> None:
    """Train a bank and leave its weights in `config.output`. `bundle`: start from this bundle's candidates."""
    processes = join_processes(device)
    run = BankRun(config, device, None if bundle is None else _states_for(config, bundle), processes)
    states = run.train()
    if processes.first:
        record = RunRecord.of(config, run.pool.cases)
        export_bank(config.output, config.candidates, states, run.pool.modalities, record)


def train_decision(
    config: DecisionConfig, device: torch.device, bundle: str | None = None, report: Report = lambda text: None
) -> None:
    """Measure what the bank achieves where that is not known yet, train the decision network, leave its weights."""
    bank = read_bank(*config.banks)
    initial = None if bundle is None else _router_state(bundle, bank)
    _warn_of_seen(config, report)
    structures = class_structures(read_task(config.task))
    overlaps: dict[str, Overlaps] = {}
    for cache, names in _caches(config.data).items():
        cases = [open_case(cache / name) for name in names]
        measured = measure_cases(cases, bank, structures, config.overlaps, device, report)
        overlaps |= dict(zip(names, measured, strict=True))
    flops = [cost.paper_flops for cost in bank.costs(config.size)[1:]]
    run = DecisionRun(config, overlaps, flops, device, initial)
    export_decision(config, run.train(), bank.options[1:], run.pool.cases)


def validate(config: BundleConfig, device: torch.device, report: Report) -> tuple[Validator, list[CaseValidation]]:
    """Bank and decision network of finished runs on the held-out cases."""
    validator = _validator(config, device)
    return validator, validator.validate(_held_out(config), report)


def try_cleaning(config: BundleConfig, device: torch.device, report: Report) -> CleaningTrial:
    """What thresholds of cleaning do to the held-out cases; the configuration's own are not looked at."""
    tried = try_on_cases(_validator(config, device), _held_out(config), read_task(config.task).optional_classes, report)
    return CleaningTrial(tried)


def _validator(config: BundleConfig, device: torch.device) -> Validator:
    bank = read_bank(*config.banks)
    network = load_decision_network(config.decision, config.backbone, bank)
    structures, cleaning = class_structures(read_task(config.task)), class_cleaning(config)
    return Validator(
        bank,
        network,
        structures,
        config.alpha,
        config.validation,
        device,
        cleaning=cleaning,
        second_look_mm2=config.second_look_mm2,
    )


def _held_out(config: BundleConfig) -> list[CachedCase]:
    names = [row.case for row in chosen_cases(DataConfig(config.cache, config.cases, config.folds))]
    for folder in (*config.banks, config.decision):
        seen = _seen(names, folder)
        if seen:
            raise TrainingError(
                f"folds {list(config.folds)}: {folder} was trained on {_listed(seen)}, where cases that no network saw "
                "were expected. Let `data.folds` of bank and decision leave these folds out and train both again, or "
                "name other folds here."
            )
    return open_cases(config.cache, names)


def _warn_of_seen(config: DecisionConfig, report: Report) -> None:
    names = [row.case for row in chosen_cases(config.data)]
    for folder in config.banks:
        seen = _seen(names, folder)
        if seen:
            report(
                f"Warning: {folder} was trained on {_listed(seen)}, so it does better there than on new cases, and the "
                "decision network will expect too much of it. `dynamicseg train folds` measures each case with a bank "
                "that did not see it."
            )


def _seen(names: Sequence[str], folder: Path) -> list[str]:
    """Those of the cases that the run in `folder` says it was trained on."""
    run = recorded_run(folder)
    return [] if run is None else [name for name in names if name in run.cases]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def make_bundle(config: BundleConfig, device: torch.device, report: Report) -> Bundle:
    """Validate, calibrate and write a bundle."""
    require_precisions(config)
    validator, held_out = validate(config, device, report)
    runs = recorded_runs(config.banks, config.decision)
    return assemble(config, validator, held_out, report, _precisions(config, validator, report), runs)


def require_precisions(config: BundleConfig) -> None:
    """TrainingError where a package is missing that the bundle will ask for."""
    if config.judge_precisions or config.int8_slices:
        require_packages(bool(config.int8_slices))


def _precisions(config: BundleConfig, validator: Validator, report: Report) -> Precisions:
    every = {row.fold for row in chosen_cases(DataConfig(config.cache, config.cases))}
    seen = DataConfig(config.cache, config.cases, tuple(sorted(every - set(config.folds))))
    int8 = quantised(config, validator.bank, seen, config.validation / "int8", report)
    return Precisions(int8, judged(config, validator.bank, int8, _held_out(config), config.validation, report))


def quantised(config: BundleConfig, bank: Bank, data: DataConfig, folder: Path, report: Report) -> Mapping[str, Path]:
    """The bank in int8, calibrated on the cases of `data`; empty where `config` does not ask for it."""
    if not config.int8_slices:
        return {}
    names = [row.case for row in chosen_cases(data)]

    def quantise() -> None:
        report(f"{folder}: quantising to int8")
        shutil.rmtree(folder, ignore_errors=True)
        slices_of = partial(calibration_slices, open_cases(data.cache, names), config.int8_slices)
        made = quantise_bank(bank, slices_of, folder)
        write_text_whole(listed, json.dumps({name: path.name for name, path in made.items()}))

    listed = folder / "models.json"
    keep_measured(listed, digest_of(bank, names, config.int8_slices), quantise, report)
    return {name: folder / file for name, file in json.loads(listed.read_text(encoding="utf-8")).items()}


def judged(
    config: BundleConfig,
    bank: Bank,
    int8: Mapping[str, Path],
    cases: Sequence[CachedCase],
    folder: Path,
    report: Report,
) -> DiceByPrecision:
    """What lower precisions reach on cases that the bank did not see; empty where `config` does not ask for it.

    Kept in `folder`; what is there already is read.
    """
    if not config.judge_precisions:
        return {}
    path = folder / ("precisions-int8.json" if int8 else "precisions.json")
    structures, names = class_structures(read_task(config.task)), [case.record.case for case in cases]

    def measure() -> None:
        report(f"{folder}: judging precisions")
        task = read_task(config.task)
        bundle = Bundle(config.name, config.method, task.input, task.labels, bank, None, int8=int8)
        write_text_whole(path, json.dumps(judge(bundle, cases, structures)) + "\n")

    models = [model.with_suffix(".bin") for model in int8.values()]
    keep_measured(path, digest_of(bank, structures, names, *models), measure, report)
    found: DiceByPrecision = json.loads(path.read_text(encoding="utf-8"))
    return found


def assemble(
    config: BundleConfig,
    validator: Validator,
    held_out: Sequence[CaseValidation],
    report: Report,
    precisions: Precisions,
    runs: Runs,
) -> Bundle:
    """Write the bundle of `validator`'s bank and network with the figures of `held_out`.

    runs: see `recorded_runs`.
    """
    task = read_task(config.task)
    network = validator.network.cpu()
    prices = replace(validator, network=network).prices(task.input.size)
    reached = [validator.reached(held) for held in held_out]
    found_mm2 = [validator.found_mm2(held) for held in held_out]
    made = Assembly(config, task, validator.bank, network, held_out, prices, reached, found_mm2, precisions, runs)
    return made.write(report)


def recorded_runs(banks: Sequence[Path], decision: Path) -> Runs:
    """What finished runs say of themselves, by what they trained."""
    folders = {", ".join(read_bank(folder).options[1:]): folder for folder in banks} | {"decision network": decision}
    return {name: recorded_run(folder) for name, folder in folders.items()}


def compare_budget_rules(config: BundleConfig, device: torch.device, report: Report) -> list[RuleRow]:
    """Rules that spend the same budget, on the held-out cases of finished runs."""
    validator, held_out = validate(config, device, report)
    return budget_rules(validator, held_out, read_task(config.task))


def budget_rules(validator: Validator, held_out: Sequence[CaseValidation], task: Task) -> list[RuleRow]:
    """Rules that spend the same budget; the predictions of each case are calibrated on the other cases."""
    pairs = zip(calibrated_each(held_out), held_out, strict=True)
    cases = [HeldOut(prediction, held.overlaps) for prediction, held in pairs]
    names = [candidate.name for candidate in validator.bank.candidates]
    return compare_rules(cases, validator.prices(task.input.size), names)


def class_cleaning(config: BundleConfig) -> Cleaning | None:
    """What the bundle's labels will go through, in class indices."""
    return read_task(config.task).class_cleaning(config.cleaning)


def class_structures(task: Task) -> Structures:
    """The task's regions, or its single labels, in class indices."""
    index = task.class_of_value
    regions = dict(task.regions) or {label.name: (label.value,) for label in task.labels}
    return Structures({name: tuple(index[v] for v in values) for name, values in regions.items()})


def _caches(data: DataConfig) -> dict[Path, list[str]]:
    caches = {data.cache: [row.case for row in chosen_cases(data)]}
    return caches | {Path(folder): cases_in(Path(folder)) for folder in data.extra}


def candidate_states(bank: Bank) -> dict[str, Mapping[str, Tensor]]:
    """Weights by candidate name, for a run that starts from them."""
    return {c.name: load_weights(c.weights) for c in bank.candidates if c.weights is not None}


def _states_for(config: BankConfig, bundle: str) -> dict[str, Mapping[str, Tensor]]:
    states = candidate_states(load_bundle(bundle).bank)
    wanted = {name for each in config.candidates for name in (each.name, each.starts_as) if name is not None}
    if not wanted & set(states):
        raise TrainingError(
            f"Bundle {bundle!r} has {', '.join(states)}, but none of {', '.join(sorted(wanted))} to start from: name a "
            "bundle that has, or leave out --from."
        )
    return states


def _router_state(name: str, bank: Bank) -> Mapping[str, Tensor]:
    bundle = load_bundle(name)
    if bundle.router is None or bundle.router.weights is None:
        raise TrainingError(f"Bundle {name!r} has no router to start from: leave out --from.")
    own, wanted = (", ".join(options) for options in (bundle.bank.options, bank.options))
    if own != wanted:
        raise TrainingError(
            f"The router of bundle {name!r} chooses among {own}, where {wanted} were expected, the options of `banks`: "
            "name a bundle that has these, or leave out --from."
        )
    return load_weights(bundle.router.weights)
