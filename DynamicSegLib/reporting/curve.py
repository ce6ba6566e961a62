"""The quality-cost curve and the query table as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from DynamicSegLib.bundle import CurvePoint
from DynamicSegLib.query_table import QueryRow
from DynamicSegLib.reporting.chart import import_figure

GIGA = 1e9


def write_curve(
    points: Sequence[CurvePoint], title: str, path: Path, rows: Sequence[QueryRow] = (), front: Sequence[QueryRow] = ()
) -> None:
    """Draw the predicted quality, and where there is one the measured Dice of each structure, against cost; beside it
    the query table, where there is one, with its front.

    Parameters
    ----------
    points: may be empty where there are rows.
    rows, front: all configurations of a query table, and those that no other beats.

    Raises
    ------
    DynamicSegError: matplotlib is not installed.
    """
    count = bool(points) + bool(rows)
    figure = import_figure()(figsize=(0.5 + 6.5 * count, 4.5), dpi=130, layout="constrained")
    places = list(figure.subplots(1, count, squeeze=False)[0])
    if points:
        _draw_points(places.pop(0), points, title)
    if rows:
        _draw_table(places.pop(0), rows, front, "one network for the whole volume" if points else title)
    figure.savefig(path)


def _draw_points(axes: Any, points: Sequence[CurvePoint], title: str) -> None:
    cost = [point.macs / GIGA for point in points]
    axes.plot(cost, [point.predicted for point in points], color="#333333", marker="o", markersize=3, label="predicted")
    for name in dict.fromkeys(name for point in points for name in point.measured):
        known = [(point.macs / GIGA, point.measured[name]) for point in points if name in point.measured]
        axes.plot(*zip(*known, strict=True), marker="o", markersize=3, label=f"{name}, measured Dice")
    _dress(axes, "cost of a case, billion multiply-accumulates", "Dice", title)


def _draw_table(axes: Any, rows: Sequence[QueryRow], front: Sequence[QueryRow], title: str) -> None:
    """Every configuration as a dot, the darker the wider its network, and the front as a line through the best."""
    dots = axes.scatter(
        [row.macs / GIGA for row in rows],
        [row.quality for row in rows],
        c=[row.width for row in rows],
        cmap="Greys",
        vmin=0,
        vmax=1,
        s=16,
        label=f"{len(rows)} configurations",
    )
    axes.figure.colorbar(dots, ax=axes, label="width, share of the full network")
    best = [(row.macs / GIGA, row.quality) for row in front]
    axes.plot(*zip(*best, strict=True), color="#0072B2", marker="o", markersize=4, label=f"front ({len(front)})")
    _dress(axes, "cost of a slice, billion multiply-accumulates", "Dice, mean of the structures", title)
    axes.set_ylim(max(0.0, min(row.quality for row in rows) - 0.05), min(1.0, max(q for _, q in best) + 0.05))


def _dress(axes: Any, x_label: str, y_label: str, title: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower right")
