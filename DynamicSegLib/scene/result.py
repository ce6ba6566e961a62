"""The nodes of one result, and how to find them again in a scene that was saved and reloaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from DynamicSegLib.scene.chart import GIGA, Chart, create_chart, fill_chart
from DynamicSegLib.scene.crop_boxes import create_crop_boxes, fill_crop_boxes
from DynamicSegLib.scene.decisions import fill_table, table_node_from_decisions
from DynamicSegLib.scene.placement import free_name, place_beside
from DynamicSegLib.scene.segments import SegmentationView
from DynamicSegLib.segmentation import Segmentation

Node = Any

ROLE = "DynamicSeg."
CROP_BOXES = "CropBoxes"
AXIS_ATTRIBUTE = "DynamicSeg.SliceAxis"


@dataclass(frozen=True)
class ResultNodes:
    """A segmentation with the table and the chart of its decisions.

    volume: the volume whose grid the labels lie on. slice_axis: which of its voxel indices counts slices, 0 for i.
    """

    segmentation: Node
    table: Node
    chart: Chart
    volume: Node
    slice_axis: int

    def link(self) -> None:
        """Note in the scene what belongs together; survives saving and reloading."""
        self.segmentation.SetAttribute(AXIS_ATTRIBUTE, str(self.slice_axis))
        for name, node in self._references().items():
            self.segmentation.SetNodeReferenceID(ROLE + name, node.GetID())

    def _references(self) -> Mapping[str, Node]:
        return {
            "Volume": self.volume,
            "Decisions": self.table,
            "Chart": self.chart.chart,
            "ChartPoints": self.chart.points,
            "ChartMarker": self.chart.marker,
        }

    @property
    def crop_boxes(self) -> Node | None:
        """The model of the crop boxes; None where no slice was cropped, or the user deleted it."""
        return crop_boxes_of(self.segmentation)

    @property
    def inside(self) -> NDArray[np.bool_] | None:
        """Where any label lies, `[k, j, i]` of the volume; None after the user changed the segments' grid."""
        segmentation = self.segmentation.GetSegmentation()
        if segmentation.GetNumberOfSegments() == 0:
            return None
        array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(self.segmentation, segmentation.GetNthSegmentID(0))
        expected = self.volume.GetImageData().GetDimensions()[::-1]
        return None if array is None or array.shape != expected else np.asarray(array > 0)


def result_of(segmentation: Node) -> ResultNodes | None:
    """The result that a segmentation node belongs to, or None where it is no result, or parts of it were deleted."""
    axis = segmentation.GetAttribute(AXIS_ATTRIBUTE)
    found = {
        name: segmentation.GetNodeReference(ROLE + name)
        for name in ("Volume", "Decisions", "Chart", "ChartPoints", "ChartMarker")
    }
    if axis is None or None in found.values():
        return None
    chart = Chart(found["Chart"], found["ChartPoints"], found["ChartMarker"])
    return ResultNodes(segmentation, found["Decisions"], chart, found["Volume"], int(axis))


def crop_boxes_of(segmentation: Node) -> Node | None:
    """The model of the crop boxes that belongs to a segmentation node, if any."""
    return segmentation.GetNodeReference(ROLE + CROP_BOXES)


def drawings_of(segmentation: Node) -> list[Node]:
    """What only draws a result, its chart and crop boxes, and is worth nothing without its segmentation."""
    result, boxes = result_of(segmentation), crop_boxes_of(segmentation)
    return [*(result.chart.nodes if result is not None else []), *([boxes] if boxes is not None else [])]


def last_result() -> ResultNodes | None:
    """The newest result in the scene."""
    results = [result_of(node) for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
    return next((result for result in reversed(results) if result is not None), None)


def publish(view: SegmentationView, volume: Node, segmentation: Segmentation) -> ResultNodes:
    """Add the table, the chart and the crop boxes of a finished run beside its segmentation node.

    What cleaning changed becomes the node's description.
    """
    name = view.node.GetName()
    view.node.SetDescription(" ".join(segmentation.notes))
    table = table_node_from_decisions(segmentation.decisions, segmentation.options, free_name(f"{name} decisions"))
    chart = create_chart(
        segmentation.decisions, segmentation.options, free_name(f"{name} chart"), title_of(segmentation)
    )
    result = ResultNodes(view.node, table, chart, volume, segmentation.study.native_slice_axis)
    for node in (table, chart.chart):
        place_beside(node, volume)
    result.link()
    _draw_crop_boxes(result, segmentation)
    return result


def republish(result: ResultNodes, segmentation: Segmentation) -> None:
    """Bring table, chart, crop boxes and description up to date after slices were run again."""
    result.segmentation.SetDescription(" ".join(segmentation.notes))
    fill_table(result.table, segmentation.decisions, segmentation.options)
    fill_chart(result.chart, segmentation.decisions, segmentation.options, title_of(segmentation))
    _draw_crop_boxes(result, segmentation)


def _draw_crop_boxes(result: ResultNodes, segmentation: Segmentation) -> None:
    if result.crop_boxes is not None:
        fill_crop_boxes(result.crop_boxes, segmentation, result.volume)
        return
    node = create_crop_boxes(segmentation, result.volume, free_name(f"{result.segmentation.GetName()} crop boxes"))
    if node is not None:
        place_beside(node, result.volume)
        result.segmentation.SetNodeReferenceID(ROLE + CROP_BOXES, node.GetID())


def title_of(segmentation: Segmentation) -> str:
    """What the chart shows, and what was spent, in one line."""
    asked = segmentation.asked_macs
    of = f" of {giga_in_words(asked)}" if asked else ""
    return f"What each slice got: {giga_in_words(segmentation.spent.macs)}{of} GMAC"


def giga_in_words(macs: float) -> str:
    """Billions of multiply-accumulates with as many digits as say something."""
    giga = macs / GIGA
    return f"{giga:,.0f}" if giga >= 10 else f"{giga:.2g}"
