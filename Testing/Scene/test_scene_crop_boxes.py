"""Crop boxes as a model: the outline that Slicer's slice views draw of it, slice by slice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DynamicSegLib.crop_boxes import crop_corners_mm

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")
vtk = pytest.importorskip("vtk", reason="vtk comes with slicer-core")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from Testing.tiny_methods import write_tiny_v2_bundle

    return write_tiny_v2_bundle(tmp_path_factory.mktemp("bundles"))


def segmented(volumes: dict[str, Any], bundle: Any) -> Any:
    """A session after a run on torch that skipped, cropped, and ran slices whole."""
    from DynamicSegLib.scene.session import SceneSession, Settings

    session = SceneSession(volumes, bundle, settings=Settings(device="cpu", backend="torch"))
    for _ in session.segment(pins=dict(enumerate([0, 1, 1, 1, 2, 2, 1, 1, 1, 1, 2, 0]))):
        pass
    return session


def outline(session: Any, index: int) -> np.ndarray:
    """What a slice view at a slice draws of the model: points in RAS millimetres of the world."""
    model, study = session.result.crop_boxes, session.study
    middle = study.grid.native.TransformIndexToPhysicalPoint((0, 0, index))
    plane = vtk.vtkPlane()
    plane.SetOrigin(0, 0, middle[2])
    plane.SetNormal(0, 0, 1)
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(model.GetParentTransformNode(), None, to_world)
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetTransform(to_world)
    placed.SetInputData(model.GetPolyData())
    cutter = vtk.vtkCutter()
    cutter.SetCutFunction(plane)
    cutter.SetInputConnection(placed.GetOutputPort())
    cutter.Update()
    points = cutter.GetOutput().GetPoints()
    return np.array([points.GetPoint(i) for i in range(points.GetNumberOfPoints())]) if points else np.zeros((0, 3))


def corners_in_ras(session: Any, decision: Any) -> np.ndarray:
    return crop_corners_mm(session.study, decision) * (-1, -1, 1)


def test_each_cropped_slice_is_cut_along_its_own_box_and_no_other_slice_is(
    volumes: dict[str, Any], bundle: Any
) -> None:
    session = segmented(volumes, bundle)
    drawn = 0
    for decision in session.segmentation.decisions:
        found = outline(session, decision.slice)
        if "crop_row" not in decision.extra:
            assert not len(found), "skipped and whole slices have no box"
            continue
        drawn += 1
        corners = corners_in_ras(session, decision)
        np.testing.assert_allclose(found.min(axis=0), corners.min(axis=0), atol=1e-3)
        np.testing.assert_allclose(found.max(axis=0), corners.max(axis=0), atol=1e-3)
    assert drawn == 7


def test_boxes_are_drawn_in_slice_views_only_and_belong_to_the_result(volumes: dict[str, Any], bundle: Any) -> None:
    model = segmented(volumes, bundle).result.crop_boxes
    display = model.GetDisplayNode()
    assert display.GetVisibility() and display.GetVisibility2D() and not display.GetVisibility3D()
    assert display.GetSliceDisplayMode() == slicer.vtkMRMLModelDisplayNode.SliceDisplayIntersection


def test_an_update_moves_the_boxes_with_the_decisions(volumes: dict[str, Any], bundle: Any) -> None:
    session = segmented(volumes, bundle)
    model = session.result.crop_boxes
    for _ in session.update(pins={3: 2, 4: 1} | dict.fromkeys(range(5, 12), 0)):
        pass
    assert session.result.crop_boxes is model
    assert not len(outline(session, 3))
    assert len(outline(session, 4))
    assert not len(outline(session, 8))


def test_boxes_follow_a_transformed_scan(scene: Any, volumes: dict[str, Any], bundle: Any) -> None:
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = np.array([[1, 0, 0, 30], [0, 1, 0, 4], [0, 0, 1, -9], [0, 0, 0, 1.0]])
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for node in volumes.values():
        node.SetAndObserveTransformNodeID(transform.GetID())
    session = segmented(volumes, bundle)
    assert session.result.crop_boxes.GetTransformNodeID() == transform.GetID()
    decision = next(each for each in session.segmentation.decisions if "crop_row" in each.extra)
    found, corners = outline(session, decision.slice), corners_in_ras(session, decision)
    np.testing.assert_allclose(found.min(axis=0), corners.min(axis=0), atol=1e-3)


def test_boxes_are_found_again_after_saving_and_loading(
    scene: Any, volumes: dict[str, Any], bundle: Any, tmp_path: Path
) -> None:
    from DynamicSegLib.scene.result import last_result

    session = segmented(volumes, bundle)
    walls = session.result.crop_boxes.GetPolyData().GetNumberOfCells()
    path = tmp_path / "scene.mrb"
    scene.SetURL(str(path))
    scene.SetRootDirectory(str(tmp_path))
    assert scene.WriteToMRB(str(path))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(path), True)
    model = last_result().crop_boxes
    assert model.GetPolyData().GetNumberOfCells() == walls == 28
    assert model.GetDisplayNode().GetVisibility2D() and not model.GetDisplayNode().GetVisibility3D()


def test_a_method_that_never_crops_adds_no_model(scene: Any, volumes: dict[str, Any], tmp_path: Path) -> None:
    from Testing.tiny import write_tiny_bundle

    session = segmented(volumes, write_tiny_bundle(tmp_path))
    assert session.result.crop_boxes is None
