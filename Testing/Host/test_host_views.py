"""The views: drawn offscreen by Slicer's own displayable managers, and what a click in a chart tells."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def volume(host):
    import slicer

    values = np.zeros((20, 40, 40), np.int16)
    values[:, 10:30, 10:30] = 100
    found = slicer.util.addVolumeFromArray(values, name="box")
    found.CreateDefaultDisplayNodes()
    found.GetDisplayNode().SetAutoWindowLevel(False)
    found.GetDisplayNode().SetWindowLevel(100, 50)
    slicer.util.setSliceViewerLayers(background=found, fit=True)
    return found


def _pixels(picture):
    """Returns a QImage as [row, column, (red, green, blue)]."""
    from PySide6.QtGui import QImage

    plain = picture.convertToFormat(QImage.Format.Format_RGB888)
    flat = np.frombuffer(plain.constBits(), np.uint8).reshape(plain.height(), plain.bytesPerLine())
    return flat[:, : 3 * plain.width()].reshape(plain.height(), plain.width(), 3)


def _draw(widget, columns=200, rows=220):
    from PySide6.QtCore import QSize

    from Testing.SlicerHost import pictures

    return _pixels(pictures.view_picture(widget, QSize(columns, rows)))[20:]


def test_a_slice_view_shows_the_volume(host, volume):
    import slicer

    red = slicer.app.layoutManager().sliceWidget("Red")
    drawn = _draw(red)
    assert drawn[100, 100].tolist() == [255, 255, 255]
    assert drawn[100, 15].tolist() == [0, 0, 0]


def test_a_segment_colours_the_slice_view_where_it_is(host, volume):
    import slicer

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("tumour", "tumour", (1, 0, 0))
    labels = np.zeros((20, 40, 40), np.uint8)
    labels[:, 15:25, 15:25] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, segmentation, segment, volume)
    drawn = _draw(slicer.app.layoutManager().sliceWidget("Red")).astype(int)
    centre, beside = drawn[100, 100], drawn[100, 60]
    assert centre[0] > centre[1] + 50 and centre[0] > centre[2] + 50
    assert beside.tolist() == [255, 255, 255]


def test_the_offset_of_the_slice_logic_moves_the_view(host, volume):
    import slicer

    red = slicer.app.layoutManager().sliceWidget("Red")
    slicer.util.arrayFromVolume(volume)[5] = 0
    slicer.util.arrayFromVolumeModified(volume)
    red.sliceLogic().SetSliceOffset(5)
    assert _draw(red).max() == 0
    red.sliceController().setSliceOffsetValue(6)
    assert red.mrmlSliceNode().GetSliceOffset() == pytest.approx(6)
    assert _draw(red).max() == 255


def test_the_layout_node_says_which_views_there_are(host):
    import slicer

    manager = slicer.app.layoutManager()
    heard = []
    manager.connect("layoutChanged(int)", heard.append)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotTableView)
    assert (manager.plotViewCount, manager.tableViewCount, manager.threeDViewCount) == (1, 1, 0)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    assert manager.sliceViewNames() == ("Red", "Green", "Yellow")
    assert manager.threeDWidget(0) is not None and manager.threeDWidget(7) is None
    assert heard[-1] == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


@pytest.fixture
def series(host):
    import slicer

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(table, [np.arange(8.0), np.arange(8.0) + 1], ["slice", "cost"])
    found = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "cost")
    found.SetAndObserveTableNodeID(table.GetID())
    found.SetXColumnName("slice")
    found.SetYColumnName("cost")
    found.SetPlotType(found.PlotTypeScatterBar)
    found.SetColor(0, 0, 1)
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    chart.AddAndObservePlotSeriesNodeID(found.GetID())
    slicer.modules.plots.logic().ShowChartInLayout(chart)
    return found


def test_a_chart_is_drawn_in_its_colour_when_it_is_shown_in_the_layout(host, series):
    import slicer

    drawn = _draw(slicer.app.layoutManager().plotWidget(0), 300, 320).astype(int)
    blue = (drawn[..., 2] > 180) & (drawn[..., 0] < 80)
    assert blue.sum() > 500
    assert blue[:, 200:].sum() > blue[:, :100].sum(), "later bars are higher"


def test_a_click_on_a_bar_tells_series_and_row(host, series):
    import slicer

    heard = []
    view = slicer.app.layoutManager().plotWidget(0).plotView()
    view.connect(
        "dataSelected(vtkStringArray*,vtkCollection*)",
        lambda series_ids, rows: heard.append((series_ids.GetValue(0), rows.GetItemAsObject(0).GetValue(0))),
    )
    host.click_plot(series, 5)
    assert heard == [(series.GetID(), 5)]


def test_a_table_shown_in_the_layout_fills_the_table_view(host, series):
    import slicer

    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotTableView)
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetActiveTableID(series.GetTableNodeID())
    slicer.app.applicationLogic().PropagateTableSelection()
    assert manager.tableWidget(0).tableView().model().rowCount() == 8


def test_a_picture_of_panel_and_views_says_where_it_was_made(host, volume, tmp_path):
    import qt

    from Testing.SlicerHost import pictures

    panel = qt.QLabel("panel")
    panel.resize(200, 300)
    picture = pictures.screen_picture(panel, columns=400, rows=300)
    path = pictures.save(picture, tmp_path / "deep" / "screen.png")
    assert (picture.width(), picture.height()) == (600, 322)
    assert _pixels(picture)[300:].max() > 200, "the label is written below"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_an_error(host, tmp_path):
    import qt

    from Testing.SlicerHost import pictures

    with pytest.raises(OSError, match="could not be written"):
        pictures.save(pictures.widget_picture(qt.QLabel("x")), tmp_path)


def test_without_main_window_there_is_no_layout_manager(host):
    import slicer

    with host.no_main_window():
        assert slicer.app.layoutManager() is None
        assert slicer.app.commandOptions().noMainWindow
        slicer.util.setSliceViewerLayers(background=None)
    assert slicer.app.layoutManager() is not None
