"""The quality-cost curve as a figure."""

from collections.abc import Sequence
from pathlib import Path

from DynamicSegLib.bundle import CurvePoint
from DynamicSegLib.reporting.chart import import_figure


def write_curve(points: Sequence[CurvePoint], title: str, path: Path) -> None:
    """Draw the predicted quality, and where there is one the measured Dice of each structure, against cost.

    Raises
    ------
    DynamicSegError: matplotlib is not installed.
    """
    figure = import_figure()(figsize=(7, 4.5), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    cost = [point.macs / 1e9 for point in points]
    axes.plot(cost, [point.predicted for point in points], color="#333333", marker="o", markersize=3, label="predicted")
    for name in dict.fromkeys(name for point in points for name in point.measured):
        known = [(point.macs / 1e9, point.measured[name]) for point in points if name in point.measured]
        axes.plot(*zip(*known, strict=True), marker="o", markersize=3, label=f"{name}, measured Dice")
    axes.set_xlabel("cost of a case, billion multiply-accumulates")
    axes.set_ylabel("Dice")
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path)
