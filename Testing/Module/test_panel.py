"""What a user does with the panel, on the test host; the library's calls are real."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")

LoadScan = Callable[..., dict[str, Any]]


def segmentations() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def visible(widget: Any) -> bool:
    return not widget.isHidden()


def apply(host: Any, panel: Any) -> None:
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.runControl.running, 60)


def half_way(panel: Any, action: Callable[[], Any]) -> None:
    """Does something as soon as the run that was just started is half done, however fast it is."""
    pump = panel.runControl._pump
    told, done = pump._onProgress, []

    def watched(progress: Any) -> None:
        told(progress)
        if progress.share > 0.5 and not done:
            done.append(True)
            action()

    pump._onProgress = watched


# Inputs


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


# Budget


def test_the_forecast_follows_the_slider(panel: Any) -> None:
    panel.ui.budgetSlider.value = 50
    assert "0.60" in panel.ui.forecastLabel.text
    panel.ui.budgetSlider.value = 100
    assert "as good as this model gets" in panel.ui.forecastLabel.text
    assert not panel.ui.curveLabel.pixmap.isNull()


def test_another_unit_keeps_the_share_of_the_effort(panel: Any) -> None:
    from DynamicSegLib.budget import Unit

    panel.ui.budgetSlider.value = 40
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("macs")
    costs = panel.inputs.bundle.bank.costs(panel.inputs.bundle.input.size)
    full = max(cost.macs for cost in costs) * 155
    budget = panel.budget.budget()
    assert budget.unit is Unit.MACS
    assert budget.value == pytest.approx(0.4 * full, rel=0.05)
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("share")
    assert panel.ui.budgetSlider.value == pytest.approx(40, abs=2)


def test_without_a_budget_the_model_decides(panel: Any) -> None:
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("automatic")
    assert panel.budget.budget() is None
    assert not panel.ui.budgetSlider.enabled


# Running


def test_apply_shows_labels_table_and_chart(host: Any, segmented: Any) -> None:
    (node,) = segmentations()
    result = segmented.resultView.result
    assert result.segmentation.GetID() == node.GetID()
    assert result.inside.any()
    assert "mL" in segmented.ui.volumesLabel.text
    assert segmented.ui.slicesTable.rowCount == 12
    plotWidget = slicer.app.layoutManager().plotWidget(0)
    assert plotWidget.mrmlPlotViewNode().GetPlotChartNodeID() == result.chart.chart.GetID()
    assert visible(segmented.ui.resultButton)


def test_while_it_runs_apply_is_cancel_and_the_overlay_grows(host: Any, panel: Any, load_scan: LoadScan) -> None:
    from DynamicSegLib.scene import session

    load_scan()
    seen: dict[str, Any] = {"texts": set(), "counts": []}
    original = session.SegmentationView.write

    def watched(view: Any, labels: Any) -> None:
        original(view, labels)
        seen["texts"].add(panel.ui.applyButton.text)
        seen["counts"].append(int(np.count_nonzero(labels)))

    session.SegmentationView.write = watched
    session.REDRAW_SECONDS, seconds = 0.0, session.REDRAW_SECONDS
    try:
        panel.ui.budgetSlider.value = 100
        panel.ui.applyButton.click()
        assert panel.ui.applyButton.text == "Cancel"
        assert visible(panel.ui.progressBar)
        assert not panel.ui.scanButton.enabled
        host.wait_until(lambda: not panel.runControl.running, 60)
    finally:
        session.SegmentationView.write, session.REDRAW_SECONDS = original, seconds
    assert seen["texts"] == {"Cancel"}
    assert len(set(seen["counts"])) > 3
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.scanButton.enabled


def test_cancel_half_way_leaves_the_scene_as_it_was(host: Any, panel: Any, load_scan: LoadScan) -> None:
    load_scan()
    before = set(slicer.util.getNodes("*", useLists=True))
    panel.ui.budgetSlider.value = 100
    panel.ui.applyButton.click()
    half_way(panel, panel.ui.applyButton.click)
    host.wait_until(lambda: not panel.runControl.running, 60)
    assert segmentations() == []
    assert set(slicer.util.getNodes("*", useLists=True)) == before
    assert panel.ui.applyButton.text == "Apply"
    assert "Cancelled" in panel.ui.statusLabel.text
    apply(host, panel)
    assert len(segmentations()) == 1, "and it can be applied again"


def test_a_second_apply_overwrites_nothing(host: Any, segmented: Any) -> None:
    first = np.array(segmented.resultView.result.inside)
    segmented.ui.budgetSlider.value = 10
    apply(host, segmented)
    nodes = segmentations()
    assert len(nodes) == 2
    assert len({node.GetName() for node in nodes}) == 2
    assert [bool(node.GetDisplayNode().GetVisibility()) for node in nodes] == [False, True]
    segment = nodes[0].GetSegmentation().GetNthSegmentID(0)
    held = slicer.util.arrayFromSegmentInternalBinaryLabelmap(nodes[0], segment) > 0
    np.testing.assert_array_equal(held, first)


def test_a_budget_that_buys_nothing_is_refused_with_the_smallest_one(
    host: Any, panel: Any, load_scan: LoadScan
) -> None:
    load_scan()
    host.wait_until(lambda: panel.session is not None and panel.session.study is not None, 10)
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("macs")
    panel.ui.budgetSlider.minimum = 0.0
    panel.ui.budgetSlider.decimals = 6
    panel.ui.budgetSlider.value = 0.000001
    apply(host, panel)
    assert panel.message.level == "error"
    assert "smallest budget" in panel.ui.messageLabel.text
    assert segmentations() == []


def test_an_unexpected_failure_is_told_in_the_panel_and_not_as_a_popup(
    host: Any, panel: Any, load_scan: LoadScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from DynamicSegLib.engine import Run

    def broken(self: Any) -> Any:
        raise RuntimeError("the router is broken")

    load_scan()
    monkeypatch.setattr(Run, "route", broken)
    apply(host, panel)
    assert panel.message.level == "error"
    assert "the router is broken" in panel.ui.messageLabel.text
    assert segmentations() == []


def test_a_graphics_card_out_of_memory_is_called_so(panel: Any) -> None:
    panel.message.showError(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert "memory" in panel.ui.messageLabel.text
    assert "choose CPU" in panel.ui.messageLabel.text


def test_packages_that_are_missing_are_told_with_the_way_out(
    host: Any, panel: Any, load_scan: LoadScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from DynamicSegPanel import Dependencies

    load_scan()
    monkeypatch.setattr(Dependencies, "_installed", lambda requirement: False)
    apply(host, panel)
    assert panel.message.level == "error"
    assert "not installed" in panel.ui.messageLabel.text


def test_closing_the_scene_while_it_runs_ends_the_run(host: Any, panel: Any, load_scan: LoadScan) -> None:
    load_scan()
    panel.ui.applyButton.click()
    half_way(panel, lambda: host.scene.Clear(False))
    host.wait_until(lambda: not panel.runControl.running, 60)
    host.process_events(0.1)
    assert not panel.runControl.running
    assert panel.ui.applyButton.text == "Apply"
    assert segmentations() == []
    assert panel.inputs.volumes == {}
    assert not panel.ui.applyButton.enabled
    load_scan()
    apply(host, panel)
    assert len(segmentations()) == 1


# Result


def test_a_click_on_a_bar_jumps_to_its_slice(host: Any, segmented: Any) -> None:
    from DynamicSegLib.scene.chart import ROWS
    from DynamicSegLib.scene.navigation import best_slice_node, slice_in_view

    result = segmented.resultView.result
    options = slicer.util.arrayFromTableColumn(result.table, "option")
    for index in (2, 9):
        series = result.chart.chart.GetNthPlotSeriesNode(int(options[index]))
        host.click_plot(series, index * ROWS + ROWS // 2)
        view = best_slice_node(result.volume, result.slice_axis)
        assert slice_in_view(result.volume, result.slice_axis, view) == index


def test_a_row_jumps_to_its_slice_and_the_chart_marks_it(host: Any, segmented: Any) -> None:
    result = segmented.resultView.result
    for index in (3, 8):
        segmented.ui.slicesTable.setCurrentCell(index, 0)
        assert list(slicer.util.arrayFromTableColumn(result.chart.marker, "slice")) == [index, index]


def test_scrolling_a_slice_view_moves_the_mark(host: Any, segmented: Any) -> None:
    result = segmented.resultView.result
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    for index in (1, 6):
        # Slices are 3 mm apart and the first lies at 5 mm.
        red.SetSliceOffset(5.0 + 3.0 * index)
        assert slicer.util.arrayFromTableColumn(result.chart.marker, "slice")[0] == index


def test_a_pinned_slice_gets_its_option_and_only_it_is_run(host: Any, segmented: Any) -> None:
    chosen = np.array(slicer.util.arrayFromTableColumn(segmented.resultView.result.table, "option"))
    spent = segmented.session.run.macs_spent
    segmented.ui.slicesTable.selectRow(4)
    segmented.ui.pinSelector.currentIndex = segmented.ui.pinSelector.findData(0)
    segmented.ui.pinButton.click()
    assert segmented.ui.updateButton.enabled
    segmented.ui.updateButton.click()
    host.wait_until(lambda: not segmented.runControl.running, 30)
    after = np.array(slicer.util.arrayFromTableColumn(segmented.resultView.result.table, "option"))
    assert after[4] == 0
    assert len(segmentations()) == 1
    changed = np.flatnonzero(after != chosen)
    assert segmented.session.run.macs_spent - spent == sum(
        segmented.session.run.costs[after[index]].macs for index in changed
    )
    assert not segmented.ui.updateButton.enabled


def test_pins_are_forgotten_with_another_scan(host: Any, segmented: Any, load_scan: LoadScan) -> None:
    segmented.ui.slicesTable.selectRow(4)
    segmented.ui.pinSelector.currentIndex = segmented.ui.pinSelector.findData(0)
    segmented.ui.pinButton.click()
    assert segmented.pins.options() == {4: 0}
    other = load_scan("Other")
    segmented.inputs._selectors._selectors["t1"].setCurrentNode(other["t1"])
    assert segmented.pins.options() == {}


def test_leaving_the_module_and_coming_back_loses_nothing(host: Any, module: Any, segmented: Any) -> None:
    session, text = segmented.session, segmented.ui.statusLabel.text
    frame = module.widgetRepresentation()
    frame.exit()
    frame.enter()
    host.process_events(0.05)
    assert segmented.session is session
    assert segmented.ui.statusLabel.text == text
    assert segmented.ui.applyButton.enabled
    assert segmented.resultView.result is session.result


def test_surfaces_come_and_go(host: Any, segmented: Any) -> None:
    first = segmented.resultView.result
    segmentation = first.segmentation
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    segmented.ui.show3DButton.click()
    assert segmentation.GetSegmentation().ContainsRepresentation(name)
    assert slicer.app.layoutManager().threeDViewCount == 1
    assert slicer.app.layoutManager().plotViewCount == 1
    apply(host, segmented)
    assert not segmented.ui.show3DButton.checked, "the new result has no surfaces yet"
    segmented.resultView.setResult(first)
    assert segmented.ui.show3DButton.checked
    segmented.ui.show3DButton.click()
    assert not segmentation.GetSegmentation().ContainsRepresentation(name)


def test_export_writes_table_summary_and_chart(host: Any, segmented: Any, tmp_path: Path) -> None:
    import csv
    import json

    segmented.export(str(tmp_path))
    with (tmp_path / "decisions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert sum(int(row["macs"]) for row in rows) == summary["macs"]["spent"]
    assert (tmp_path / "chart.png").read_bytes()[:4] == b"\x89PNG"
    assert "decisions.csv" in segmented.ui.statusLabel.text


def test_everything_is_back_after_the_scene_was_saved_and_loaded(host: Any, segmented: Any, tmp_path: Path) -> None:
    path = tmp_path / "scene.mrb"
    segmented.ui.budgetSlider.value = 30
    text = segmented.ui.volumesLabel.text
    assert slicer.util.saveScene(str(path))
    host.close_scene()
    assert not visible(segmented.ui.resultButton)
    slicer.util.loadScene(str(path))
    host.process_events(0.1)
    assert visible(segmented.ui.resultButton)
    assert segmented.ui.volumesLabel.text == text
    assert segmented.ui.budgetSlider.value == 30
    assert set(segmented.inputs.volumes) == {"flair", "t1ce", "t1", "t2"}
    segmented.ui.slicesTable.setCurrentCell(7, 0)
    assert slicer.util.arrayFromTableColumn(segmented.resultView.result.chart.marker, "slice")[0] == 7
