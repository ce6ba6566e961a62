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
from DynamicSegLib.evaluation.published import TABLES, UNITS

AMOUNTS = ("all cases", "a case", "a slice", "an inference")
"""What costs are of, as in Med-DANet's Tables 3 to 6."""


@dataclass(frozen=True)
class Row:
    """One row: mean and deviation over cases by structure (see `mean_scores`), and the mean cost of a case.

    slices: of a case, mean. inferences: runs of a network on a slice that is not skipped: 1, or its windows.
    """

    method: str
    scores: Mapping[str, Mapping[str, float]]
    cost: Cost
    slices: float
    all_cases: Cost
    cases: int
    inferences: int = 1

    @property
    def macs(self) -> tuple[float, ...]:
        """Of each of `AMOUNTS`."""
        return self._amounts(self.all_cases.macs, self.cost.macs)

    @property
    def paper_flops(self) -> tuple[float, ...]:
        """Of each of `AMOUNTS`."""
        return self._amounts(self.all_cases.paper_flops, self.cost.paper_flops)

    def _amounts(self, all_cases: int, case: int) -> tuple[float, ...]:
        return all_cases, case, case / self.slices, case / self.slices / self.inferences


def policy_rows(
    plans: Mapping[str, Mapping[str, NDArray[np.int64]]],
    scores: Mapping[str, Mapping[str, Mapping[str, Score]]],
    prices: Prices,
    names: Sequence[str],
    inferences: int = 1,
) -> list[Row]:
    """Rows of all policies. `plans` and `scores`: by case, then by policy. `inferences`: see `Row`."""
    rows = []
    for policy in next(iter(plans.values())):
        total = Cost()
        for each in plans.values():
            total = total + prices.of(each[policy], is_routed(policy, names))
        cases = len(plans)
        mean = Cost(total.macs // cases, total.paper_flops // cases)
        slices = float(np.mean([len(each[policy]) for each in plans.values()]))
        by_case = {case: each[policy] for case, each in scores.items()}
        rows.append(Row(policy, mean_scores(by_case), mean, slices, total, cases, inferences))
    return rows


def markdown(rows: Sequence[Row], published: str | None = None) -> str:
    """A Markdown table: Dice and HD95 mean ± deviation, then both units of cost; the paper's rows after ours.

    Below it stands what the costs are of, ours and the paper's.

    `published`: a key of `published.TABLES`, e.g. `3 whole`.
    """
    names = list(rows[0].scores)
    heads = [f"{n} Dice" for n in names] + [f"{n} HD95 mm" for n in names]
    heads += [f"G {unit} {amount}" for unit in ("macs", "paper FLOPs") for amount in AMOUNTS]
    lines = ["| method | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for row in rows:
        dice = [f"{row.scores[n]['dice']:.3f} ± {row.scores[n]['dice_deviation']:.3f}" for n in names]
        distance = [f"{row.scores[n]['hd95_mm']:.1f} ± {row.scores[n]['hd95_mm_deviation']:.1f}" for n in names]
        cost = [f"{value / 1e9:.2f}" for value in (*row.macs, *row.paper_flops)]
        lines.append("| " + " | ".join([row.method, *dice, *distance, *cost]) + " |")
    units = [_units(rows[0])]
    if published:
        lines += _published_lines(published, names)
        units.append(UNITS[published])
    return "\n".join([*lines, "", *units]) + "\n"


def _units(row: Row) -> str:
    inferences = "one inference" if row.inferences == 1 else f"{row.inferences} windows, an inference each,"
    return (
        f"Ours: {row.cases} cases of {row.slices:.0f} slices; {inferences} on a slice that is not skipped. The "
        "decision network is in the cost of every row that asks it."
    )


def comma_separated(rows: Sequence[Row]) -> str:
    """The same as CSV, ours only, costs as whole numbers."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    measures = ("dice", "dice_deviation", "hd95_mm", "hd95_mm_deviation")
    names = list(rows[0].scores)
    amounts = ("all_cases", "per_case", "per_slice", "per_inference")
    costs = [f"{unit}_{amount}" for unit in ("macs", "paper_flops") for amount in amounts]
    writer.writerow(["method", *(f"{n}_{m}" for n in names for m in measures), *costs])
    for row in rows:
        values = [f"{row.scores[n][m]:.4f}" for n in names for m in measures]
        writer.writerow([row.method, *values, *(round(value) for value in (*row.macs, *row.paper_flops))])
    return stream.getvalue()


def _published_lines(table: str, names: Sequence[str]) -> list[str]:
    order = {"ET": 0, "WT": 1, "TC": 2}
    lines = []
    for row in TABLES[table]:
        dice = [f"{row.dice[order[n]] / 100:.3f}" if n in order else "" for n in names]
        distance = [f"{row.hd95_mm[order[n]]:.1f}" if row.hd95_mm and n in order else "" for n in names]
        flops = (row.all_cases, row.per_case, row.per_slice, row.per_inference)
        cost = [""] * len(AMOUNTS) + ["" if value is None else f"{value:.2f}" for value in flops]
        lines.append("| " + " | ".join([f"*paper:* {row.method}", *dice, *distance, *cost]) + " |")
    return lines
