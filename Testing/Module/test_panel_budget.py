"""The budget in the panel: slider, unit, forecast."""

from types import SimpleNamespace
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")


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


def full_macs(panel: Any, slices: int) -> float:
    costs = panel.inputs.bundle.bank.costs(panel.inputs.bundle.input.size)
    return float(max(cost.macs for cost in costs) * slices)


def in_giga_macs(panel: Any) -> None:
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("macs")


def test_a_budget_in_macs_stays_what_it_is_with_another_scan(panel: Any) -> None:
    in_giga_macs(panel)
    half = round(full_macs(panel, 155) / 2e9, 1)
    panel.ui.budgetSlider.value = half
    panel.budget.setRun(None, 310)
    assert panel.ui.budgetSlider.value == half
    assert panel.budget._share == pytest.approx(0.25, rel=0.1)
    panel.budget.setRun(None, 31)
    assert panel.ui.budgetSlider.value == pytest.approx(full_macs(panel, 31) / 1e9, abs=0.1), "all that can be spent"
    panel.budget.setRun(None, 155)
    assert panel.ui.budgetSlider.value == half


def test_a_budget_in_seconds_stays_what_it_is_when_the_speed_is_known(panel: Any) -> None:
    full = round(full_macs(panel, 155))
    panel.budget.learnSpeed(60.0, full)
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("seconds")
    panel.ui.budgetSlider.value = 30
    panel.budget.learnSpeed(120.0, full)
    panel.budget.setRun(None, 155)
    assert panel.ui.budgetSlider.maximum == pytest.approx(120, abs=1)
    assert panel.ui.budgetSlider.value == 30


def test_a_saved_budget_in_macs_is_measured_with_the_saved_model(panel: Any, v2_bundle: Any) -> None:
    in_giga_macs(panel)
    wanted = panel.ui.budgetSlider.maximum * 0.6
    panel.ui.budgetSlider.value = wanted
    wanted = panel.ui.budgetSlider.value
    node = panel._parameterNode
    panel.setParameterNode(None)
    panel.inputs.fillBundles("v2-tiny")
    panel.setParameterNode(node)
    assert panel.inputs.bundle.name == "tiny"
    assert panel.ui.budgetSlider.value == wanted
    assert node.budget == wanted


def test_the_time_of_one_model_says_nothing_of_another(panel: Any, v2_bundle: Any) -> None:
    slicer.app.userSettings().remove("DynamicSeg")
    panel.budget.learnSpeed(7.0, 10**9)
    assert "on this computer" in panel.ui.forecastLabel.text
    assert "after the first run" not in panel.ui.forecastLabel.text
    panel.inputs.fillBundles("v2-tiny")
    assert "after the first run" in panel.ui.forecastLabel.text
    panel.inputs.fillBundles("tiny")
    panel.ui.deviceSelector.currentIndex = panel.ui.deviceSelector.findData("cpu")
    assert "after the first run" in panel.ui.forecastLabel.text
    panel.ui.deviceSelector.currentIndex = panel.ui.deviceSelector.findData("auto")
    assert "after the first run" not in panel.ui.forecastLabel.text


def test_the_curve_is_labelled_in_the_color_of_the_panel_s_text(panel: Any) -> None:
    import qt

    palette = qt.QPalette(panel.ui.curveLabel.palette)
    palette.setColor(qt.QPalette.WindowText, qt.QColor("#00ff00"))
    panel.ui.curveLabel.palette = palette
    panel.ui.budgetSlider.value = 33
    picture = panel.ui.curveLabel.pixmap.toImage()
    left_of_the_axis = [picture.pixelColor(x, y) for x in range(36) for y in range(130)]
    assert any(color.green() > 150 > color.red() for color in left_of_the_axis)


def test_the_curve_is_drawn_with_all_pixels_of_a_fine_screen(panel: Any) -> None:
    import qt
    from DynamicSegPanel.CurvePicture import HEIGHT, WIDTH, Curve, curvePixmap

    label = SimpleNamespace(devicePixelRatioF=lambda: 2.0, palette=qt.QPalette())
    picture = curvePixmap(Curve([0.0, 1.0], [0.0, 0.9]), 0.5, label)
    assert (picture.width(), picture.height()) == (2 * WIDTH, 2 * HEIGHT)


def test_without_a_budget_the_model_decides(panel: Any) -> None:
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("automatic")
    assert panel.budget.budget() is None
    assert not panel.ui.budgetSlider.enabled
