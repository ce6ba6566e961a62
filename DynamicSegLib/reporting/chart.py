"""The chart of a run: which option each slice got, what it cost, and how much was found there."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DynamicSegLib.errors import DynamicSegError
from DynamicSegLib.reporting.palette import option_color
from DynamicSegLib.reporting.words import bits_of
from DynamicSegLib.segmentation import Decision, Segmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches.
_HEIGHT = 4.6
_HEIGHT_OF_STAGE = 0.28
_WIDTH = 11.0
_LEFT, _RIGHT, _TOP, _BOTTOM, _BETWEEN = 0.65, 2.35, 0.35, 0.5, 0.4
_STRIP = 0.07  # height of the strip of options below the bars, as a share of the highest bar


def require_matplotlib() -> None:
    """Raises DynamicSegError, whose message names the extra, where matplotlib is not installed; imports nothing."""
    if find_spec("matplotlib") is None:
        raise DynamicSegError("Charts need matplotlib: pip install 'DynamicSeg[report]'.")


def import_figure() -> "type[Figure]":
    """Matplotlib's figure class, without pyplot and so without a display.

    Raises
    ------
    DynamicSegError: see `require_matplotlib`.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure


def write_chart(segmentation: Segmentation, path: Path) -> None:
    """Draw `segmentation` as a PNG: bars of cost a slice in the option's colour, a strip that shows skip too, the area
    found as a line, and activation ratios in the legend; below, where the method has them, the bits of each encoder
    stage.

    Raises
    ------
    DynamicSegError: matplotlib is not installed.
    """
    figure_class = import_figure()
    order = sorted(range(len(segmentation.decisions)), key=lambda i: segmentation.decisions[i].slice)
    decisions = [segmentation.decisions[i] for i in order]
    slices = np.array([decision.slice for decision in decisions])
    bits = _bits(decisions)
    heights = [_HEIGHT] if bits is None else [_HEIGHT, _HEIGHT_OF_STAGE * bits.shape[1]]
    figure = figure_class(figsize=(_WIDTH, sum(heights)), dpi=130)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _lay_out(figure, len(heights))
    _draw_cost(axes[0], segmentation, decisions, slices)
    _draw_area(axes[0], segmentation, order, slices)
    axes[0].set_title(_title(segmentation), loc="left", fontsize=10)
    if bits is not None:
        _draw_bits(axes[1], bits, slices)
    axes[0].set_xlim(slices.min() - 0.5, slices.max() + 0.5)
    axes[-1].set_xlabel("slice")
    figure.legend(loc="upper right", frameon=False, title="option, share of slices", alignment="left")
    figure.savefig(path)


def _lay_out(figure: "Figure", rows: int) -> None:
    """Margins in inches; matplotlib's own layouts draw everything twice, which takes as long as some networks."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=_LEFT / width,
        right=1 - _RIGHT / width,
        top=1 - _TOP / height,
        bottom=_BOTTOM / height,
        hspace=_BETWEEN * rows / height,
    )


def _draw_cost(
    axes: Any, segmentation: Segmentation, decisions: Sequence[Decision], slices: np.ndarray[Any, Any]
) -> None:
    cost = np.array([decision.macs for decision in decisions]) / 1e9
    strip = _STRIP * max(cost.max(), 1e-9)
    ratios = segmentation.activation_ratio
    # One outline an option: hundreds of single bars take matplotlib longer than the networks some cases.
    edges = np.append(slices, slices[-1] + 1) - 0.5
    for option, name in enumerate(segmentation.options):
        here = np.array([decision.option == option for decision in decisions])
        color = option_color(option, len(segmentation.options) - 1)
        axes.stairs(cost * here, edges, fill=True, color=color, label=f"{name}  {100 * ratios[name]:.0f} %")
        axes.stairs(-strip * here, edges, fill=True, color=color)
    axes.axhline(0, color="white", linewidth=1.5)
    axes.set_ylim(-strip, max(cost.max() * 1.08, strip))
    axes.set_ylabel("cost, billion multiply-accumulates")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_area(axes: Any, segmentation: Segmentation, order: list[int], slices: np.ndarray[Any, Any]) -> None:
    _, row_mm, column_mm = segmentation.study.spacing_mm
    area = np.count_nonzero(segmentation.labels, axis=(1, 2))[order] * row_mm * column_mm / 100
    twin = axes.twinx()
    twin.plot(slices, area, color="white", linewidth=3.4)  # around the line, which crosses dark bars
    twin.plot(slices, area, color="#333333", linewidth=1.2, label="area found")
    twin.set_ylabel("area found, cm²")
    twin.set_ylim(-_STRIP / 1.08 * max(area.max() * 1.08, 1.0), max(area.max() * 1.08, 1.0))
    twin.spines[["top"]].set_visible(False)


def _bits(decisions: Sequence[Decision]) -> np.ndarray[Any, Any] | None:
    """Bits `[slice, stage]`, NaN on slices without; None where no decision has any."""
    each = [bits_of(decision.extra) for decision in decisions]
    stages = max(len(bits) for bits in each)
    return np.array([bits or (np.nan,) * stages for bits in each]) if stages else None


def _draw_bits(axes: Any, bits: np.ndarray[Any, Any], slices: np.ndarray[Any, Any]) -> None:
    """One row a stage, the darker the more bits; blank where a slice was skipped."""
    stages, most = bits.shape[1], np.nanmax(bits)
    extent = (slices.min() - 0.5, slices.max() + 0.5, stages + 0.5, 0.5)
    axes.imshow(bits.T, aspect="auto", extent=extent, cmap="Greys", vmin=0, vmax=1.2 * most, interpolation="nearest")
    axes.set_yticks(range(1, stages + 1))
    axes.set_ylabel("stage")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"bits of each encoder stage, {np.nanmin(bits):g} light to {most:g} dark", loc="left", fontsize=9)


def _title(segmentation: Segmentation) -> str:
    spent = segmentation.spent.macs / 1e9
    asked = segmentation.asked_macs
    budget = "" if asked is None else f" of {asked / 1e9:.0f} asked for"
    seconds = segmentation.seconds.get("route", 0.0) + segmentation.seconds.get("run", 0.0)
    return (
        f"{segmentation.facts['bundle']}: {spent:.0f} billion multiply-accumulates{budget}, {seconds:.1f} s, "
        f"router {segmentation.router.macs / 1e9:.1f}"
    )
