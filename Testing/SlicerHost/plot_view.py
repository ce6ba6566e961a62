"""Stand-ins of the plot view and its widget: the MRML chart drawn with VTK's charts, as qMRMLPlotView.cxx does."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6.QtCore import Signal

from .render_view import RenderView, ViewWidget
from .widgets import stand_in, weakly

_LINE_STYLES = ("NO_PEN", "SOLID_LINE", "DASH_LINE", "DOT_LINE", "DASH_DOT_LINE", "DASH_DOT_DOT_LINE")


@stand_in
class qMRMLPlotView(RenderView):
    """Draws the chart of one plot view node, and tells which data were clicked."""

    dataSelected = Signal(object, object)
    mrmlSceneChanged = Signal(object)
    CPP_SIGNALS = ("dataSelected(vtkStringArray*,vtkCollection*)", "mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, view_node: Any) -> None:
        super().__init__()
        self._view_node = view_node
        self._series: dict[str, Any] = {}
        self._chart = vtk.vtkChartXY()
        self._chart.SetClickActionToButton(vtk.vtkChart.SELECT, 1)
        self._chart.AddObserver("SelectionChangedEvent", weakly(self, "_emit_selection"))

    def _start(self, window: Any) -> None:
        self._context = vtk.vtkContextActor()
        self._context.GetScene().AddItem(self._chart)
        renderer = vtk.vtkRenderer()
        renderer.SetBackground(1, 1, 1)
        renderer.AddActor(self._context)
        self._context.GetScene().SetRenderer(renderer)
        window.AddRenderer(renderer)

    def _prepare(self) -> None:
        """Fills the chart from the MRML nodes."""
        chart_node = self._view_node.GetPlotChartNode()
        count = chart_node.GetNumberOfPlotSeriesNodes() if chart_node is not None else 0
        identifiers = [chart_node.GetNthPlotSeriesNodeID(index) for index in range(count)]
        scene = self._view_node.GetScene()
        for identifier in set(self._series) - set(identifiers):
            self._chart.RemovePlotInstance(self._series.pop(identifier))
        for identifier in identifiers:
            self._update_series(scene.GetNodeByID(identifier), identifier)
        if chart_node is not None:
            self._style(chart_node)
        self._chart.GetBackgroundBrush().SetColor(255, 253, 246, 255)
        self._context.GetScene().SetDirty(True)

    def _update_series(self, series: Any, identifier: str) -> None:
        table = series.GetTableNode().GetTable() if series.GetTableNode() is not None else None
        column = table.GetColumnByName(series.GetYColumnName()) if table is not None else None
        plot = self._series.get(identifier)
        if column is None or column.GetDataType() in (vtk.VTK_STRING, vtk.VTK_BIT):
            if plot is not None:
                self._chart.RemovePlotInstance(self._series.pop(identifier))
            return
        bar = series.GetPlotType() in (series.PlotTypeBar, series.PlotTypeScatterBar)
        if plot is None or plot.IsA("vtkPlotBar") != bar:
            if plot is not None:
                self._chart.RemovePlotInstance(plot)
            plot = self._chart.AddPlot(vtk.vtkChart.BAR if bar else vtk.vtkChart.LINE)
            self._series[identifier] = plot
        _dress(plot, series, table)

    def _style(self, node: Any) -> None:
        self._chart.SetTitle(node.GetTitle() or "" if node.GetTitleVisibility() else "")
        self._chart.GetTitleProperties().SetFontSize(node.GetTitleFontSize())
        self._chart.SetShowLegend(bool(node.GetLegendVisibility()))
        self._chart.GetLegend().GetLabelProperties().SetFontSize(node.GetLegendFontSize())
        for place in (vtk.vtkAxis.BOTTOM, vtk.vtkAxis.LEFT):
            axis = self._chart.GetAxis(place)
            letter = "X" if place == vtk.vtkAxis.BOTTOM else "Y"
            shown = getattr(node, f"Get{letter}AxisTitleVisibility")()
            axis.SetTitle(getattr(node, f"Get{letter}AxisTitle")() or "" if shown else "")
            axis.SetGridVisible(bool(node.GetGridVisibility()))
            axis.GetTitleProperties().SetBold(False)
            axis.GetTitleProperties().SetFontSize(node.GetAxisTitleFontSize())
            axis.GetLabelProperties().SetFontSize(node.GetAxisLabelFontSize())
            if getattr(node, f"Get{letter}AxisRangeAuto")():
                axis.SetBehavior(vtk.vtkAxis.AUTO)
            else:
                axis.SetBehavior(vtk.vtkAxis.FIXED)
                axis.SetRange(*getattr(node, f"Get{letter}AxisRange")())

    def _emit_selection(self) -> None:
        identifiers, selections = vtk.vtkStringArray(), vtk.vtkCollection()
        for identifier, plot in self._series.items():
            selection = plot.GetSelection()
            if selection is not None and selection.GetNumberOfValues() > 0:
                selections.AddItem(selection)
                identifiers.InsertNextValue(identifier)
        self.dataSelected.emit(identifiers, selections)

    def chart(self) -> Any:
        return self._chart

    def scene(self) -> Any:
        self.renderWindow()
        return self._context.GetScene()

    def fitToContent(self) -> None:
        self._chart.RecalculateBounds()

    def RemovePlotSelections(self) -> None:
        for plot in self._series.values():
            plot.SetSelection(None)


def _dress(plot: Any, series: Any, table: Any) -> None:
    plot.SetWidth(series.GetLineWidth())
    plot.SetColorF(*series.GetColor())
    plot.SetOpacity(series.GetOpacity())
    plot.GetPen().SetOpacityF(series.GetOpacity())
    style = "SOLID_LINE" if series.GetPlotType() == series.PlotTypeBar else _LINE_STYLES[series.GetLineStyle()]
    plot.GetPen().SetLineType(getattr(vtk.vtkPen, style))
    if plot.IsA("vtkPlotLine"):
        plot.SetMarkerSize(series.GetMarkerSize())
        plot.SetMarkerStyle(series.GetMarkerStyle())
    labels = table.GetColumnByName(series.GetLabelColumnName() or "")
    plot.SetIndexedLabels(labels if isinstance(labels, vtk.vtkStringArray) else None)
    numbered = not series.IsXColumnRequired()
    plot.SetUseIndexForXSeries(numbered)
    y_column = series.GetYColumnName()
    plot.SetInputData(table, y_column if numbered else series.GetXColumnName(), y_column)
    plot.SetLabel(series.GetName() or y_column)


def click(view: qMRMLPlotView, series_id: str, row: int) -> None:
    """Selects one bar or point as a click does; for tests, since an offscreen chart has no mouse."""
    view._draw()
    selection = vtk.vtkIdTypeArray()
    selection.InsertNextValue(row)
    view._series[series_id].SetSelection(selection)
    view._chart.InvokeEvent("SelectionChangedEvent")


@stand_in
class qMRMLPlotWidget(ViewWidget):
    """A plot view; ``layoutManager().plotWidget(0)``."""

    def __init__(self, view_node: Any, application_logic: Any) -> None:
        super().__init__(qMRMLPlotView(view_node), view_node)

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def plotView(self) -> qMRMLPlotView:
        return self._view  # type: ignore[return-value]
