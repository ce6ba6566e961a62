"""Tables of results: one row a policy, with the papers' rows beside, as Markdown and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.cost import Cost
from DynamicSegLib.evaluation.metrics import Score, mean_scores
from DynamicSegLib.evaluation.policies import Prices, is_routed
from DynamicSegLib.evaluation.published import TABLES


@dataclass(frozen=True)
class Row:
    """One row: mean and deviation over cases by structure (see `mean_scores`), and the mean cost of a case."""

    method: str
    scores: Mapping[str, Mapping[str, float]]
    cost: Cost
    slices: float
    all_cases: Cost


def policy_rows(
    plans: Mapping[str, Mapping[str, NDArray[np.int64]]],
    scores: Mapping[str, Mapping[str, Mapping[str, Score]]],
    prices: Prices,
    names: Sequence[str],
) -> list[Row]:
    """Rows of all policies. `plans` and `scores`: by case, then by policy."""
    rows = []
    for policy in next(iter(plans.values())):
        total = Cost()
        for each in plans.values():
            total = total + prices.of(each[policy], is_routed(policy, names))
        cases = len(plans)
        mean = Cost(total.macs // cases, total.paper_flops // cases)
        slices = float(np.mean([len(each[policy]) for each in plans.values()]))
        by_case = {case: each[policy] for case, each in scores.items()}
        rows.append(Row(policy, mean_scores(by_case), mean, slices, total))
    return rows


def markdown(rows: Sequence[Row], published: str | None = None) -> str:
    """A Markdown table: Dice and HD95 mean ± deviation, then both units of cost; the paper's rows after ours.

    `published`: a key of `published.TABLES`, e.g. `3 whole`.
    """
    names = list(rows[0].scores)
    heads = [f"{n} Dice" for n in names] + [f"{n} HD95 mm" for n in names]
    heads += ["G macs a case", "G paper FLOPs a case", "G paper FLOPs a slice"]
    lines = ["| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for row in rows:
        dice = [f"{row.scores[n]['dice']:.3f} ± {row.scores[n]['dice_deviation']:.3f}" for n in names]
        distance = [f"{row.scores[n]['hd95_mm']:.1f} ± {row.scores[n]['hd95_mm_deviation']:.1f}" for n in names]
        cost = [f"{row.cost.macs / 1e9:.1f}", f"{row.cost.paper_flops / 1e9:.1f}"]
        cost.append(f"{row.cost.paper_flops / row.slices / 1e9:.2f}")
        lines.append("| " + " | ".join([row.method, *dice, *distance, *cost]) + " |")
    return "\n".join(lines + (_published_lines(published, names) if published else [])) + "\n"


def comma_separated(rows: Sequence[Row]) -> str:
    """The same as CSV, ours only, costs as whole numbers, all cases and per case."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    measures = ("dice", "dice_deviation", "hd95_mm", "hd95_mm_deviation")
    names = list(rows[0].scores)
    costs = [
        "macs_all_cases",
        "paper_flops_all_cases",
        "macs_per_case",
        "paper_flops_per_case",
        "paper_flops_per_slice",
    ]
    writer.writerow(["method", *(f"{n}_{m}" for n in names for m in measures), *costs])
    for row in rows:
        values = [f"{row.scores[n][m]:.4f}" for n in names for m in measures]
        paid = [row.all_cases.macs, row.all_cases.paper_flops, row.cost.macs, row.cost.paper_flops]
        writer.writerow([row.method, *values, *paid, round(row.cost.paper_flops / row.slices)])
    return stream.getvalue()


def _published_lines(table: str, names: Sequence[str]) -> list[str]:
    order = {"ET": 0, "WT": 1, "TC": 2}
    lines = []
    for row in TABLES[table]:
        dice = [f"{row.dice[order[n]] / 100:.3f}" if n in order else "" for n in names]
        distance = [f"{row.hd95_mm[order[n]]:.1f}" if row.hd95_mm and n in order else "" for n in names]
        cost = ["", "" if row.per_case is None else f"{row.per_case:.1f}"]
        cost.append("" if row.per_slice is None else f"{row.per_slice:.2f}")
        lines.append("| " + " | ".join([f"*paper:* {row.method}", *dice, *distance, *cost]) + " |")
    return lines
