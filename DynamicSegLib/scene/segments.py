"""A segmentation node that shows labels while they grow: names, colours, terminology, the scan's own grid."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from DynamicSegLib.bundle import Label
from DynamicSegLib.scene.placement import forget, place_beside
from DynamicSegLib.scene.terminology import terminology_entry

Node = Any

FILL_OPACITY = 0.45  # the scan stays readable under the labels


class SegmentationView:
    """A segmentation node on a volume's grid whose voxels can be rewritten in place.

    All segments share one labelmap, so that showing new slices costs no conversion: 1 ms where an import of the
    labelmap takes 100. Slicer splits the map by itself as soon as a user edits segments into an overlap.
    """

    def __init__(self, node: Node) -> None:
        self.node = node

    @classmethod
    def create(cls, volume: Node, labels: Sequence[Label], name: str) -> "SegmentationView":
        """Add an empty segmentation for `volume`: same grid, same parent transform, same study."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        place_beside(node, volume)
        labelmap = _empty_labelmap(volume)
        for label in labels:
            node.GetSegmentation().AddSegment(_segment(label, labelmap), segment_id(label))
        node.GetDisplayNode().SetOpacity2DFill(FILL_OPACITY)
        return cls(node)

    @classmethod
    def adopt(cls, node: Node) -> "SegmentationView | None":
        """A view on a node made by `create`, or None where it left the scene or its segments no longer share a map."""
        view, segmentation = cls(node), node.GetSegmentation()
        shared = segmentation.GetNumberOfSegments() > 0 and segmentation.GetNumberOfLayers() == 1
        return view if view.alive and shared else None

    @property
    def alive(self) -> bool:
        """Whether the node is still in the scene."""
        return bool(slicer.mrmlScene.IsNodePresent(self.node))

    def write(self, labels: NDArray[np.uint8]) -> None:
        """Show these labels, uint8 `[k, j, i]` of the volume."""
        labelmap = self._labelmap()
        self._array()[:] = labels
        labelmap.GetPointData().GetScalars().Modified()
        labelmap.Modified()

    def shows(self, labels: NDArray[np.uint8]) -> bool:
        """Whether the node holds exactly these labels."""
        array = self._array()
        return array.shape == labels.shape and bool(np.array_equal(array, labels))

    def remove(self) -> None:
        """Take the node and its display out of the scene, as if it had never been there."""
        forget(self.node)
        display = self.node.GetDisplayNode()
        slicer.mrmlScene.RemoveNode(self.node)
        if display is not None and slicer.mrmlScene.IsNodePresent(display):
            slicer.mrmlScene.RemoveNode(display)

    def _labelmap(self) -> Any:
        return self.node.GetSegmentation().GetNthSegment(0).GetRepresentation(_binary_labelmap())

    def _array(self) -> NDArray[np.uint8]:
        labelmap = self._labelmap()
        columns, rows, slices = labelmap.GetDimensions()
        return vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(slices, rows, columns)


def segment_id(label: Label) -> str:
    """Stable id of a label's segment: scripts find it whatever the user renames."""
    return f"DynamicSeg_{label.value}"


def _segment(label: Label, labelmap: Any) -> Any:
    segment = slicer.vtkSegment()
    segment.SetName(label.name)
    segment.SetColor(*(channel / 255 for channel in label.color))
    segment.SetLabelValue(label.value)
    entry = terminology_entry(label)
    if entry is not None:
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
    segment.AddRepresentation(_binary_labelmap(), labelmap)
    return segment


def _binary_labelmap() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())


def _empty_labelmap(volume: Node) -> Any:
    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetDimensions(*volume.GetImageData().GetDimensions())
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    labelmap.GetPointData().GetScalars().Fill(0)
    ijk_to_ras = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(ijk_to_ras)
    labelmap.SetImageToWorldMatrix(ijk_to_ras)
    return labelmap
