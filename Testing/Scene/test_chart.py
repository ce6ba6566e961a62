"""The chart's nodes: where the strokes stand, what a click means, what the marker shows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from DynamicSegLib.segmentation import Decision

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")

OPTIONS = ("skip", "M1", "M2")
GIGA = 10**9


def decisions() -> list[Decision]:
    chosen = [0, 1, 2, 2, 0]
    return [Decision(10 + k, o, OPTIONS[o], o * 2 * GIGA, o * GIGA, 1.0, {}) for k, o in enumerate(chosen)]


@pytest.fixture
def chart(scene: Any) -> Any:
    from DynamicSegLib.scene.chart import create_chart

    return create_chart(decisions(), OPTIONS, "chart", "title")


def column(chart: Any, name: str) -> np.ndarray:
    return np.array(slicer.util.arrayFromTableColumn(chart.points, name))


def test_each_slice_has_one_stroke_as_high_as_its_cost_in_its_option_series(chart: Any) -> None:
    slices = column(chart, "slice")
    for decision in decisions():
        for place, option in enumerate(OPTIONS):
            heights = column(chart, option)[slices == decision.slice]
            if place != decision.option:
                assert np.isnan(heights).all()
            elif place:
                assert np.nanmax(heights) == pytest.approx(decision.macs / GIGA)


def test_a_skipped_slice_can_be_seen_and_clicked_though_it_costs_nothing(chart: Any) -> None:
    heights = column(chart, "skip")[column(chart, "slice") == 10]
    assert 0 < np.nanmax(heights) < 0.1


def test_strokes_are_separated_by_gaps(chart: Any) -> None:
    from DynamicSegLib.scene.chart import ROWS

    for option in OPTIONS:
        assert np.isnan(column(chart, option)[ROWS - 1 :: ROWS]).all()


def test_the_legend_gives_each_option_its_colour_and_share(chart: Any) -> None:
    from DynamicSegLib.reporting.palette import option_color
    from DynamicSegLib.scene.chart import rgb_of

    for place, (option, share) in enumerate(zip(OPTIONS, ("40%", "20%", "40%"), strict=True)):
        series = chart.chart.GetNthPlotSeriesNode(place)
        assert series.GetName().split() == [option, share]
        np.testing.assert_allclose(series.GetColor(), rgb_of(option_color(place, len(OPTIONS) - 1)))


def test_the_marker_has_a_hue_of_its_own(chart: Any) -> None:
    red, green, blue = chart.chart.GetNthPlotSeriesNode(len(OPTIONS)).GetColor()
    assert red > 3 * max(green, blue), "red: options are violet"


def test_what_draws_the_chart_is_hidden_from_the_data_tree(scene: Any, chart: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for node in chart.nodes:
        shown = node is chart.chart
        assert bool(node.GetHideFromEditors()) is not shown
        assert bool(hierarchy.GetItemByDataNode(node)) is shown


def test_a_colour_is_read_from_its_hexadecimal_form() -> None:
    from DynamicSegLib.scene.chart import rgb_of

    assert rgb_of("#ff8000") == (1.0, pytest.approx(128 / 255), 0.0)


def test_a_click_anywhere_on_a_stroke_finds_its_slice(chart: Any) -> None:
    from DynamicSegLib.scene.chart import ROWS, slice_of_row

    series = chart.chart.GetNthPlotSeriesNode(2).GetID()
    assert {slice_of_row(chart, series, row) for row in range(2 * ROWS, 3 * ROWS)} == {12}
    marker = chart.chart.GetNthPlotSeriesNode(3).GetID()
    assert slice_of_row(chart, marker, 0) is None


def test_a_tooltip_anywhere_on_a_stroke_says_what_the_method_did(chart: Any) -> None:
    from DynamicSegLib.scene.chart import ROWS, fill_chart

    told = [
        replace(each, extra={"bits_1": 8, "bits_2": each.option * 8} if each.option else {}) for each in decisions()
    ]
    fill_chart(chart, told, OPTIONS, "title")
    labels = chart.points.GetTable().GetColumnByName(chart.chart.GetNthPlotSeriesNode(1).GetLabelColumnName())
    words = [labels.GetValue(row) for row in range(labels.GetNumberOfValues())]
    assert words == [text for text in ("", "8/8 bits", "8/16 bits", "8/16 bits", "") for _ in range(ROWS)]


def test_the_marker_stands_on_the_slice_in_view_and_hides_when_there_is_none(chart: Any) -> None:
    from DynamicSegLib.scene.chart import mark_slice

    def marker() -> tuple[list[float], list[float]]:
        return (
            list(slicer.util.arrayFromTableColumn(chart.marker, "slice")),
            list(slicer.util.arrayFromTableColumn(chart.marker, "height")),
        )

    mark_slice(chart, 13)
    assert marker()[0] == [13, 13]
    assert marker()[1][0] == 0.0
    mark_slice(chart, None)
    assert np.isnan(marker()[1][0])


def test_moving_the_marker_to_where_it_is_redraws_nothing(chart: Any) -> None:
    from DynamicSegLib.scene.chart import mark_slice

    mark_slice(chart, 12)
    modified = chart.marker.GetMTime()
    mark_slice(chart, 12)
    assert chart.marker.GetMTime() == modified
