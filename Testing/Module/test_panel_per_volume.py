"""One network for the whole scan in the panel: offered where the model has a query table, and kept to."""

from typing import Any

import numpy as np
import pytest

from Testing.Module.panel_actions import LoadScan, apply, visible

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")


@pytest.fixture
def slimmable(panel: Any, mutual_bundle: Any, on_torch: None) -> Any:
    """The panel with the model that has a query table."""
    panel.inputs.fillBundles("slim")
    return panel


def test_only_a_model_with_a_query_table_offers_it(slimmable: Any) -> None:
    assert visible(slimmable.ui.perVolumeCheckBox)
    slimmable.inputs.fillBundles("tiny")
    assert not visible(slimmable.ui.perVolumeCheckBox)
    slimmable.ui.perVolumeCheckBox.checked = True
    assert not slimmable.budget.perVolume


def test_the_forecast_climbs_the_front_of_the_query_table_in_steps(slimmable: Any) -> None:
    slimmable.ui.perVolumeCheckBox.click()
    seen = {}
    for percent in (2, 10, 20, 30, 40, 60, 99, 100):
        slimmable.ui.budgetSlider.value = percent
        seen[percent] = float(slimmable.ui.forecastLabel.text.split("(Dice) ")[1][:4])
    assert seen[2] == 0.0
    assert seen[40] == seen[60] == seen[99] == 0.6, "until the whole network can be bought"
    assert seen[100] == 0.9
    assert sorted(seen.values()) == list(seen.values())


def test_all_slices_get_one_network_and_the_rows_say_which(host: Any, slimmable: Any, load_scan: LoadScan) -> None:
    load_scan()
    slimmable.ui.perVolumeCheckBox.click()
    slimmable.ui.budgetSlider.value = 50
    apply(host, slimmable)
    assert slimmable.message.level != "error", slimmable.ui.messageLabel.text
    table = slimmable.resultView.result.table
    options = np.array(slicer.util.arrayFromTableColumn(table, "option"))
    assert set(options.tolist()) == {0, 2}
    assert slimmable.session.run.smallest_budget_macs == 0, "no network looks at the slices to decide"
    row = int(np.flatnonzero(options)[0])
    assert slimmable.ui.slicesTable.item(row, 4).text() == "50 % of the width, whole slice"


def test_a_pinned_slice_is_spared_from_the_one_network(host: Any, slimmable: Any, load_scan: LoadScan) -> None:
    load_scan()
    slimmable.ui.perVolumeCheckBox.click()
    slimmable.ui.budgetSlider.value = 50
    slimmable.pins._set({5: 1})
    apply(host, slimmable)
    options = slicer.util.arrayFromTableColumn(slimmable.resultView.result.table, "option")
    assert options[5] == 1
    assert set(options.tolist()) == {0, 1, 2}
