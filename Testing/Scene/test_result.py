"""A result in a scene that is saved and loaded again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DynamicSegLib.budget import Budget

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")


@pytest.fixture
def saved(scene: Any, volumes: dict[str, Any], bundle: Any, tmp_path: Path) -> tuple[Path, Any]:
    """The path of a .mrb with one result, and what the result held."""
    from DynamicSegLib.scene.session import SceneSession, Settings

    session = SceneSession(volumes, bundle, settings=Settings(device="cpu"))
    for _ in session.segment(Budget.parse("50%")):
        pass
    path = tmp_path / "scene.mrb"
    scene.SetURL(str(path))
    scene.SetRootDirectory(str(tmp_path))
    assert scene.WriteToMRB(str(path))
    return path, session.segmentation


def test_a_result_is_found_again_after_saving_and_loading(scene: Any, saved: tuple[Path, Any], bundle: Any) -> None:
    from DynamicSegLib.scene.result import last_result

    path, segmentation = saved
    scene.Clear(0)
    assert last_result() is None
    assert scene.ReadFromMRB(str(path), True)
    result = last_result()
    assert result is not None
    assert result.slice_axis == segmentation.study.native_slice_axis
    assert result.volume.GetName().startswith("Scan_")
    np.testing.assert_array_equal(
        slicer.util.arrayFromTableColumn(result.table, "macs"), [d.macs for d in segmentation.decisions]
    )
    table = result.table.GetTable()
    assert table.GetColumnByName("candidate").GetValue(0) == segmentation.decisions[0].candidate
    held = result.segmentation.GetSegmentation()
    assert [held.GetNthSegment(i).GetName() for i in range(held.GetNumberOfSegments())] == [
        label.name for label in bundle.labels
    ]
    assert bundle.labels[1].code.value in held.GetNthSegment(1).GetTerminology()


def test_the_chart_still_answers_clicks_after_loading(scene: Any, saved: tuple[Path, Any]) -> None:
    from DynamicSegLib.scene.chart import ROWS, slice_of_row
    from DynamicSegLib.scene.result import last_result

    path, segmentation = saved
    scene.Clear(0)
    assert scene.ReadFromMRB(str(path), True)
    result = last_result()
    assert result is not None
    series = result.chart.chart.GetNthPlotSeriesNode(1)
    assert slice_of_row(result.chart, series.GetID(), 3 * ROWS + 1) == 3
    assert result.chart.chart.GetNumberOfPlotSeriesNodes() == len(segmentation.options) + 1


def test_a_segmentation_of_somebody_else_is_no_result(scene: Any) -> None:
    from DynamicSegLib.scene.result import last_result

    scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn by hand")
    assert last_result() is None
