"""Rules that spend the same budget, as a figure."""

from collections.abc import Sequence
from pathlib import Path

from DynamicSegLib.evaluation.budget_rules import SHARES, RuleRow
from DynamicSegLib.reporting.chart import import_figure


def write_rules(rows: Sequence[RuleRow], structure: str, path: Path) -> None:
    """Draw one structure's mean Dice against the budget, a line a rule; a rule starts where it can stay within it.

    Raises
    ------
    DynamicSegError: matplotlib is not installed.
    """
    figure = import_figure()(figsize=(7.5, 4.5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        points = [(100 * share, dice[structure]) for share, dice in zip(SHARES, row.dice, strict=True) if dice]
        strong = row.rule == "plan"
        axes.plot(
            *zip(*points, strict=True), marker="o", markersize=4, linewidth=2.5 if strong else 1.2, label=row.rule
        )
    axes.set_xscale("log")
    axes.set_xticks([100 * share for share in SHARES], [f"{100 * share:g} %" for share in SHARES])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("budget, share of the costliest candidate on every slice")
    axes.set_ylabel(f"{structure} Dice, mean of held-out cases")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path)
