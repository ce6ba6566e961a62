"""Apply, Cancel and what may go wrong in between, in the panel."""

from typing import Any

import numpy as np
import pytest

from Testing.Module.panel_actions import PATIENCE_SECONDS, LoadScan, apply, half_way, segmentations, visible

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")


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


def test_the_time_before_the_first_slice_is_told_where_it_was_long(
    host: Any, panel: Any, load_scan: LoadScan, on_torch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import DynamicSeg

    monkeypatch.setattr(DynamicSeg, "NOTICEABLE_SECONDS", 0.0)
    load_scan()
    apply(host, panel)
    assert "Getting ready (volumes, networks) took" in panel.ui.statusLabel.text
    apply(host, panel)
    assert "Getting ready" not in panel.ui.statusLabel.text, "the networks were there already"


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
        host.wait_until(lambda: not panel.runControl.running, PATIENCE_SECONDS)
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
    host.wait_until(lambda: not panel.runControl.running, PATIENCE_SECONDS)
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
    host.wait_until(lambda: not panel.runControl.running, PATIENCE_SECONDS)
    host.process_events(0.1)
    assert not panel.runControl.running
    assert panel.ui.applyButton.text == "Apply"
    assert segmentations() == []
    assert panel.inputs.volumes == {}
    assert not panel.ui.applyButton.enabled
    load_scan()
    apply(host, panel)
    assert len(segmentations()) == 1
