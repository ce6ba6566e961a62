"""Slice index to slice view and back."""

from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")
vtk = pytest.importorskip("vtk")

SHAPE = (8, 10, 12)  # k, j, i


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def volume_with(scene: Any, axes: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 3.0)) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
    slicer.util.updateVolumeFromArray(node, np.zeros(SHAPE, np.int16))
    matrix = np.eye(4)
    matrix[:3, :3] = axes * np.array(spacing)
    matrix[:3, 3] = (-11, 7, 40)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def views(scene: Any) -> dict[str, Any]:
    """The three usual slice views; they are singletons, which emptying the scene keeps."""
    made = {}
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        new = slicer.vtkMRMLSliceNode()
        new.SetName(name)
        new.SetLayoutName(name)
        new.SetSingletonTag(name)
        node = scene.AddNode(new)
        if not node.HasSliceOrientationPreset(orientation):
            matrix = vtk.vtkMatrix3x3()
            getattr(slicer.vtkMRMLSliceNode, f"Get{orientation}SliceToRASMatrix")(matrix)
            node.AddSliceOrientationPreset(orientation, matrix)
        node.SetOrientation(orientation)
        made[name] = node
    return made


@pytest.mark.parametrize(
    "axes",
    [
        np.eye(3),
        np.diag([-1.0, -1.0, 1.0]),
        np.diag([1.0, 1.0, -1.0]),
        rotation(20),
        rotation(-15) @ np.diag([1, 1, -1.0]),
    ],
    ids=["straight", "as stored by scanners", "left-handed", "oblique", "oblique left-handed"],
)
def test_a_jump_to_each_slice_is_read_back_as_that_slice(scene: Any, axes: np.ndarray) -> None:
    from DynamicSegLib.scene.navigation import best_slice_node, jump_to_slice, slice_in_view

    volume, nodes = volume_with(scene, axes), views(scene)
    assert best_slice_node(volume, 2) is nodes["Red"]
    for index in range(SHAPE[0]):
        jump_to_slice(volume, 2, index)
        assert slice_in_view(volume, 2, nodes["Red"]) == index


def test_sagittally_stored_scans_are_followed_in_the_sagittal_view(scene: Any) -> None:
    from DynamicSegLib.scene.navigation import best_slice_node, jump_to_slice, slice_in_view

    sagittal = np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]])  # k runs to the right of the patient
    volume, nodes = volume_with(scene, sagittal), views(scene)
    assert best_slice_node(volume, 2) is nodes["Yellow"]
    jump_to_slice(volume, 2, 3)
    assert slice_in_view(volume, 2, nodes["Yellow"]) == 3
    assert slice_in_view(volume, 2, nodes["Red"]) is None


def test_a_jump_goes_to_the_middle_of_what_was_found(scene: Any) -> None:
    from DynamicSegLib.scene.navigation import world_of_slice

    volume = volume_with(scene, np.eye(3))
    inside = np.zeros(SHAPE, bool)
    inside[4, 2, 9] = True
    np.testing.assert_allclose(world_of_slice(volume, 2, 4, inside), (-11 + 9, 7 + 2, 40 + 4 * 3.0))
    np.testing.assert_allclose(world_of_slice(volume, 2, 5, inside), (-11 + 5.5, 7 + 4.5, 40 + 5 * 3.0))


def test_a_view_outside_the_volume_shows_no_slice(scene: Any) -> None:
    from DynamicSegLib.scene.navigation import slice_in_view

    volume, nodes = volume_with(scene, np.eye(3)), views(scene)
    nodes["Red"].SetSliceOffset(500.0)
    assert slice_in_view(volume, 2, nodes["Red"]) is None
