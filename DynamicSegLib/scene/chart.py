"""The per-slice chart as plot nodes: one bar a slice, as high as its cost, in the colour of the option it got.

Slicer splits the width of a bar chart among its series, so that bars of several series are thin and stand beside their
slice. Here each option is a line series of upright strokes instead, broken by gaps: strokes stand exactly on their
slice, each in its option's colour, which the legend repeats. A stroke carries points along its whole height, so that
a click anywhere on it finds it. Where the method adds something to a slice (crop, bits, width), the stroke's tooltip
says it in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from DynamicSegLib.reporting.palette import option_color
from DynamicSegLib.reporting.words import DETAILS, details_in_words
from DynamicSegLib.scene.placement import add_hidden
from DynamicSegLib.segmentation import Decision

Node = Any

SLICE_COLUMN = "slice"
# Points of one stroke, and the gap that ends it.
POINTS = 24
ROWS = POINTS + 1
# A skipped slice costs next to nothing: it gets a stroke of this share of the axis, so that it can be seen and clicked.
STUB = 0.015
HEADROOM = 1.06
# Width of the strokes in pixels: together they fill most of a plot view of usual width.
USUAL_WIDTH_PIXELS = 400
# Slicer puts the legend into the upper right corner: this share of the axis is kept free for it.
LEGEND_ROOM = 0.24
# Red: neither an option's hue nor a label's.
MARKER_COLOR = (0.82, 0.13, 0.16)
GIGA = 1e9


@dataclass(frozen=True)
class Chart:
    """The nodes of one chart: the chart, its points, and the table of the stroke that marks the current slice."""

    chart: Node
    points: Node
    marker: Node

    @property
    def nodes(self) -> list[Node]:
        """All nodes, series included, for removal."""
        series = [self.chart.GetNthPlotSeriesNode(index) for index in range(self.chart.GetNumberOfPlotSeriesNodes())]
        return [*series, self.chart, self.points, self.marker]


def create_chart(decisions: Sequence[Decision], options: Sequence[str], name: str, title: str) -> Chart:
    """Add the chart's nodes to the scene; nothing is shown yet."""
    points = add_hidden(slicer.vtkMRMLTableNode(), f"{name} points")
    marker = add_hidden(slicer.vtkMRMLTableNode(), f"{name} marker")
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    for place, option in enumerate(options):
        series = add_hidden(slicer.vtkMRMLPlotSeriesNode(), option)
        series.SetAndObserveTableNodeID(points.GetID())
        series.SetYColumnName(option)
        series.SetColor(*rgb_of(option_color(place, len(options) - 1)))
        series.SetLabelColumnName(DETAILS)
        _draw_as_strokes(series)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    current = add_hidden(slicer.vtkMRMLPlotSeriesNode(), "slice in view")
    current.SetAndObserveTableNodeID(marker.GetID())
    current.SetYColumnName("height")
    current.SetColor(*MARKER_COLOR)
    _draw_as_strokes(current)
    chart.AddAndObservePlotSeriesNodeID(current.GetID())
    made = Chart(chart, points, marker)
    fill_chart(made, decisions, options, title)
    return made


def fill_chart(made: Chart, decisions: Sequence[Decision], options: Sequence[str], title: str) -> None:
    """Draw these decisions into a chart made by `create_chart`."""
    rows = sorted(decisions, key=lambda decision: decision.slice)
    indices = np.array([row.slice for row in rows])
    giga = np.array([row.macs / GIGA for row in rows])
    top = _axis_top(giga, skipped_all=not any(row.option for row in rows))
    heights = np.maximum(giga, STUB * top)
    chosen = np.array([row.option for row in rows])
    columns = [np.repeat(indices, ROWS)]
    columns += [_strokes(np.where(chosen == option, heights, np.nan)) for option in range(len(options))]
    slicer.util.updateTableFromArray(made.points, columns, [SLICE_COLUMN, *options])
    made.points.AddColumn(_repeated([details_in_words(row.extra) for row in rows]))
    slicer.util.updateTableFromArray(
        made.marker, [np.full(2, indices[0]), np.array([np.nan, top])], [SLICE_COLUMN, "height"]
    )
    width = float(np.clip(USUAL_WIDTH_PIXELS / len(rows), 2.0, 16.0))
    for number, option in enumerate(options):
        series = made.chart.GetNthPlotSeriesNode(number)
        series.SetName(f"{option}  {np.mean(chosen == number):.0%}")
        series.SetLineWidth(width)
    _label_axes(made.chart, title, (int(indices[0]), int(indices[-1])), top)


def mark_slice(made: Chart, index: int | None) -> None:
    """Move the marker to a slice index; None hides it."""
    top = made.chart.GetYAxisRange()[1]
    column = slicer.util.arrayFromTableColumn(made.marker, SLICE_COLUMN)
    height = slicer.util.arrayFromTableColumn(made.marker, "height")
    wanted = (column[0] if index is None else index, np.nan if index is None else 0.0)
    if column[0] == wanted[0] and (height[0] == wanted[1] or (np.isnan(height[0]) and index is None)):
        return
    column[:] = wanted[0]
    height[:] = (wanted[1], top)
    slicer.util.arrayFromTableColumnModified(made.marker, SLICE_COLUMN)
    made.marker.Modified()


def slice_of_row(made: Chart, series_id: str, row: int) -> int | None:
    """Which slice a selected point of a series belongs to; None for the marker's own points."""
    series = slicer.mrmlScene.GetNodeByID(series_id)
    if series is None or series.GetTableNodeID() != made.points.GetID():
        return None
    return int(slicer.util.arrayFromTableColumn(made.points, SLICE_COLUMN)[row])


def rgb_of(color: str) -> tuple[float, float, float]:
    """Red, green and blue, 0..1, of `#rrggbb`."""
    red, green, blue = bytes.fromhex(color.lstrip("#"))
    return red / 255, green / 255, blue / 255


def _strokes(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points from the axis to each height, each stroke ended by a gap; slices that are NaN stay gaps."""
    levels = np.append(np.linspace(0.0, 1.0, POINTS), np.nan)
    return (heights[:, None] * levels[None, :]).ravel()


def _repeated(details: Sequence[str]) -> vtk.vtkStringArray:
    """The words of each slice's stroke, once a point of it."""
    column = vtk.vtkStringArray()
    column.SetName(DETAILS)
    for words in details:
        for _ in range(ROWS):
            column.InsertNextValue(words)
    return column


def _axis_top(giga: NDArray[np.float64], skipped_all: bool) -> float:
    """Where the cost axis ends; where only the router's own cost was spent, high above it, so that it looks small."""
    top = float(giga.max()) * (10.0 if skipped_all else HEADROOM)
    return top if top > 0 else 1.0


def _draw_as_strokes(series: Node) -> None:
    series.SetXColumnName(SLICE_COLUMN)
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)


def _label_axes(chart: Node, title: str, slices: tuple[int, int], top: float) -> None:
    first, last = slices
    with slicer.util.NodeModify(chart):
        chart.SetTitle(title)
        chart.SetTitleFontSize(15)
        chart.SetAxisTitleFontSize(13)
        chart.SetAxisLabelFontSize(11)
        chart.SetLegendFontSize(11)
        chart.SetXAxisTitle("Slice")
        chart.SetYAxisTitle("Cost (GMAC)")
        chart.SetLegendVisibility(True)
        chart.SetGridVisibility(False)
        chart.SetXAxisRangeAuto(False)
        chart.SetYAxisRangeAuto(False)
        chart.SetXAxisRange(first - 1.0, last + 1.0 + LEGEND_ROOM * (last - first))
        chart.SetYAxisRange(0.0, top)
