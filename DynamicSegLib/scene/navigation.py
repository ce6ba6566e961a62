"""From a slice index to the slice views and back, right for flipped, oblique and transformed volumes."""

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from DynamicSegLib.scene.volumes import ijk_to_world_matrix

Node = Any


def world_of_slice(volume: Node, axis: int, index: int, inside: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """A point of one slice in RAS millimetres of the world.

    Parameters
    ----------
    axis: which voxel index counts slices: 0 for i, 1 for j, 2 for k.
    inside: `[k, j, i]`; the point is the middle of what is inside on this slice. The slice's middle otherwise.
    """
    point = (np.array(volume.GetImageData().GetDimensions(), np.float64) - 1) / 2
    if inside is not None:
        found = np.argwhere(np.take(inside, index, axis=2 - axis))
        if len(found):
            others = [a for a in range(3) if a != axis]
            point[others[::-1]] = found.mean(axis=0)
    point[axis] = index
    return np.asarray((ijk_to_world_matrix(volume) @ np.append(point, 1.0))[:3])


def jump_to_slice(volume: Node, axis: int, index: int, inside: NDArray[np.bool_] | None = None) -> None:
    """Move all slice views to a point of the slice, without moving their centre."""
    r, a, s = world_of_slice(volume, axis, index, inside)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, r, a, s, slicer.vtkMRMLSliceNode.OffsetJumpSlice)


def slice_in_view(volume: Node, axis: int, slice_node: Node) -> int | None:
    """Index of the volume's slice that a slice view shows; None where the view is outside or cuts across slices.

    In a view that is tilted against the slices, it is the slice whose middle the view cuts.
    """
    to_ras = slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())
    normal, in_plane = to_ras[:3, 2], to_ras[:3, 3]
    step = ijk_to_world_matrix(volume)[:3, axis]
    if not _faces(normal, step):
        return None
    # Where the line through the middles of all slices meets the view's plane.
    index = round(float((in_plane - world_of_slice(volume, axis, 0)) @ normal / (step @ normal)))
    return index if 0 <= index < volume.GetImageData().GetDimensions()[axis] else None


def best_slice_node(volume: Node, axis: int) -> Node | None:
    """The slice view that faces the volume's slices best; None where all of them cut across."""
    step = ijk_to_world_matrix(volume)[:3, axis]
    facing = facing_slice_nodes(volume, axis)
    return max(facing, key=lambda node: abs(float(_normal(node) @ step)), default=None)


def facing_slice_nodes(volume: Node, axis: int) -> list[Node]:
    """All slice views that show the volume's slices, not cuts across them."""
    step = ijk_to_world_matrix(volume)[:3, axis]
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if _faces(_normal(node), step)]


def _normal(slice_node: Node) -> NDArray[np.float64]:
    return np.asarray(slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())[:3, 2])


def _faces(normal: NDArray[np.float64], step: NDArray[np.float64]) -> bool:
    """Whether a view of this normal is within 45 degrees of slices that follow each other by `step`."""
    return bool(abs(float(normal @ step)) > np.cos(np.radians(45.0)) * np.linalg.norm(step))
