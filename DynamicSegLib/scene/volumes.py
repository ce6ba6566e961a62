"""Volume nodes to SimpleITK images and back, without files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from numpy.typing import NDArray

from DynamicSegLib.errors import InputError
from DynamicSegLib.geometry import grid_difference_voxels
from DynamicSegLib.study import Study

Node = Any  # MRML classes come from a compiled module without type information.

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# A direction matrix further from orthogonal than this is sheared: no image format can hold it.
LARGEST_SHEAR = 1e-3


def image_from_volume_node(node: Node) -> sitk.Image:
    """The volume as it stands in the patient: its voxels, and its geometry with all parent transforms applied.

    Returns
    -------
    A SimpleITK image in LPS whose index `(i, j, k)` is the node's own, whatever its handedness.

    Raises
    ------
    InputError: the node holds no voxels, several values a voxel, or lies under a transform that is warped or sheared.
    """
    data = node.GetImageData()
    if data is None or min(data.GetDimensions()) < 1:
        raise InputError(f"Volume '{node.GetName()}' holds no voxels: load it again, or choose another volume.")
    if data.GetNumberOfScalarComponents() != 1:
        raise InputError(
            f"Volume '{node.GetName()}' has {data.GetNumberOfScalarComponents()} values a voxel (colour or vectors?): "
            "expected one grey value each."
        )
    image = sitk.GetImageFromArray(slicer.util.arrayFromVolume(node))
    place_image(image, ijk_to_world_matrix(node), node.GetName())
    return image


def ijk_to_world_matrix(node: Node) -> NDArray[np.float64]:
    """Voxel index `(i, j, k, 1)` to RAS in the world, parent transforms applied; 4 x 4.

    Raises
    ------
    InputError: a parent transform is not linear.
    """
    ijk_to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    matrix: NDArray[np.float64] = slicer.util.arrayFromVTKMatrix(ijk_to_ras)
    transform = node.GetParentTransformNode()
    if transform is None:
        return matrix
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            f"Volume '{node.GetName()}' lies under the warping transform '{transform.GetName()}': harden the transform "
            "on the volume (right click in the Data module), then choose it again."
        )
    to_world = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(to_world)
    return np.asarray(slicer.util.arrayFromVTKMatrix(to_world) @ matrix)


def state_of(node: Node) -> tuple[int, bytes]:
    """What differs after a volume's voxels were changed, or it was moved; for comparison only.

    Raises
    ------
    InputError: see `ijk_to_world_matrix`.
    """
    data = node.GetImageData()
    return 0 if data is None else data.GetMTime(), ijk_to_world_matrix(node).tobytes()


def place_image(image: sitk.Image, ijk_to_ras: NDArray[np.float64], name: str) -> None:
    """Give an image the geometry of a 4 x 4 matrix from voxel index to RAS.

    Raises
    ------
    InputError: the matrix is sheared, or squeezes an axis to nothing.
    """
    matrix = RAS_TO_LPS @ ijk_to_ras
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    if spacing.min() <= 0:
        raise InputError(f"Volume '{name}' has a spacing of {spacing.min():g} mm: correct it in the Volumes module.")
    direction = matrix[:3, :3] / spacing
    shear = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if shear > LARGEST_SHEAR:
        raise InputError(
            f"Volume '{name}' has sheared axes (by {shear:.3f}, e.g. from a tilted CT gantry or an affine transform): "
            "resample it onto a regular grid (Resample Image module), then choose the result."
        )
    image.SetSpacing(spacing.tolist())
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())


def ijk_to_ras_of_image(image: sitk.Image) -> NDArray[np.float64]:
    """Voxel index `(i, j, k, 1)` of an image to RAS; 4 x 4."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return np.asarray(RAS_TO_LPS @ matrix)


def volume_node_from_image(image: sitk.Image, name: str, class_name: str = "vtkMRMLScalarVolumeNode") -> Node:
    """Add an image to the scene as a volume node with default display; the array keeps its pixel type."""
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras_of_image(image)))
    slicer.util.updateVolumeFromArray(node, sitk.GetArrayFromImage(image))
    node.CreateDefaultDisplayNodes()
    return node


def reference_of(study: Study, nodes: Mapping[str, Node]) -> Node:
    """The volume node on whose grid the study's result lies.

    Parameters
    ----------
    nodes: the volume nodes that the study was built from, by modality.
    """
    native = study.grid.native

    def distance(node: Node) -> float:
        grid = sitk.Image(node.GetImageData().GetDimensions(), sitk.sitkUInt8)
        place_image(grid, ijk_to_world_matrix(node), node.GetName())
        return grid_difference_voxels(native, grid)

    return min((nodes[name] for name in study.spec.modalities), key=distance)
