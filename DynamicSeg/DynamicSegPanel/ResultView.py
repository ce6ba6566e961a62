"""What was found and what it cost: volumes, options, slices; chart, table and slice views stay in step."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from DynamicSegLib.reporting.palette import option_color
from DynamicSegLib.scene.chart import mark_slice, slice_of_row
from DynamicSegLib.scene.navigation import best_slice_node, jump_to_slice, slice_in_view
from DynamicSegLib.scene.result import ResultNodes, giga_in_words
from DynamicSegPanel.CropBoxes import CropBoxes
from DynamicSegPanel.SlicesTable import SlicesTable, optionsOf

SQUARE = '<span style="color:{color}">&#9632;</span>'


class ResultView(VTKObservationMixin):
    """The panel's result section over the nodes of one result; works the same after the scene was loaded again."""

    def __init__(self, ui: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self.result: ResultNodes | None = None
        self._plotView: Any = None
        ui.resultButton.visible = False
        self._cropBoxes = CropBoxes(ui.cropBoxesCheckBox)
        self._slices = SlicesTable(ui.slicesTable, self.jump)
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
        self._cropBoxes.setResult(result)
        self._ui.resultButton.visible = result is not None
        if result is None:
            return
        if earlier is None or earlier.segmentation is not result.segmentation:
            self._show3DChecked(result.segmentation.GetSegmentation().ContainsRepresentation(_surfaces()))
        self.refresh()
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onSliceView)
        self.addObserver(result.table, vtk.vtkCommand.ModifiedEvent, self._onTable)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._onNodeRemoved)
        self._onSliceView()

    def refresh(self) -> None:
        """Writes texts and rows anew from the nodes, and brings surfaces in step with the labels."""
        self.restoreSurfaces()
        self._ui.volumesLabel.text = volumesInWords(self.result.segmentation)
        self._slices.fill(self.result.table)
        self._ui.optionsLabel.text = self._optionsInWords()
        self._cropBoxes.refresh()

    def restoreSurfaces(self) -> None:
        """Makes surfaces anew where they were on: Slicer drops them whenever labels change."""
        if self.result is not None and self._ui.show3DButton.checked:
            self.result.segmentation.CreateClosedSurfaceRepresentation()

    @property
    def options(self) -> list[str]:
        """Names of all options, skip first."""
        return optionsOf(self.result.table)

    def selectedSlices(self) -> list[int]:
        """Slice indices of the selected rows."""
        return self._slices.selected()

    def markPins(self, pins: Mapping[int, int]) -> None:
        """Marks the slices whose option the user chose."""
        if self.result is not None:
            self._slices.markPins(pins)

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

    def _optionsInWords(self) -> str:
        chosen, macs = self._slices.column("option"), self._slices.column("macs")
        candidates = len(self.options) - 1
        parts = [
            f"{SQUARE.format(color=option_color(place, candidates))}&nbsp;{escape(name)}"
            f"&nbsp;{np.mean(chosen == place):.0%}"
            for place, name in enumerate(self.options)
        ]
        slices = _("{count} slices, {giga} GMAC").format(count=len(chosen), giga=giga_in_words(macs.sum()))
        return f"{slices}<br>{' &nbsp; '.join(parts)}"

    def _onTable(self, caller: Any, event: Any) -> None:
        self.refresh()

    def _onNodeRemoved(self, caller: Any, event: Any) -> None:
        if not slicer.mrmlScene.IsNodePresent(self.result.segmentation):
            self.setResult(None)

    def _onSliceView(self, caller: Any = None, event: Any = None) -> None:
        if self.result is None:
            return
        volume, axis = self.result.volume, self.result.slice_axis
        view = best_slice_node(volume, axis)
        index = None if view is None else slice_in_view(volume, axis, view)
        mark_slice(self.result.chart, index)
        self._ui.sliceLabel.text = self._slices.inWords(index)
        self._ui.sliceLabel.visible = bool(self._ui.sliceLabel.text)

    def _onBar(self, seriesIds: Any, selections: Any) -> None:
        if self.result is None or not seriesIds.GetNumberOfValues():
            return
        for place in range(seriesIds.GetNumberOfValues()):
            row = selections.GetItemAsObject(place).GetValue(0)
            index = slice_of_row(self.result.chart, seriesIds.GetValue(place), row)
            if index is not None:
                self.jump(index)
                self._slices.select(index)
        # A bar that stays selected would be told again with the next click.
        self._plotView.RemovePlotSelections()

    def _show3DChecked(self, checked: bool) -> None:
        """Sets the button without doing what a click on it does."""
        blocked = self._ui.show3DButton.blockSignals(True)
        self._ui.show3DButton.checked = checked
        self._ui.show3DButton.blockSignals(blocked)

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


def _surfaces() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())


def _showThreeDView() -> None:
    """Brings a 3D view beside the chart into the layout where there is none, and looks at the surfaces."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:  # no main window
        return
    if layoutManager.threeDViewCount == 0:
        layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalPlotView)
    layoutManager.threeDWidget(0).threeDView().resetFocalPoint()


def volumesInWords(segmentationNode: Any) -> str:
    """Each segment with its colour and its volume in mL, as the segments are now, and what cleaning changed."""
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
    if segmentationNode.GetDescription():
        parts.append(f"<small>{escape(segmentationNode.GetDescription())}</small>")
    return "<br>".join(parts)


def _milliliters(segmentationNode: Any, segmentId: str) -> float:
    array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(segmentationNode, segmentId)
    if array is None:
        return 0.0
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    voxel = np.prod(segment.GetRepresentation(name).GetSpacing())
    return float(np.count_nonzero(array == segment.GetLabelValue()) * voxel / 1000)
