"""`dynamicseg train`: from labelled scans to a bundle, one stage a subcommand, each resumable by the same command."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

    from DynamicSegLib.training.config import RunConfig

Config = TypeVar("Config")
Run = TypeVar("Run", bound="RunConfig")
Stage = Callable[[argparse.Namespace], int]
# The keys of training.layouts.LAYOUTS, so that other commands need not load it.
LAYOUT_NAMES = ("brats", "brats2023", "decathlon", "lits", "table")
# The keys of training.paper_tables.TABLES, for the same reason.
PAPER_TABLES = (1, 3, 4, 5, 6, 8)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command and its stages."""
    parser = subparsers.add_parser(
        "train",
        help="train a bank and its decision network on labelled scans",
        description="Stages: pack (scans to slice cache), bank, decision, bundle; folds does all of them by "
        "cross-validation. Every stage goes on where it was stopped when the same command is given again.",
    )
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    _add_pack(stages)
    _add_parts(stages)
    shared = "train the candidates, jointly or one alone"
    _add_stage(stages, "bank", _bank, shared, fine_tuning=True, one_process=False)
    _add_stage(stages, "decision", _decision, "train the decision network on a finished bank", fine_tuning=True)
    shared = "train Med-DANet V2: policy, crop position, quantised network"
    _add_stage(stages, "v2", _v2, shared, fine_tuning=True, one_process=False)
    _add_stage(stages, "position", _position, "let Med-DANet V2's crop positions learn from whole slices")
    shared = "train MutualNet: one network at every width and resolution"
    _add_stage(stages, "mutual", _mutual, shared, fine_tuning=True, one_process=False)
    _add_stage(stages, "v2-folds", _v2_folds, "cross-validate Med-DANet V2 and its ablations, and write the bundle")
    _add_stage(stages, "bundle", _bundle, "validate on held-out cases and write the bundle")
    cleaning = "try thresholds of cleaning (islands, labels that a case may lack) on held-out cases: tables"
    budgets = "compare ways to spend a budget on held-out cases: table and figure"
    for parser in (
        _add_stage(stages, "cleaning", _cleaning, cleaning),
        _add_stage(stages, "budgets", _budgets, budgets),
    ):
        parser.add_argument(
            "--folds", action="store_true", help="FILE configures a cross-validation (train folds), not a bundle"
        )
    _add_stage(stages, "folds", _folds, "cross-validate everything, then train on all cases and write the bundle")
    _add_stage(stages, "query-table", _query_table, "measure every configuration of finished slimmable networks")
    _add_stage(stages, "mutual-folds", _mutual_folds, "cross-validate MutualNet, compare, and write its bundle")
    tables = "print the papers' tables beside ours, from a cross-validation (trains what they need)"
    _add_stage(stages, "tables", _tables, tables).add_argument(
        "--only", type=int, nargs="+", choices=PAPER_TABLES, metavar="N", help="tables to print (default: all)"
    )


def _add_stage(
    stages: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    function: Stage,
    help_text: str,
    fine_tuning: bool = False,
    one_process: bool = True,
) -> argparse.ArgumentParser:
    parser = stages.add_parser(name, help=help_text)
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="YAML, see DynamicSegLib/training/configs"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value, e.g. data.cache=/data/cache"
    )
    if fine_tuning:
        parser.add_argument(
            "--from", dest="bundle", metavar="BUNDLE", help="start from a bundle's weights (fine-tuning)"
        )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's)")
    parser.set_defaults(func=partial(_run, function, one_process=one_process))
    return parser


def _run(function: Stage, options: argparse.Namespace, one_process: bool = True) -> int:
    """Run one stage; several processes of torchrun, or a disk that cannot be written to, are one clear error."""
    from DynamicSegLib.errors import TrainingError
    from DynamicSegLib.training.distribution import require_one_process

    if one_process:
        require_one_process(f"`dynamicseg train {options.stage}`")
    try:
        return function(options)
    except (BrokenPipeError, FileNotFoundError, PermissionError):
        raise  # `main` has words for these
    except OSError as error:
        raise TrainingError(
            f"`dynamicseg train {options.stage}` stopped at a file ({error}): is the disk full? Free some space and "
            "start the same command again: it goes on."
        ) from error


def _add_pack(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = stages.add_parser("pack", help="turn labelled scans into a slice cache with folds")
    parser.add_argument("data", type=Path, help="data folder, or a CSV of paths")
    parser.add_argument("--layout", choices=LAYOUT_NAMES, required=True, help="how the data folder is organised")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="the slice cache to fill")
    parser.add_argument("--task", default="glioma", help="glioma, or a YAML file that describes another task")
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="folds, drawn by patient (default: 5)")
    parser.set_defaults(func=partial(_run, _pack))


def _add_parts(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    split = stages.add_parser("split", help="cut a slice cache into compressed parts, to carry it to another machine")
    split.add_argument("--cache", type=Path, required=True, metavar="DIR")
    split.add_argument("--parts", type=Path, required=True, metavar="DIR")
    split.add_argument("--limit-mib", type=float, default=60.0, metavar="N", help="size of a part (default: 60)")
    split.set_defaults(func=partial(_run, _split))
    join = stages.add_parser("join", help="put the parts of a slice cache together again")
    join.add_argument("--parts", type=Path, required=True, metavar="DIR")
    join.add_argument("--cache", type=Path, required=True, metavar="DIR")
    join.set_defaults(func=partial(_run, _join))


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _pack(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.layouts import LAYOUTS, left_out
    from DynamicSegLib.training.packing import pack_cases
    from DynamicSegLib.training.task import read_task

    task = read_task(options.task)
    cases = LAYOUTS[options.layout](options.data, task.input.modalities)
    for folder in left_out(options.data, cases):
        _note(f"{folder} is left out: it has no label file (...seg.nii.gz). Rename it where there is one.")
    pack_cases(cases, task, options.cache, options.folds, _note)
    return 0


def _split(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.parts import split_cache

    _note(f"{split_cache(options.cache, options.parts, options.limit_mib, _note)} parts")
    return 0


def _join(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.parts import join_parts

    _note(f"{join_parts(options.parts, options.cache)} cases in {options.cache}")
    return 0


def _bank(options: argparse.Namespace) -> int:
    from DynamicSegLib.training import stages
    from DynamicSegLib.training.config import BankConfig

    stages.train_bank(_started(options, BankConfig), _device(options), options.bundle)
    return 0


def _decision(options: argparse.Namespace) -> int:
    from DynamicSegLib.training import stages
    from DynamicSegLib.training.config import DecisionConfig

    stages.train_decision(_started(options, DecisionConfig), _device(options), options.bundle, _note)
    return 0


def _mutual(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.mutual_config import MutualConfig
    from DynamicSegLib.training.mutual_stages import shared_state, train_mutual

    config = _started(options, MutualConfig)
    initial = None if options.bundle is None else shared_state(options.bundle, config)
    train_mutual(config, _device(options), initial)
    return 0


def _v2(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.v2_config import V2Config
    from DynamicSegLib.training.v2_run import base_state, train_v2

    config = _started(options, V2Config)
    base = None if options.bundle is None else base_state(options.bundle, config)
    train_v2(config, _device(options), base)
    return 0


def _position(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.position_run import train_position
    from DynamicSegLib.training.v2_config import PositionConfig

    train_position(_config(options, PositionConfig), _device(options))
    return 0


def _v2_folds(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.v2_config import V2FoldsConfig
    from DynamicSegLib.training.v2_folds import V2Folds

    print(V2Folds(_config(options, V2FoldsConfig), _device(options), _note).run())
    return 0


def _bundle(options: argparse.Namespace) -> int:
    from DynamicSegLib.training import stages
    from DynamicSegLib.training.config import BundleConfig

    stages.make_bundle(_config(options, BundleConfig), _device(options), _note)
    return 0


def _cleaning(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.cleaning_choice import trial_markdown
    from DynamicSegLib.training.config import BundleConfig, FoldsConfig
    from DynamicSegLib.training.folds import CrossValidation
    from DynamicSegLib.training.stages import try_cleaning

    if options.folds:
        trial = CrossValidation(_config(options, FoldsConfig), _device(options), _note).try_cleaning()
    else:
        trial = try_cleaning(_config(options, BundleConfig), _device(options), _note)
    print(trial_markdown(trial))
    return 0


def _folds(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.config import FoldsConfig
    from DynamicSegLib.training.folds import cross_validate

    cross_validate(_config(options, FoldsConfig), _device(options), _note)
    return 0


def _query_table(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.mutual_config import QueryTableConfig
    from DynamicSegLib.training.mutual_stages import make_query_table

    make_query_table(_config(options, QueryTableConfig), _device(options), _note)
    return 0


def _mutual_folds(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.mutual_config import MutualFoldsConfig
    from DynamicSegLib.training.mutual_folds import cross_validate_mutual

    cross_validate_mutual(_config(options, MutualFoldsConfig), _device(options), _note)
    return 0


def _budgets(options: argparse.Namespace) -> int:
    from DynamicSegLib.evaluation.budget_rules import rules_markdown, structures_of
    from DynamicSegLib.files import written_together
    from DynamicSegLib.reporting.budget_rules import write_rules
    from DynamicSegLib.training.config import BundleConfig, FoldsConfig
    from DynamicSegLib.training.folds import CrossValidation
    from DynamicSegLib.training.stages import compare_budget_rules

    config: BundleConfig | FoldsConfig
    if options.folds:
        config = _config(options, FoldsConfig)
        rows = CrossValidation(config, _device(options), _note).compare_budget_rules()
    else:
        config = _config(options, BundleConfig)
        rows = compare_budget_rules(config, _device(options), _note)
    structures = structures_of(rows)
    text = "\n\n".join(f"{name} Dice\n\n{rules_markdown(rows, name)}" for name in structures)
    with written_together(config.output) as scratch:
        (scratch / "budgets.md").write_text(text + "\n", encoding="utf-8")
        write_rules(rows, structures[0], scratch / "budgets.png")
    print(text)
    return 0


def _tables(options: argparse.Namespace) -> int:
    from DynamicSegLib.training.config import FoldsConfig
    from DynamicSegLib.training.paper_tables import paper_tables

    print(paper_tables(_config(options, FoldsConfig), _device(options), _note, options.only))
    return 0


def _config(options: argparse.Namespace, kind: "type[Config]") -> "Config":
    from DynamicSegLib.training.config_reading import read_config

    return read_config(options.config, kind, options.set)


def _started(options: argparse.Namespace, kind: "type[Run]") -> "Run":
    """The configuration of a run, which notes the bundle that it starts from."""
    from DynamicSegLib.training.checkpoints import bundle_mark

    config = _config(options, kind)
    return config if options.bundle is None else replace(config, started_from=bundle_mark(options.bundle))


def _device(options: argparse.Namespace) -> "torch.device":
    from DynamicSegLib.threads import apply_to_torch, use_threads
    from DynamicSegLib.training.distribution import choose_device

    if options.threads is not None:
        use_threads(options.threads)
        apply_to_torch()
    return choose_device(options.device)
