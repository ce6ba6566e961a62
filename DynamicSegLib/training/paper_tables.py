"""The papers' Tables 1, 3, 4, 5, 6 and 8 from one cross-validation, the papers' rows beside ours."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch

from DynamicSegLib.bank import WINDOW
from DynamicSegLib.evaluation.choices import Softmax
from DynamicSegLib.evaluation.policies import DYNAMIC, SKIP_ONLY
from DynamicSegLib.evaluation.tables import Row, comma_separated, markdown, policy_rows
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.networks.windows import window_starts
from DynamicSegLib.training.config import CandidateConfig, FoldsConfig
from DynamicSegLib.training.folds import CrossValidation, Variant
from DynamicSegLib.training.stages import Report

ALPHAS = (0.0001, 0.001, 0.01)
METRICS = tuple(Softmax)
TRANSFORMERS = frozenset({"transbts2d"})
BACKBONES = ("mobilenetv2-1.0x", "ghostnet-0.5x", "shufflenetv2-0.5x", "shufflenetv2-m")

Part = tuple[str, list[Row], str]
"""A table's title, our rows, and the key of the paper's in `published.TABLES`."""


def paper_tables(
    config: FoldsConfig, device: torch.device, report: Report, numbers: Iterable[int] | None = None
) -> str:
    """Tables as Markdown, in the paper's order. What a table needs is trained where it is not there yet.

    Our rows are left as CSV in `tables` below the output.

    numbers: keys of `TABLES`; all where None.
    """
    run = CrossValidation(config, device, report)
    chosen = set(TABLES) if numbers is None else set(numbers)
    parts = [part for number, table in TABLES.items() if number in chosen for part in table(run)]
    for _, rows, key in parts:
        write_text_whole(config.output / "tables" / f"table-{key.replace(' ', '-')}.csv", comma_separated(rows))
    return "\n".join(f"## {title}\n\n{markdown(rows, key)}" for title, rows, key in parts)


def _against_others(run: CrossValidation) -> list[Part]:
    return [("Table 1: against other methods", [_dynamic(_rows(run, run.variant), "DynamicSeg")], "1")]


def _settings(run: CrossValidation) -> list[Part]:
    windows = _rows(run, replace(run.variant, name="window", setting="window"))
    return [
        ("Table 3, setting 1 (windows)", windows, "3 window"),
        ("Table 3, setting 2 (whole slices)", _rows(run, run.variant), "3 whole"),
    ]


def _choice_metrics(run: CrossValidation) -> list[Part]:
    designs = [(f"alpha {alpha:g}", alpha, Softmax.BOTH) for alpha in ALPHAS]
    designs += [(f"softmax {softmax.value}", run.variant.alpha, softmax) for softmax in METRICS]
    rows = []
    for name, alpha, softmax in designs:
        label = f"alpha-{alpha:g}-softmax-{softmax.value}"
        variant = replace(run.variant, name=label, alpha=alpha, softmax=softmax)
        rows.append(_dynamic(_rows(run, variant), name))
    return [("Table 4: choice metric", rows, "4")]


def _backbones(run: CrossValidation) -> list[Part]:
    variants = [replace(run.variant, name=f"with-{name}", backbone=name) for name in BACKBONES]
    rows = [_dynamic(_rows(run, variant), variant.backbone) for variant in variants]
    return [("Table 5: decision networks", rows, "5")]


def _bank_sizes(run: CrossValidation) -> list[Part]:
    final = _rows(run, run.variant)
    rows = [replace(next(row for row in final if row.method == SKIP_ONLY), method="0 (skip only)")]
    for kept in smaller_banks(run.bank_config.candidates):
        variant = replace(run.variant, name="of-" + "-".join(kept), candidates=kept)
        rows.append(_dynamic(_rows(run, variant), " + ".join(kept)))
    names = " + ".join(candidate.name for candidate in run.bank_config.candidates)
    return [("Table 6: number of candidates", [*rows, _dynamic(final, names)], "6")]


def smaller_banks(candidates: Sequence[CandidateConfig]) -> list[tuple[str, ...]]:
    """Names of the candidates of each bank of Table 6 but for the whole one: the first, thus lightest, 1, 2, ... CNNs
    and as many transformers, of a kind that has fewer all.

    Source: Med-DANet, Table 6 (1 CNN and 1 transformer, then 2 of each).
    """
    kinds = [
        [each for each in candidates if (each.network in TRANSFORMERS) is transformer] for transformer in (False, True)
    ]
    kept = [[each for kind in kinds for each in kind[: count // 2]] for count in range(2, len(candidates), 2)]
    return [tuple(each.name for each in candidates if each in some) for some in kept]


def _strategies(run: CrossValidation) -> list[Part]:
    config = run.config
    ours, theirs = ("joint", "individual") if config.joint else ("individual", "joint")
    other = replace(config, joint=not config.joint, output=config.output.with_name(config.output.name + "-other"))
    rows = [
        _dynamic(_rows(run, run.variant), f"{ours} training"),
        _dynamic(_rows(CrossValidation(other, run.device, run.report), run.variant), f"{theirs} training"),
    ]
    return [("Table 8: joint or individual training", rows, "8")]


def _rows(run: CrossValidation, variant: Variant) -> list[Row]:
    validator, results = run.validate(variant)
    size = results[0].size
    names = [candidate.name for candidate in validator.bank.candidates]
    plans = {each.case: each.plans for each in results}
    scores = {each.case: each.scores for each in results}
    inferences = math.prod(len(window_starts(side, WINDOW)) for side in size) if variant.setting == "window" else 1
    return policy_rows(plans, scores, validator.prices(size), names, inferences)


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
