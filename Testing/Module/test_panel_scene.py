"""What happens to the scene under the panel: volumes edited, moved and deleted, other scenes added, other modules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.Module.panel_actions import PATIENCE_SECONDS, LoadScan, apply, half_way, segmentations

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")

Volumes = dict[str, Any]


def is_prepared(panel: Any) -> bool:
    return panel.session is not None and panel.session.study is not None


def prepare(host: Any, panel: Any) -> None:
    host.wait_until(lambda: is_prepared(panel), 10)


def mirror(volumes: Volumes) -> None:
    """What an effect of another module does to voxels in place."""
    for node in volumes.values():
        array = slicer.util.arrayFromVolume(node)
        array[:] = array[::-1].copy()
        slicer.util.arrayFromVolumeModified(node)


def move(volumes: Volumes) -> Any:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
    matrix = np.eye(4)
    matrix[0, 3] = 6.0
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    for node in volumes.values():
        node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


@pytest.mark.parametrize("change", [mirror, move])
def test_a_volume_that_was_edited_or_moved_is_read_again(
    host: Any, panel: Any, load_scan: LoadScan, on_torch: None, change: Callable[[Volumes], Any]
) -> None:
    volumes = load_scan()
    prepare(host, panel)
    before = panel.session
    change(volumes)
    apply(host, panel)
    assert panel.message.level != "error", panel.ui.messageLabel.text
    assert panel.session is not before
    expected = panel.newSession()
    list(expected.prepare())
    np.testing.assert_array_equal(panel.session.study.volumes, expected.study.volumes)
    assert panel.session.study.grid.native.GetOrigin() == expected.study.grid.native.GetOrigin()


def test_a_scan_that_nobody_touched_is_not_read_again(host: Any, segmented: Any) -> None:
    session = segmented.session
    for widget in (slicer.app.layoutManager().sliceWidget(name) for name in ("Red", "Yellow")):
        widget.sliceView().forceRender()
    segmented.resultView.jump(3)
    apply(host, segmented)
    assert segmented.session is session


def test_an_edited_mask_is_read_again(host: Any, panel: Any, load_scan: LoadScan, on_torch: None) -> None:
    from DynamicSegLib.scene.volumes import volume_node_from_image
    from Testing.tiny import head_images

    volumes = load_scan()
    mask = volume_node_from_image(head_images()["flair"] > 0, "mask", "vtkMRMLLabelMapVolumeNode")
    panel.ui.maskSelector.setCurrentNode(mask)
    assert set(panel.inputs.volumes) == set(volumes)
    prepare(host, panel)
    assert not panel.session.outdated
    slicer.util.arrayFromVolume(mask)[:, :20] = 0
    slicer.util.arrayFromVolumeModified(mask)
    assert panel.session.outdated


def test_a_transform_that_warps_is_told_and_not_passed_over(host: Any, panel: Any, load_scan: LoadScan) -> None:
    volumes = load_scan()
    prepare(host, panel)
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    volumes["t1"].SetAndObserveTransformNodeID(warp.GetID())
    panel.ui.applyButton.click()
    assert panel.message.level == "error"
    assert "harden the transform" in panel.ui.messageLabel.text
    assert not panel.runControl.running


def test_a_scene_that_is_added_brings_its_own_scan_and_ends_the_run_of_the_old(
    host: Any, panel: Any, load_scan: LoadScan, on_torch: None, tmp_path: Path
) -> None:
    path = tmp_path / "scene.mrb"
    load_scan("Saved")
    panel.pins._set({5: 1})
    assert slicer.util.saveScene(str(path))
    host.close_scene()
    load_scan("Open")
    prepare(host, panel)
    panel.ui.applyButton.click()
    half_way(panel, lambda: slicer.util.loadScene(str(path), {"clear": False}))
    host.wait_until(lambda: not panel.runControl.running, PATIENCE_SECONDS)
    assert segmentations() == []
    assert {node.GetName() for node in panel.inputs.volumes.values()} == {
        f"Saved_{name}" for name in ("flair", "t1ce", "t1", "t2")
    }
    prepare(host, panel)
    assert panel.session.volumes == panel.inputs.volumes
    panel.onInputsChanged()
    assert panel.pins.options() == {5: 1}, "the pins came with the scan"
    apply(host, panel)
    assert panel.resultView.result.volume.GetName().startswith("Saved_")


def test_the_row_of_a_deleted_volume_is_empty(host: Any, panel: Any, load_scan: LoadScan) -> None:
    volumes = load_scan()
    slicer.mrmlScene.RemoveNode(volumes["t1"])
    host.process_events(0.02)
    assert set(panel.inputs.volumes) == {"flair", "t1ce", "t2"}
    assert panel.ui.statusLabel.text == "Still to choose: T1"
    assert not panel.ui.applyButton.enabled


def test_no_volume_becomes_the_mask_when_the_mask_is_deleted(host: Any, panel: Any, load_scan: LoadScan) -> None:
    from DynamicSegLib.scene.volumes import volume_node_from_image
    from Testing.tiny import head_images

    mask = volume_node_from_image(head_images()["flair"], "mask", "vtkMRMLLabelMapVolumeNode")
    load_scan()
    panel.ui.maskSelector.setCurrentNode(mask)
    slicer.mrmlScene.RemoveNode(mask)
    assert panel.inputs.mask is None


def test_a_volume_that_is_chosen_twice_is_told(host: Any, panel: Any, load_scan: LoadScan) -> None:
    volumes = load_scan()
    panel.inputs._selectors._selectors["t2"].setCurrentNode(volumes["t1"])
    assert panel.ui.statusLabel.text == "T1 and T2 are the same volume"
    assert not panel.ui.applyButton.enabled
    panel.inputs._selectors._selectors["t2"].setCurrentNode(volumes["t2"])
    assert panel.ui.applyButton.enabled
    assert panel.ui.statusLabel.text == ""


@pytest.mark.parametrize("end", ["wait", "cancel"])
def test_a_volume_that_is_deleted_during_a_run_is_missed_afterwards(
    host: Any, panel: Any, load_scan: LoadScan, on_torch: None, end: str
) -> None:
    volumes = load_scan()

    def delete() -> None:
        slicer.mrmlScene.RemoveNode(volumes["t1"])
        if end == "cancel":
            panel.ui.applyButton.click()

    panel.ui.budgetSlider.value = 100
    panel.ui.applyButton.click()
    half_way(panel, delete)
    host.wait_until(lambda: not panel.runControl.running, PATIENCE_SECONDS)
    assert len(segmentations()) == (0 if end == "cancel" else 1)
    assert panel.ui.statusLabel.text == "Still to choose: T1"
    assert not panel.ui.applyButton.enabled


def test_nothing_is_chosen_or_computed_while_another_module_is_shown(
    host: Any, module: Any, panel: Any, load_scan: LoadScan
) -> None:
    frame = module.widgetRepresentation()
    frame.exit()
    load_scan()
    host.process_events(0.5)
    assert panel.inputs.volumes == {}
    frame.enter()
    assert len(panel.inputs.volumes) == 4
    frame.exit()
    host.process_events(0.5)
    assert panel.session is None
    frame.enter()
    prepare(host, panel)


def test_a_closed_panel_does_nothing_any_more(host: Any, panel: Any, load_scan: LoadScan) -> None:
    load_scan()
    assert panel._prepareTimer.active
    panel.cleanup()
    assert not panel._prepareTimer.active
    assert panel._parameterNodeGuiTag is None
