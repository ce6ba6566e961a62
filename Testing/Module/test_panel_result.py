"""The result in the panel: chart, table, pins, surfaces, export, saved scenes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.Module.panel_actions import LoadScan, apply, segmentations, visible

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")


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
