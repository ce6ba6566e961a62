"""Volume nodes to images and back."""

from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.errors import InputError

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")
vtk = pytest.importorskip("vtk")

RAS_OF_LPS = np.array([-1.0, -1.0, 1.0])


def tilted_image(direction: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6))
    image.SetSpacing((0.5, 1.5, 4.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection(direction.ravel().tolist())
    return image


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


@pytest.mark.parametrize(
    "direction",
    [np.eye(3), np.diag([-1.0, 1.0, -1.0]), rotation(20), rotation(20) @ np.diag([1.0, 1.0, -1.0])],
    ids=["straight", "flipped", "oblique", "oblique left-handed"],
)
def test_an_image_survives_the_way_through_a_node(scene: Any, direction: np.ndarray) -> None:
    from DynamicSegLib.scene.volumes import image_from_volume_node, volume_node_from_image

    image = tilted_image(direction)
    back = image_from_volume_node(volume_node_from_image(image, "there"))
    assert back.GetPixelID() == image.GetPixelID()
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(image))
    np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-12)
    np.testing.assert_allclose(back.GetSpacing(), image.GetSpacing(), atol=1e-12)
    np.testing.assert_allclose(back.GetOrigin(), image.GetOrigin(), atol=1e-12)


def test_a_voxel_lies_where_slicer_says_with_the_signs_of_x_and_y_changed(scene: Any) -> None:
    from DynamicSegLib.scene.volumes import image_from_volume_node, volume_node_from_image

    node = volume_node_from_image(tilted_image(rotation(20)), "there")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ras = np.array(matrix.MultiplyPoint((3, 2, 1, 1))[:3])
    lps = image_from_volume_node(node).TransformIndexToPhysicalPoint((3, 2, 1))
    np.testing.assert_allclose(lps, ras * RAS_OF_LPS, atol=1e-9)


def test_a_parent_transform_moves_the_image(scene: Any) -> None:
    from DynamicSegLib.scene.volumes import image_from_volume_node, volume_node_from_image

    node = volume_node_from_image(tilted_image(np.eye(3)), "there")
    before = np.array(image_from_volume_node(node).GetOrigin())
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    matrix = vtk.vtkMatrix4x4()
    for axis, shift in enumerate((5.0, -7.0, 11.0)):
        matrix.SetElement(axis, 3, shift)
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    after = np.array(image_from_volume_node(node).GetOrigin())
    np.testing.assert_allclose(after - before, (-5.0, 7.0, 11.0), atol=1e-9)


def test_a_warping_parent_transform_is_refused_with_the_way_out(scene: Any) -> None:
    from DynamicSegLib.scene.volumes import image_from_volume_node, volume_node_from_image

    node = volume_node_from_image(tilted_image(np.eye(3)), "bent")
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    transform.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match=r"'bent'.*'warp'.*harden"):
        image_from_volume_node(node)


def test_a_sheared_volume_is_refused_with_the_way_out(scene: Any) -> None:
    from DynamicSegLib.scene.volumes import image_from_volume_node, volume_node_from_image

    node = volume_node_from_image(tilted_image(np.eye(3)), "gantry")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(1, 2, 0.3)
    node.SetIJKToRASMatrix(matrix)
    with pytest.raises(InputError, match=r"'gantry' has sheared axes.*resample"):
        image_from_volume_node(node)


def test_a_node_without_voxels_and_a_colour_image_are_refused(scene: Any) -> None:
    from DynamicSegLib.scene.volumes import image_from_volume_node

    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(InputError, match="'nothing' holds no voxels"):
        image_from_volume_node(empty)
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(colour, np.zeros((2, 3, 4, 3), np.uint8))
    with pytest.raises(InputError, match="'photo' has 3 values a voxel"):
        image_from_volume_node(colour)
