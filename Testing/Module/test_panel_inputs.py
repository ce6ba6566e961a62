"""Model, volumes and the sample in the panel: found, chosen, missing, damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.Module.panel_actions import LoadScan, visible

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")


def test_volumes_are_found_by_their_names(host: Any, panel: Any, load_scan: LoadScan) -> None:
    assert not panel.ui.applyButton.enabled
    assert "FLAIR" in panel.ui.applyButton.toolTip
    nodes = load_scan()
    assert {name: node.GetID() for name, node in panel.inputs.volumes.items()} == {
        name: node.GetID() for name, node in nodes.items()
    }
    assert panel.ui.applyButton.enabled


def test_a_choice_by_hand_is_kept_when_more_volumes_come(host: Any, panel: Any, load_scan: LoadScan) -> None:
    first = load_scan()
    load_scan("Later")
    assert panel.inputs.volumes["t1"].GetID() == first["t1"].GetID()


def test_label_maps_are_no_scans(host: Any, panel: Any) -> None:
    from DynamicSegLib.scene.volumes import volume_node_from_image
    from Testing.tiny import head_images

    volume_node_from_image(head_images()["flair"], "Scan_flair", "vtkMRMLLabelMapVolumeNode")
    host.process_events(0.02)
    assert panel.inputs.volumes == {}


def test_warnings_are_read_before_apply(host: Any, panel: Any, load_scan: LoadScan) -> None:
    nodes = load_scan()
    matrix = slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1.0, 3.0, 1.0]))
    matrix.SetElement(0, 3, 12.0)
    nodes["t2"].SetIJKToRASMatrix(matrix)
    panel.onInputsChanged()
    host.wait_until(lambda: visible(panel.ui.messageLabel), 10)
    assert panel.message.level == "warning"
    assert "t2 lies on another grid" in panel.ui.messageLabel.text
    assert "resampled" in panel.ui.messageLabel.text


def test_a_broken_volume_is_named_before_apply(host: Any, panel: Any, load_scan: LoadScan) -> None:
    nodes = load_scan()
    slicer.util.updateVolumeFromArray(nodes["t1"], np.zeros((12, 40, 32), np.int16))
    panel.onInputsChanged()
    host.wait_until(lambda: panel.message.level == "error", 10)
    assert "t1 is empty" in panel.ui.messageLabel.text


def test_a_model_that_cannot_be_installed_says_why(panel: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "model.zip"
    wrong.write_text("no zip")
    panel.inputs.install(str(wrong))
    assert panel.message.level == "error"
    assert "not a ZIP file" in panel.ui.messageLabel.text


def test_an_installed_model_is_chosen(panel: Any, bundles: Path, tmp_path: Path) -> None:
    import shutil

    from Testing.tiny import write_tiny_bundle

    write_tiny_bundle(tmp_path / "made", "second")
    archive = shutil.make_archive(str(tmp_path / "second"), "zip", tmp_path / "made" / "second")
    panel.inputs.install(archive)
    assert panel.inputs.bundle.name == "second"
    assert panel.message.level == "info"


def test_the_model_card_is_one_click_away(panel: Any) -> None:
    import qt

    panel.ui.cardButton.click()
    (text,) = panel.inputs._card.findChildren(qt.QTextBrowser)
    assert "For tests." in text.plainText
    panel.inputs._card.close()


def test_what_is_still_to_be_chosen_is_named(host: Any, panel: Any, load_scan: LoadScan) -> None:
    load_scan(names=("flair", "t1ce", "t1"))
    assert panel.ui.statusLabel.text == "Still to choose: T2"
    assert not panel.ui.applyButton.enabled


def test_the_sample_is_one_click_away_as_long_as_the_scene_is_empty(host: Any, panel: Any, load_scan: LoadScan) -> None:
    assert visible(panel.ui.sampleButton)
    panel.ui.sampleButton.click()
    host.process_events(0.02)
    assert set(panel.inputs.volumes) == {"flair", "t1ce", "t1", "t2"}
    assert not visible(panel.ui.sampleButton)
