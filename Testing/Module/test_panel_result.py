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


def pin(panel: Any, index: int, option: int) -> None:
    panel.ui.slicesTable.selectRow(index)
    panel.ui.pinSelector.currentIndex = panel.ui.pinSelector.findData(option)
    panel.ui.pinButton.click()


def test_pinned_slices_are_marked_until_the_pins_are_cleared(host: Any, segmented: Any) -> None:
    chosen = int(slicer.util.arrayFromTableColumn(segmented.resultView.result.table, "option")[4])
    pinned = 0 if chosen else 1
    names = segmented.resultView.options

    def got() -> str:
        return str(segmented.ui.slicesTable.item(4, 1).text())

    assert not segmented.ui.clearPinsButton.enabled
    pin(segmented, 4, pinned)
    assert got() == f"{names[chosen]} \u2192 {names[pinned]}"
    segmented.ui.updateButton.click()
    host.wait_until(lambda: not segmented.runControl.running, 30)
    assert got() == f"{names[pinned]} (pinned)"
    segmented.ui.clearPinsButton.click()
    assert got() == names[pinned]
    assert segmented.pins.options() == {}
    assert segmented.ui.updateButton.enabled, "the slices still have what they were pinned to"


def test_pins_of_a_model_with_more_options_do_not_upset_the_result_in_view(segmented: Any) -> None:
    segmented.pins._set({4: 7})
    segmented.pins.refresh()
    assert segmented.ui.slicesTable.item(4, 1).text() in segmented.resultView.options


def test_pins_are_forgotten_with_another_model(host: Any, segmented: Any, v2_bundle: Any) -> None:
    pin(segmented, 4, 1)
    segmented.inputs.fillBundles("v2-tiny")
    assert segmented.pins.options() == {}
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


def test_surfaces_survive_an_update(host: Any, segmented: Any) -> None:
    segmentation = segmented.resultView.result.segmentation.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    segmented.ui.show3DButton.click()
    chosen = int(slicer.util.arrayFromTableColumn(segmented.resultView.result.table, "option")[4])
    pin(segmented, 4, 1 if chosen != 1 else 2)
    segmented.ui.updateButton.click()
    host.wait_until(lambda: not segmented.runControl.running, 30)
    assert segmented.ui.show3DButton.checked
    assert segmentation.ContainsRepresentation(name)


def test_the_data_tree_holds_of_a_result_what_a_user_looks_for(host: Any, segmented: Any) -> None:
    import vtk

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    nodes = [hierarchy.GetItemDataNode(items.GetId(place)) for place in range(items.GetNumberOfIds())]
    added = [node for node in nodes if node is not None and not node.IsA("vtkMRMLScalarVolumeNode")]
    result = segmented.resultView.result
    assert {node.GetID() for node in added} == {
        node.GetID() for node in (result.segmentation, result.table, result.chart.chart)
    }


def test_the_panel_stays_narrow_with_many_options_and_the_table_shows_all_it_holds(
    host: Any, module: Any, segmented: Any
) -> None:
    from DynamicSegLib.scene.decisions import fill_table

    result = segmented.resultView.result
    result.segmentation.SetDescription("2.31 mL in small islands were removed, which no network was sure of. " * 3)
    names = ["skip", "0.25x-96", "0.25x-192", "0.50x-144-and-a-long-name", "0.75x-192", "1.00x-whole"]
    segmented.pins._set({0: 3})
    fill_table(result.table, segmented.session.segmentation.decisions, names)
    segmented.pins.refresh()
    segmented.ui.slicesButton.collapsed = False
    host.process_events(0.05)
    assert module.widgetRepresentation().minimumSizeHint.width() <= 440
    table = segmented.ui.slicesTable
    assert table.columnWidth(1) >= table.sizeHintForColumn(1)
    assert table.horizontalHeader().stretchLastSection


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


def test_the_exported_chart_is_the_result_s_own_whatever_the_view_showed(
    host: Any, segmented: Any, tmp_path: Path
) -> None:
    segmented.resultView.showChart()
    host.process_events(0.05)
    foreign = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", "somebody else's")
    slicer.modules.plots.logic().ShowChartInLayout(foreign)
    host.process_events(0.05)
    segmented.export(str(tmp_path))
    plotWidget = slicer.app.layoutManager().plotWidget(0)
    assert plotWidget.mrmlPlotViewNode().GetPlotChartNodeID() == segmented.resultView.result.chart.chart.GetID()
    from PySide6.QtGui import QImage

    picture = QImage(str(tmp_path / "chart.png"))
    colors = {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(0, picture.height(), 3)}
    assert "#cdb7ea" in colors, "bars in the colour of the first network"


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
