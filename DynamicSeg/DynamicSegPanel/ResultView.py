"""What was found and what it cost: volumes, options, slices; chart, table and slice views stay in step."""

from html import escape
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from DynamicSegLib.reporting.palette import option_color
from DynamicSegLib.scene.chart import mark_slice, slice_of_row
from DynamicSegLib.scene.navigation import best_slice_node, jump_to_slice, slice_in_view
from DynamicSegLib.scene.result import ResultNodes, giga_in_words

ROW_HEIGHT = 20
COLUMN_WIDTHS = (56, 84, 64)  # the last column takes the rest
# Options named on one line of the panel.
ROW_OPTIONS = 5
SQUARE = '<span style="color:{color}">&#9632;</span>'


class ResultView(VTKObservationMixin):
    """The panel's result section over the nodes of one result; works the same after the scene was loaded again."""

    def __init__(self, ui: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self.result: ResultNodes | None = None
        self._plotView: Any = None
        ui.resultButton.visible = False
        ui.slicesTable.setHorizontalHeaderLabels([_("Slice"), _("Got"), _("GMAC"), _("Expected Dice")])
        ui.slicesTable.verticalHeader().visible = False
        ui.slicesTable.verticalHeader().defaultSectionSize = ROW_HEIGHT
        ui.slicesTable.horizontalHeader().setStretchLastSection(True)
        for column, width in enumerate(COLUMN_WIDTHS):
            ui.slicesTable.setColumnWidth(column, width)
        ui.slicesTable.connect("currentCellChanged(int,int,int,int)", self._onRow)
        ui.chartButton.connect("clicked(bool)", self.showChart)
        ui.show3DButton.connect("toggled(bool)", self._onShow3D)

    def setResult(self, result: ResultNodes | None) -> None:
        """Shows a result, or nothing. An earlier result stays in the scene, out of sight."""
        self.removeObservers()
        earlier, self.result = self.result, result
        if earlier is not None and result is not None and earlier.segmentation is not result.segmentation:
            display = earlier.segmentation.GetDisplayNode()
            if display is not None:  # the user may have deleted the node
                display.SetVisibility(False)
        self._ui.resultButton.visible = result is not None
        if result is None:
            return
        self.refresh()
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onSliceView)
        self.addObserver(result.table, vtk.vtkCommand.ModifiedEvent, self._onTable)
        self._onSliceView()

    def refresh(self) -> None:
        """Writes texts and rows anew from the nodes."""
        surfaces = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        blocked = self._ui.show3DButton.blockSignals(True)
        self._ui.show3DButton.checked = self.result.segmentation.GetSegmentation().ContainsRepresentation(surfaces)
        self._ui.show3DButton.blockSignals(blocked)
        self._ui.volumesLabel.text = volumesInWords(self.result.segmentation)
        self._ui.optionsLabel.text = self._optionsInWords()
        self._fillSlices()

    @property
    def options(self) -> list[str]:
        """Names of all options, skip first, as the table's columns tell."""
        table = self.result.table
        names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
        return [name.removeprefix("quality_") for name in names if name.startswith("quality_")]

    def selectedSlices(self) -> list[int]:
        """Slice indices of the selected rows."""
        rows = {index.row() for index in self._ui.slicesTable.selectionModel().selectedRows()}
        return sorted(int(self._column("slice")[row]) for row in rows)

    def showChart(self, checked: bool = False) -> None:
        """Brings the chart into the layout and listens to clicks on it."""
        if self.result is None:
            return
        slicer.modules.plots.logic().ShowChartInLayout(self.result.chart.chart)
        layoutManager = slicer.app.layoutManager()
        if layoutManager is None:  # no main window
            return
        plotWidget = layoutManager.plotWidget(0)
        if plotWidget is not None and self._plotView is None:
            self._plotView = plotWidget.plotView()
            self._plotView.connect("dataSelected(vtkStringArray*,vtkCollection*)", self._onBar)

    def close(self) -> None:
        """Lets go of everything, before the panel is destroyed."""
        self.removeObservers()
        if self._plotView is not None:
            self._plotView.disconnect("dataSelected(vtkStringArray*,vtkCollection*)", self._onBar)
            self._plotView = None

    def jump(self, index: int) -> None:
        """Moves the slice views to a slice, to the middle of what was found there."""
        if self.result is not None:
            jump_to_slice(self.result.volume, self.result.slice_axis, index, self.result.inside)

    def _column(self, name: str) -> "np.ndarray[Any, Any]":
        return np.asarray(slicer.util.arrayFromTableColumn(self.result.table, name))

    def _optionsInWords(self) -> str:
        chosen, macs = self._column("option"), self._column("macs")
        parts = [
            f"{SQUARE.format(color=option_color(place))}&nbsp;{escape(name)}&nbsp;{np.mean(chosen == place):.0%}"
            for place, name in enumerate(self.options)
        ]
        slices = _("{count} slices, {giga} GMAC").format(count=len(chosen), giga=giga_in_words(macs.sum()))
        rows = [" &nbsp; ".join(parts[first : first + ROW_OPTIONS]) for first in range(0, len(parts), ROW_OPTIONS)]
        return "<br>".join([slices, *rows])

    def _fillSlices(self) -> None:
        table, options = self._ui.slicesTable, self.options
        qualities = np.stack([self._column(f"quality_{name}") for name in options], axis=1)
        rows = list(zip(self._column("slice"), self._column("option"), self._column("macs"), qualities, strict=True))
        blocked = table.blockSignals(True)
        table.setRowCount(len(rows))
        for row, (index, option, macs, quality) in enumerate(rows):
            texts = [str(index), options[option], giga_in_words(macs), f"{quality[option]:.2f}" if option else ""]
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                if column == 1:
                    item.setIcon(_swatch(option_color(int(option))))
                table.setItem(row, column, item)
        table.blockSignals(blocked)

    def _onTable(self, caller: Any, event: Any) -> None:
        self.refresh()

    def _onSliceView(self, caller: Any = None, event: Any = None) -> None:
        if self.result is None:
            return
        volume, axis = self.result.volume, self.result.slice_axis
        view = best_slice_node(volume, axis)
        mark_slice(self.result.chart, None if view is None else slice_in_view(volume, axis, view))

    def _onRow(self, row: int, column: int, previousRow: int, previousColumn: int) -> None:
        if row >= 0 and row != previousRow:
            self.jump(int(self._column("slice")[row]))

    def _onBar(self, seriesIds: Any, selections: Any) -> None:
        if self.result is None or not seriesIds.GetNumberOfValues():
            return
        for place in range(seriesIds.GetNumberOfValues()):
            row = selections.GetItemAsObject(place).GetValue(0)
            index = slice_of_row(self.result.chart, seriesIds.GetValue(place), row)
            if index is not None:
                self.jump(index)
                self._selectRow(index)
        # A bar that stays selected would be told again with the next click.
        self._plotView.RemovePlotSelections()

    def _selectRow(self, index: int) -> None:
        rows = np.flatnonzero(self._column("slice") == index)
        if len(rows):
            blocked = self._ui.slicesTable.blockSignals(True)
            self._ui.slicesTable.selectRow(int(rows[0]))
            self._ui.slicesTable.blockSignals(blocked)

    def _onShow3D(self, shown: bool) -> None:
        if self.result is None:
            return
        segmentation = self.result.segmentation
        if shown:
            segmentation.CreateClosedSurfaceRepresentation()
            _showThreeDView()
        else:
            segmentation.RemoveClosedSurfaceRepresentation()
        segmentation.GetDisplayNode().SetVisibility3D(shown)


def _showThreeDView() -> None:
    """Brings a 3D view beside the chart into the layout where there is none, and looks at the surfaces."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:  # no main window
        return
    if layoutManager.threeDViewCount == 0:
        layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalPlotView)
    layoutManager.threeDWidget(0).threeDView().resetFocalPoint()


def volumesInWords(segmentationNode: Any) -> str:
    """Each segment with its colour and its volume in mL, as the segments are now."""
    segmentation = segmentationNode.GetSegmentation()
    parts, found = [], 0
    for place in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(place)
        milliliters = _milliliters(segmentationNode, segmentation.GetNthSegmentID(place))
        found += milliliters > 0
        color = "#" + "".join(f"{round(255 * channel):02x}" for channel in segment.GetColor())
        parts.append(f"{SQUARE.format(color=color)}&nbsp;{escape(segment.GetName())} <b>{milliliters:.1f}&nbsp;mL</b>")
    if not found:
        parts.append("<b>" + _("0 voxels were found: the segmentation is empty.") + "</b>")
    return "<br>".join(parts)


def _milliliters(segmentationNode: Any, segmentId: str) -> float:
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentationNode, segmentId)
    if array is None:
        return 0.0
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    voxel = np.prod(segment.GetRepresentation(name).GetSpacing())
    return float(np.count_nonzero(array == segment.GetLabelValue()) * voxel / 1000)


def _swatch(color: str) -> "qt.QIcon":
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(color))
    return qt.QIcon(pixmap)
