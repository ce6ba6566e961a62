"""The papers' Tables 1, 3, 4, 5, 6 and 8 from one cross-validation, the papers' rows beside ours."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch

from DynamicSegLib.evaluation.choices import Softmax
from DynamicSegLib.evaluation.policies import DYNAMIC, SKIP_ONLY
from DynamicSegLib.evaluation.tables import Row, markdown, policy_rows
from DynamicSegLib.training.config import FoldsConfig
from DynamicSegLib.training.folds import CrossValidation, Variant
from DynamicSegLib.training.stages import Report

ALPHAS = (0.0001, 0.001, 0.01)
METRICS = tuple(Softmax)
BACKBONES = ("mobilenetv2-1.0x", "ghostnet-0.5x", "shufflenetv2-0.5x", "shufflenetv2-m")

Part = tuple[str, str]
"""A table's title and its Markdown."""


def paper_tables(
    config: FoldsConfig, device: torch.device, report: Report, numbers: Iterable[int] | None = None
) -> str:
    """Tables as Markdown, in the paper's order. What a table needs is trained where it is not there yet.

    numbers: keys of `TABLES`; all where None.
    """
    run = CrossValidation(config, device, report)
    chosen = set(TABLES) if numbers is None else set(numbers)
    parts = [part for number, table in TABLES.items() if number in chosen for part in table(run)]
    return "\n".join(f"## {title}\n\n{text}" for title, text in parts)


def _against_others(run: CrossValidation) -> list[Part]:
    return [("Table 1: against other methods", markdown([_dynamic(_rows(run, Variant()), "DynamicSeg")], "1"))]


def _settings(run: CrossValidation) -> list[Part]:
    windows = _rows(run, Variant("window", setting="window"))
    return [
        ("Table 3, setting 1 (windows)", markdown(windows, "3 window")),
        ("Table 3, setting 2 (whole slices)", markdown(_rows(run, Variant()), "3 whole")),
    ]


def _choice_metrics(run: CrossValidation) -> list[Part]:
    designs = [(f"alpha {alpha:g}", alpha, Softmax.BOTH) for alpha in ALPHAS]
    designs += [(f"softmax {softmax.value}", Variant.alpha, softmax) for softmax in METRICS]
    rows = [
        _dynamic(_rows(run, Variant(f"alpha-{alpha:g}-softmax-{softmax.value}", alpha, softmax)), name)
        for name, alpha, softmax in designs
    ]
    return [("Table 4: choice metric", markdown(rows, "4"))]


def _backbones(run: CrossValidation) -> list[Part]:
    rows = [_dynamic(_rows(run, Variant(f"with-{name}", backbone=name)), name) for name in BACKBONES]
    return [("Table 5: decision networks", markdown(rows, "5"))]


def _bank_sizes(run: CrossValidation) -> list[Part]:
    names, final = [candidate.name for candidate in run.bank_config.candidates], _rows(run, Variant())
    rows = [replace(next(row for row in final if row.method == SKIP_ONLY), method="0 (skip only)")]
    for count in range(2, len(names), 2):
        # As in the paper: the lightest of each kind first (M1 and M3, then all four).
        kept = tuple(names[index] for index in range(0, len(names), len(names) // count))
        rows.append(_dynamic(_rows(run, Variant("of-" + "-".join(kept), candidates=kept)), " + ".join(kept)))
    return [("Table 6: number of candidates", markdown([*rows, _dynamic(final, " + ".join(names))], "6"))]


def _strategies(run: CrossValidation) -> list[Part]:
    config = run.config
    ours, theirs = ("joint", "individual") if config.joint else ("individual", "joint")
    other = replace(config, joint=not config.joint, output=config.output.with_name(config.output.name + "-other"))
    rows = [
        _dynamic(_rows(run, Variant()), f"{ours} training"),
        _dynamic(_rows(CrossValidation(other, run.device, run.report), Variant()), f"{theirs} training"),
    ]
    return [("Table 8: joint or individual training", markdown(rows, "8"))]


def _rows(run: CrossValidation, variant: Variant) -> list[Row]:
    validator, results = run.validate(variant)
    size = results[0].size
    names = [candidate.name for candidate in validator.bank.candidates]
    plans = {each.case: each.plans for each in results}
    scores = {each.case: each.scores for each in results}
    return policy_rows(plans, scores, validator.prices(size), names)


def _dynamic(rows: Sequence[Row], name: str) -> Row:
    return replace(next(row for row in rows if row.method == DYNAMIC), method=name)


TABLES: dict[int, Callable[[CrossValidation], list[Part]]] = {
    1: _against_others,
    3: _settings,
    4: _choice_metrics,
    5: _backbones,
    6: _bank_sizes,
    8: _strategies,
}
"""By number in Med-DANet (ECCV 2022)."""
