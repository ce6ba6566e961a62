"""The boxes where Med-DANet V2 cropped slices, in the panel and over the scan."""

from typing import Any

import numpy as np
import pytest

from Testing.Module.panel_actions import apply, visible

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")

# The first tone of the options' palette: that of the crop.
BOX = (0xCD, 0xB7, 0xEA)


@pytest.fixture
def cropped(host: Any, panel: Any, load_scan: Any, v2_bundle: Any, on_torch: None) -> Any:
    """The panel after Apply with slices skipped, cropped and whole, on torch."""
    panel.inputs.fillBundles("v2-tiny")
    load_scan()
    pins = dict(enumerate([0, 1, 1, 1, 2, 2, 1, 1, 1, 1, 2, 0]))
    panel.pins._set(pins)
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("automatic")
    apply(host, panel)
    assert panel.message.level != "error", panel.ui.messageLabel.text
    return panel


def drawn(panel: Any, index: int) -> int:
    """Pixels in the box's colour in the view of a slice, without the labels that a random network drew over it."""
    from PySide6.QtCore import QSize

    from Testing.SlicerHost.pictures import view_picture

    panel.resultView.result.segmentation.GetDisplayNode().SetVisibility(False)
    panel.resultView.jump(index)
    image = view_picture(slicer.app.layoutManager().sliceWidget("Red"), QSize(300, 300))
    image = image.convertToFormat(image.Format.Format_RGB888)
    pixels = np.array(image.constBits()).reshape(image.height(), image.width(), 3)  # 900 bytes a line: no padding
    return int((np.abs(pixels.astype(int) - BOX).max(axis=2) < 12).sum())


def test_the_box_follows_the_slice_in_view_and_is_hidden_where_none_was_cropped(cropped: Any) -> None:
    assert visible(cropped.ui.cropBoxesCheckBox)
    for index in (2, 8):
        assert drawn(cropped, index) > 100
    for index in (0, 4, 10):
        assert drawn(cropped, index) == 0


def test_views_across_the_slices_do_not_draw_the_walls(cropped: Any) -> None:
    display = cropped.resultView.result.crop_boxes.GetDisplayNode()
    views = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    assert {view.GetLayoutName() for view in views if display.IsDisplayableInView(view.GetID())} == {"Red"}


def test_the_checkbox_hides_the_box_also_in_the_next_result(host: Any, cropped: Any) -> None:
    cropped.ui.cropBoxesCheckBox.click()
    assert drawn(cropped, 2) == 0
    apply(host, cropped)
    assert drawn(cropped, 2) == 0
    cropped.ui.cropBoxesCheckBox.click()
    assert drawn(cropped, 2) > 100


def test_only_the_result_in_view_shows_its_boxes_and_boxes_go_with_their_result(host: Any, cropped: Any) -> None:
    first = cropped.resultView.result
    apply(host, cropped)
    second = cropped.resultView.result
    models = [each.crop_boxes for each in (first, second)]
    charts = [node for each in (first, second) for node in each.chart.nodes]
    assert [bool(model.GetDisplayNode().GetVisibility()) for model in models] == [False, True]
    for result, model in zip((first, second), models, strict=True):
        slicer.mrmlScene.RemoveNode(result.segmentation)
        assert not slicer.mrmlScene.IsNodePresent(model)
    assert not any(slicer.mrmlScene.IsNodePresent(node) for node in charts)
    assert cropped.resultView.result is None
    assert not visible(cropped.ui.resultButton)


def test_the_panel_says_how_the_slice_in_view_was_run(cropped: Any) -> None:
    cropped.resultView.jump(2)
    assert cropped.ui.sliceLabel.text.startswith("Slice 2: crop 16 around row ")
    assert cropped.ui.sliceLabel.text.endswith(" bits")
    assert cropped.ui.slicesTable.item(2, 4).text() in cropped.ui.sliceLabel.text
    cropped.resultView.jump(0)
    assert not visible(cropped.ui.sliceLabel)


def test_a_method_that_never_crops_offers_no_box(on_torch: None, segmented: Any) -> None:
    assert not visible(segmented.ui.cropBoxesCheckBox)
    assert not visible(segmented.ui.sliceLabel)
    assert segmented.ui.slicesTable.isColumnHidden(4)
