"""The budget in the panel: slider, unit, forecast."""

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


def test_without_a_budget_the_model_decides(panel: Any) -> None:
    panel.ui.unitSelector.currentIndex = panel.ui.unitSelector.findData("automatic")
    assert panel.budget.budget() is None
    assert not panel.ui.budgetSlider.enabled
