"""Crop boxes over the scan, as one model whose outline Slicer draws where a slice view cuts it.

Each cropped slice has four walls along its crop's edges, as high as the slice is thick. So the box follows whatever
slice a view shows, tilted views and scenes loaded again included, and there is none on slices that were skipped or
run whole. Views across the slices would show the walls as a ladder of lines, and do not draw them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

from DynamicSegLib.crop_boxes import crop_corners_mm
from DynamicSegLib.reporting.palette import option_color
from DynamicSegLib.scene.chart import rgb_of
from DynamicSegLib.scene.navigation import facing_slice_nodes
from DynamicSegLib.segmentation import Decision, Segmentation

Node = Any

CORNERS = 4
LINE_PIXELS = 3
# Of half a slice: walls that touched would be drawn twice where a view lies between two slices.
HEIGHT = 0.499


def create_crop_boxes(segmentation: Segmentation, volume: Node, name: str) -> Node | None:
    """Add a model of all crop boxes, in place and under the same transform as `volume`; None where nothing was cropped.

    Parameters
    ----------
    volume: the volume on whose grid the result lies.
    """
    if not any(crop_corners_mm(segmentation.study, decision) is not None for decision in segmentation.decisions):
        return None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    display = node.GetDisplayNode()
    display.SetVisibility2D(True)
    display.SetVisibility3D(False)
    display.SetSliceIntersectionThickness(LINE_PIXELS)
    display.SetColor(*rgb_of(option_color(1)))
    for view in facing_slice_nodes(volume, segmentation.study.native_slice_axis):
        display.AddViewNodeID(view.GetID())
    fill_crop_boxes(node, segmentation, volume)
    return node


def fill_crop_boxes(node: Node, segmentation: Segmentation, volume: Node) -> None:
    """Bring a model made by `create_crop_boxes` in step with the decisions of a segmentation."""
    native = segmentation.study.grid.native
    boxes = [_box(segmentation, decision) for decision in segmentation.decisions]
    corners = [_on_volume(box, native, volume) for box in boxes if box is not None]
    node.SetAndObservePolyData(_walls(corners))


def show(node: Node, shown: bool) -> None:
    """Let slice views draw the boxes, or not."""
    node.GetDisplayNode().SetVisibility(shown)


def _box(segmentation: Segmentation, decision: Decision) -> NDArray[np.float64] | None:
    """The lower corners, then the upper ones, float64 `[8, 3]`, LPS millimetres; None without a crop."""
    faces = [crop_corners_mm(segmentation.study, decision, depth) for depth in (-HEIGHT, HEIGHT)]
    return None if faces[0] is None or faces[1] is None else np.concatenate([faces[0], faces[1]])


def _on_volume(points: NDArray[np.float64], native: sitk.Image, volume: Node) -> NDArray[np.float64]:
    """Points in RAS of the volume itself, before its parent transforms, wherever those have moved it meanwhile."""
    ijk = np.array([native.TransformPhysicalPointToContinuousIndex(point.tolist()) for point in points])
    ijk_to_ras = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(ijk_to_ras)
    matrix = slicer.util.arrayFromVTKMatrix(ijk_to_ras)
    return np.asarray(ijk @ matrix[:3, :3].T + matrix[:3, 3])


def _walls(boxes: Iterable[NDArray[np.float64]]) -> vtk.vtkPolyData:
    """Four walls for each box of lower and upper corners, without floor and ceiling."""
    boxes = list(boxes)
    points, walls = vtk.vtkPoints(), vtk.vtkCellArray()
    points.SetData(numpy_to_vtk(np.concatenate(boxes) if boxes else np.zeros((0, 3)), deep=True))
    for first in range(0, 2 * CORNERS * len(boxes), 2 * CORNERS):
        for corner in range(CORNERS):
            following = (corner + 1) % CORNERS
            wall = (corner, following, following + CORNERS, corner + CORNERS)
            walls.InsertNextCell(CORNERS, [first + place for place in wall])
    mesh = vtk.vtkPolyData()
    mesh.SetPoints(points)
    mesh.SetPolys(walls)
    return mesh
