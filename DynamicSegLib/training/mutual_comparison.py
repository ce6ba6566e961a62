"""The comparison that the paper makes: mutual learning against separate training, and against mere narrowing."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DynamicSegLib.bundle import CurvePoint
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.query_table import QueryRow, pareto_front
from DynamicSegLib.reporting.chart import import_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MUTUAL = "mutual learning"


def write_comparison(
    folder: Path,
    rows: Sequence[QueryRow],
    others: Mapping[str, Sequence[QueryRow]],
    curves: Mapping[str, Sequence[CurvePoint]],
    slices: float,
) -> None:
    """Write `comparison.md` and `comparison.png`.

    Parameters
    ----------
    rows: all configurations of the slimmable network.
    others: whole-resolution rows of other ways to train, by name.
    curves: measured quality-cost curves of other bundles on the same cases, by name.
    slices: mean slices of a case, since curves cost a case and rows a slice.
    """
    write_text_whole(folder / "comparison.md", comparison_markdown(rows, others))
    _draw(folder / "comparison.png", rows, others, curves, slices)


def comparison_markdown(rows: Sequence[QueryRow], others: Mapping[str, Sequence[QueryRow]]) -> str:
    """Mean Dice of the whole slice at each width, one column a way to train, and how far mutual learning is ahead.

    Twice: by the challenges' rule for structures that a case lacks, and without these.
    """
    return (
        "Mean Dice, structures that a case lacks as in the challenges:\n\n"
        + _comparison(rows, others, _mean_dice)
        + "\nMean Dice, without structures that a case lacks:\n\n"
        + _comparison(rows, others, lambda row: row.quality)
    )


def _comparison(
    rows: Sequence[QueryRow], others: Mapping[str, Sequence[QueryRow]], of: Callable[[QueryRow], float]
) -> str:
    whole = [row for row in rows if row.resolution is None]
    columns = {MUTUAL: whole, **others}
    reached = {name: {row.width: of(row) for row in each} for name, each in columns.items()}
    heads = ["width", "G macs a slice", *columns, *(f"ahead of {name}" for name in others)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in sorted(whole, key=lambda each: each.width):
        found = [reached[name].get(row.width) for name in columns]
        ahead = [None if value is None else of(row) - value for value in found[1:]]
        cells = [f"{row.width:.2f}", f"{row.macs / 1e9:.3f}"]
        cells += ["" if value is None else f"{value:.4f}" for value in found]
        cells += ["" if value is None else f"{value:+.4f}" for value in ahead]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _draw(
    path: Path,
    rows: Sequence[QueryRow],
    others: Mapping[str, Sequence[QueryRow]],
    curves: Mapping[str, Sequence[CurvePoint]],
    slices: float,
) -> None:
    figure = import_figure()(figsize=(10, 5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*_points(rows, slices), ".", color="#C3C8CE", label="every configuration")
    axes.plot(*_points(pareto_front(rows, value=_mean_dice), slices), "-", color="#0072B2", label=f"{MUTUAL}, front")
    whole = [row for row in rows if row.resolution is None]
    axes.plot(*_points(whole, slices), "o-", color="#56B4E9", markersize=4, label=f"{MUTUAL}, whole slices")
    for (name, each), color in zip(others.items(), ("#D55E00", "#CC79A7", "#000000"), strict=False):
        axes.plot(*_points(each, slices), "s", color=color, label=name)
    _draw_curves(axes, curves)
    axes.set_xscale("log")
    axes.set_xlabel("billion multiply-accumulates a case")
    axes.set_ylabel("mean Dice of the structures")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path)


def _draw_curves(axes: "Axes", curves: Mapping[str, Sequence[CurvePoint]]) -> None:
    for (name, points), color in zip(curves.items(), ("#E69F00", "#009E73", "#8C6D31"), strict=False):
        measured = [point for point in points if point.measured and point.macs > 0]
        quality = [float(np.mean(list(point.measured.values()))) for point in measured]
        axes.plot([point.macs / 1e9 for point in measured], quality, "--", color=color, label=name)


def _mean_dice(row: QueryRow) -> float:
    """What other bundles' curves measure too."""
    return row.mean_dice


def _points(rows: Sequence[QueryRow], slices: float) -> tuple[list[float], list[float]]:
    ordered = sorted(rows, key=lambda row: row.macs)
    return [row.macs * slices / 1e9 for row in ordered], [_mean_dice(row) for row in ordered]
