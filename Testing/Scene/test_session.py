"""A segmentation from nodes to nodes: what is added, what is left when it is cancelled, what is run again."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.budget import Budget
from DynamicSegLib.cleaning import Cleaning
from DynamicSegLib.errors import BudgetError, InputError

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")

BUDGET = Budget.parse("50%")


def exhaust(steps: Iterator[Any]) -> list[Any]:
    return list(steps)


def new_session(volumes: dict[str, Any], bundle: Any, **more: Any) -> Any:
    from DynamicSegLib.scene.session import SceneSession, Settings

    return SceneSession(volumes, bundle, settings=Settings(device="cpu", backend="torch", live=True), **more)


def nodes_in(scene: Any) -> set[str]:
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def label_array(result: Any) -> np.ndarray:
    first = result.segmentation.GetSegmentation().GetNthSegmentID(0)
    return np.array(slicer.util.arrayFromSegmentInternalBinaryLabelmap(result.segmentation, first))


def test_the_scene_gets_what_the_library_gives(volumes: dict[str, Any], bundle: Any) -> None:
    import DynamicSegLib
    from DynamicSegLib.scene.volumes import image_from_volume_node
    from DynamicSegLib.study import build_study

    session = new_session(volumes, bundle)
    exhaust(session.segment(BUDGET))
    images = {name: image_from_volume_node(node) for name, node in volumes.items()}
    expected = DynamicSegLib.segment(build_study(images, bundle.input), bundle, BUDGET, device="cpu")
    assert expected.labels.any()
    np.testing.assert_array_equal(label_array(session.result), sitk.GetArrayFromImage(expected.to_native()))
    assert session.segmentation.spent.macs <= session.segmentation.asked_macs


def test_segments_carry_name_colour_and_snomed_code(volumes: dict[str, Any], bundle: Any) -> None:
    session = new_session(volumes, bundle)
    exhaust(session.segment(BUDGET))
    segmentation = session.result.segmentation.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == len(bundle.labels)
    for index, label in enumerate(bundle.labels):
        segment = segmentation.GetNthSegment(index)
        assert segment.GetName() == label.name
        np.testing.assert_allclose(segment.GetColor(), np.array(label.color) / 255, atol=1e-6)
        entry = slicer.vtkSlicerTerminologyEntry()
        assert slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(segment.GetTerminology(), entry)
        assert entry.GetTypeObject().GetCodeValue() == label.code.value
        assert entry.GetTypeObject().GetCodingSchemeDesignator() == "SCT"


def test_results_lie_in_the_study_of_the_volume(scene: Any, volumes: dict[str, Any], bundle: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    for node in volumes.values():
        hierarchy.CreateItem(study, node)
    session = new_session(volumes, bundle)
    exhaust(session.segment(BUDGET))
    for node in (session.result.segmentation, session.result.table, session.result.chart.chart):
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study


def test_a_transformed_scan_gives_the_same_labels_under_the_same_transform(
    scene: Any, volumes: dict[str, Any], bundle: Any
) -> None:
    plain = new_session(volumes, bundle)
    exhaust(plain.segment(BUDGET))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    matrix = slicer.util.vtkMatrixFromArray(np.array([[1, 0, 0, 30], [0, 1, 0, 4], [0, 0, 1, -9], [0, 0, 0, 1.0]]))
    transform.SetMatrixTransformToParent(matrix)
    for node in volumes.values():
        node.SetAndObserveTransformNodeID(transform.GetID())
    moved = new_session(volumes, bundle)
    exhaust(moved.segment(BUDGET))
    np.testing.assert_array_equal(label_array(moved.result), label_array(plain.result))
    assert moved.result.segmentation.GetTransformNodeID() == transform.GetID()


def test_a_flipped_scan_gives_flipped_labels_and_its_own_slice_indices(
    scene: Any, volumes: dict[str, Any], bundle: Any
) -> None:
    from DynamicSegLib.scene.volumes import volume_node_from_image
    from Testing.tiny import head_images

    plain = new_session(volumes, bundle)
    exhaust(plain.segment(BUDGET))
    flipped = {
        name: volume_node_from_image(sitk.Flip(image, (False, False, True)), f"Flipped_{name}")
        for name, image in head_images().items()
    }
    session = new_session(flipped, bundle)
    exhaust(session.segment(BUDGET))
    np.testing.assert_array_equal(label_array(session.result), label_array(plain.result)[::-1])
    last = len(plain.segmentation.decisions) - 1
    options = {decision.slice: decision.option for decision in plain.segmentation.decisions}
    assert {d.slice: d.option for d in session.segmentation.decisions} == {last - k: o for k, o in options.items()}


def test_cancel_and_error_leave_the_scene_as_it_was(scene: Any, volumes: dict[str, Any], bundle: Any) -> None:
    before = nodes_in(scene)
    session = new_session(volumes, bundle)
    steps = session.segment(BUDGET)
    seen_during = set()
    for progress in steps:
        seen_during |= nodes_in(scene)
        if progress.share > 0.5:
            break
    assert seen_during - before, "the overlay was shown while it ran"
    steps.close()
    assert nodes_in(scene) == before
    assert session.result is None
    with pytest.raises(BudgetError, match="smallest budget"):
        exhaust(session.segment(Budget.parse("1")))
    assert nodes_in(scene) == before


def test_a_missing_modality_is_named(volumes: dict[str, Any], bundle: Any) -> None:
    del volumes["t2"]
    with pytest.raises(InputError, match="t2"):
        exhaust(new_session(volumes, bundle).segment(BUDGET))


def test_a_second_run_adds_a_second_segmentation(volumes: dict[str, Any], bundle: Any) -> None:
    first, second = new_session(volumes, bundle), new_session(volumes, bundle)
    exhaust(first.segment(BUDGET))
    exhaust(second.segment(BUDGET))
    assert first.result.segmentation.GetID() != second.result.segmentation.GetID()
    assert first.result.segmentation.GetName() != second.result.segmentation.GetName()


def test_a_pin_changes_its_slice_and_runs_no_other(volumes: dict[str, Any], bundle: Any) -> None:
    session = new_session(volumes, bundle)
    exhaust(session.segment(BUDGET))
    before = {d.slice: d for d in session.segmentation.decisions}
    spent = session.run.macs_spent
    pinned, option = 5, 1 if before[5].option != 1 else 2
    pins = {d.slice: d.option for d in before.values()} | {pinned: option}
    exhaust(session.update(Budget.parse("100%"), pins=pins))
    after = {d.slice: d for d in session.segmentation.decisions}
    assert after[pinned].option == option
    assert all(after[k].option == before[k].option for k in before if k != pinned)
    assert session.run.macs_spent - spent == session.run.costs[option].macs
    assert slicer.util.arrayFromTableColumn(session.result.table, "option")[pinned] == option


def test_the_scene_ends_with_cleaned_labels_after_apply_and_after_a_pin(volumes: dict[str, Any], bundle: Any) -> None:
    # The first slice is a part by itself while the second is skipped.
    pins = {0: 1, 1: 0, **dict.fromkeys(range(2, 12), 1)}
    session = new_session(volumes, replace(bundle, cleaning=Cleaning(5.0)))
    exhaust(session.segment(BUDGET, pins=pins))
    assert session.run.labels_of(0).any()
    assert not label_array(session.result)[0].any() and label_array(session.result)[2:].any()
    assert "mL in small islands were removed" in session.result.segmentation.GetDescription()
    segmentation = session.result.segmentation
    exhaust(session.update(BUDGET, pins=pins | {1: 1}))
    assert session.result.segmentation is segmentation, "cleaned labels are no edits of the user's"
    assert label_array(session.result)[0].any()
    assert session.result.segmentation.GetDescription() == ""


def test_an_update_never_overwrites_what_a_user_drew(volumes: dict[str, Any], bundle: Any) -> None:
    session = new_session(volumes, bundle)
    exhaust(session.segment(BUDGET))
    edited = session.result.segmentation
    segment = edited.GetSegmentation().GetNthSegment(0)
    drawn = segment.GetRepresentation(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())
    drawn.SetScalarComponentFromDouble(3, 3, 3, 0, 4.0)
    held = label_array(session.result)
    exhaust(session.update(BUDGET, pins={5: 1}))
    assert session.result.segmentation.GetID() != edited.GetID()
    first = edited.GetSegmentation().GetNthSegmentID(0)
    np.testing.assert_array_equal(slicer.util.arrayFromSegmentInternalBinaryLabelmap(edited, first), held)


def test_a_segmentation_deleted_while_it_grows_stops_the_run_with_a_reason(
    scene: Any, volumes: dict[str, Any], bundle: Any
) -> None:
    from DynamicSegLib.errors import CancelledError

    before = nodes_in(scene)
    session = new_session(volumes, bundle)
    with pytest.raises(CancelledError, match="deleted"):
        for progress in session.segment(BUDGET):
            if progress.share > 0.4:
                for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
                    scene.RemoveNode(node)
    assert {i for i in nodes_in(scene) - before if "Display" not in i} == set()
