"""The papers' Tables 1, 3, 4, 5, 6 and 8 from one cross-validation, the papers' rows beside ours."""

from collections.abc import Sequence
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


def paper_tables(config: FoldsConfig, device: torch.device, report: Report) -> str:
    """All tables as Markdown. Decision networks that a table needs are trained where they are not there yet."""
    run = CrossValidation(config, device, report)
    names = [candidate.name for candidate in run.bank_config.candidates]
    final = _rows(run, Variant())
    parts = [
        ("Table 1: against other methods", markdown([_dynamic(final, "DynamicSeg")], "1")),
        ("Table 3, setting 1 (windows)", markdown(_rows(run, Variant("window", setting="window")), "3 window")),
        ("Table 3, setting 2 (whole slices)", markdown(final, "3 whole")),
        ("Table 4: choice metric", markdown(_choice_metrics(run), "4")),
        ("Table 5: decision networks", markdown(_backbones(run), "5")),
        ("Table 6: number of candidates", markdown(_bank_sizes(run, names, final), "6")),
        ("Table 8: joint or individual training", markdown(_strategies(config, device, report, final), "8")),
    ]
    return "\n".join(f"## {title}\n\n{text}" for title, text in parts)


def _rows(run: CrossValidation, variant: Variant) -> list[Row]:
    validator, results = run.validate(variant)
    size = results[0].size
    names = [candidate.name for candidate in validator.bank.candidates]
    plans = {each.case: each.plans for each in results}
    scores = {each.case: each.scores for each in results}
    return policy_rows(plans, scores, validator.prices(size), names)


def _dynamic(rows: Sequence[Row], name: str) -> Row:
    return replace(next(row for row in rows if row.method == DYNAMIC), method=name)


def _choice_metrics(run: CrossValidation) -> list[Row]:
    variants = [Variant(f"alpha-{alpha:g}", alpha, Softmax.BOTH) for alpha in ALPHAS]
    variants += [Variant(f"softmax-{softmax.value}", softmax=softmax) for softmax in METRICS]
    return [_dynamic(_rows(run, variant), variant.name.replace("-", " ", 1)) for variant in variants]


def _backbones(run: CrossValidation) -> list[Row]:
    return [_dynamic(_rows(run, Variant(f"with-{name}", backbone=name)), name) for name in BACKBONES]


def _bank_sizes(run: CrossValidation, names: Sequence[str], final: Sequence[Row]) -> list[Row]:
    rows = [replace(next(row for row in final if row.method == SKIP_ONLY), method="0 (skip only)")]
    for count in range(2, len(names), 2):
        # As in the paper: the lightest of each kind first (M1 and M3, then all four).
        kept = tuple(names[index] for index in range(0, len(names), len(names) // count))
        rows.append(_dynamic(_rows(run, Variant("of-" + "-".join(kept), candidates=kept)), " + ".join(kept)))
    return [*rows, _dynamic(final, " + ".join(names))]


def _strategies(config: FoldsConfig, device: torch.device, report: Report, final: Sequence[Row]) -> list[Row]:
    ours = "joint training" if config.joint else "individual training"
    other = replace(config, joint=not config.joint, output=config.output.with_name(config.output.name + "-other"))
    theirs = "individual training" if config.joint else "joint training"
    return [_dynamic(final, ours), _dynamic(_rows(CrossValidation(other, device, report), Variant()), theirs)]
