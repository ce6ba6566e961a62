"""Promised against reached quality as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from DynamicSegLib.evaluation.decisions import CalibrationBin
from DynamicSegLib.reporting.chart import import_figure
from DynamicSegLib.reporting.palette import option_color


def write_calibration(bins: Mapping[str, Sequence[CalibrationBin]], path: Path) -> None:
    """Draw each candidate's bins (see `evaluation.decisions.calibration`) as a PNG; what lies on the diagonal is kept.

    Raises
    ------
    DynamicSegError: matplotlib is not installed.
    """
    figure = import_figure()(figsize=(5, 4.6), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#C3C8CE", linewidth=1, zorder=0)
    for option, (name, each) in enumerate(bins.items(), start=1):
        axes.plot(
            [one.promised for one in each],
            [one.reached for one in each],
            "o-",
            color=option_color(option, len(bins)),
            label=name,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xlabel("promised Dice of a slice with tumour")
    axes.set_ylabel("reached, mean of the bin")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)
