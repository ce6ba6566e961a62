"""Pixel counts, the choices they lead to, and the policies compared on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DynamicSegLib.cost import Cost
from DynamicSegLib.evaluation.choices import Softmax, best_options, regret
from DynamicSegLib.evaluation.decisions import calibration, judge_decisions
from DynamicSegLib.evaluation.metrics import Score, score_volume
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.evaluation.policies import (
    DYNAMIC,
    ORACLE,
    SKIP_ONLY,
    Prices,
    activation_ratio,
    compose,
    is_routed,
    measure_curve,
    policies,
)
from DynamicSegLib.evaluation.published import TABLES
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.evaluation.tables import Row, comma_separated, markdown, policy_rows
from DynamicSegLib.routing import Prediction

STRUCTURES = Structures({"whole": (1, 2), "core": (2,)})
NAMES = ("S", "L")
PRICES = Prices((Cost(), Cost(10, 10 * 10**9), Cost(30, 30 * 10**9)), Cost(1, 10**9))


def example() -> tuple[np.ndarray, np.ndarray]:
    """Three slices: empty, small, large. S finds the whole only, and invents on the empty slice; L is right."""
    reference = np.zeros((3, 8, 8), np.uint8)
    reference[1, 2:4, 2:4] = 1
    reference[2, 1:7, 1:7] = 1
    reference[2, 3:5, 3:5] = 2
    simple = np.where(reference > 0, 1, 0).astype(np.uint8)
    simple[0, 0, :4] = 1
    return reference, np.stack([simple, reference])


def prediction() -> Prediction:
    quality = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.9], [0.05, 0.5, 0.95]], np.float32)
    return Prediction(quality, np.array([0.0, 4.0, 36.0], np.float32), np.array([0, 1, 2]))


def overlaps() -> Overlaps:
    return Overlaps.count(*example(), STRUCTURES)


def test_slice_dice_is_the_mean_over_the_structures_present() -> None:
    dice = overlaps().slice_dice()
    np.testing.assert_allclose(dice, [[0.0, 1.0], [1.0, 1.0], [0.5, 1.0]])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 2), min_size=3, max_size=3))
def test_volume_dice_of_a_plan_equals_that_of_its_composed_volume(plan: list[int]) -> None:
    reference, results = example()
    options = np.array(plan)
    found = overlaps().volume_dice(options)
    scores = score_volume(compose(options, results), reference, STRUCTURES, (1.0, 1.0, 1.0))
    for name in STRUCTURES.names:
        assert found[name] == pytest.approx(scores[name].dice, abs=1e-6)


def test_overlaps_come_back_from_their_file(tmp_path: Path) -> None:
    overlaps().save(tmp_path / "case.npz")
    loaded = Overlaps.load(tmp_path / "case.npz")
    assert loaded.structures == STRUCTURES.names
    np.testing.assert_array_equal(loaded.slice_dice(), overlaps().slice_dice())
    np.testing.assert_array_equal(loaded.only([1]).slice_dice(), overlaps().slice_dice()[:, 1:])


def test_eq_4_skips_empty_slices_and_takes_the_cheaper_of_equals() -> None:
    options = best_options(overlaps().slice_dice(), overlaps().foreground, [1 * 10**9, 3 * 10**9])
    assert options.tolist() == [0, 1, 2]


def test_eq_4_by_hand() -> None:
    # 1/F is 1 and 0.5; its softmax 0.6225 and 0.3775; alpha 0.1: 0.9 x 0.80 + 0.06225 against 0.9 x 0.82 + 0.03775.
    dice, foreground = np.array([[0.80, 0.82]]), np.array([5])
    flops = [1 * 10**9, 2 * 10**9]
    assert best_options(dice, foreground, flops, 0.1).tolist() == [1]
    assert best_options(dice, foreground, flops, 0.01).tolist() == [2]
    # Softmax on the scores flattens them (0.495, 0.505), so that cost wins sooner.
    assert best_options(dice, foreground, flops, 0.03).tolist() == [2]
    assert best_options(dice, foreground, flops, 0.05, Softmax.BOTH).tolist() == [1]
    assert best_options(dice, foreground, flops, 0.03, Softmax.NONE).tolist() == [2]
    assert best_options(dice, foreground, flops, 0.05, Softmax.NONE).tolist() == [1]


def test_regret_counts_slices_with_foreground_only() -> None:
    dice = overlaps().slice_dice()
    foreground = overlaps().foreground
    assert regret(dice, foreground, np.array([2, 1, 1])) == pytest.approx(0.25)
    assert regret(dice, foreground, np.array([0, 0, 2])) == pytest.approx(0.5)


def test_policies_and_their_costs() -> None:
    plans = policies(prediction(), overlaps(), PRICES, NAMES, 0.001)
    assert plans["S"].tolist() == [1, 1, 1]
    assert plans[DYNAMIC].tolist() == [0, 1, 2]
    assert plans["skip, else L"].tolist() == [0, 2, 2]
    assert plans[ORACLE].tolist() == [0, 1, 2]
    assert plans[SKIP_ONLY].tolist() == [0, 0, 0]
    assert PRICES.of(plans[DYNAMIC], routed=True).macs == 10 + 30 + 3
    assert PRICES.of(plans["L"], is_routed("L", NAMES)).macs == 90
    assert is_routed(DYNAMIC, NAMES) and not is_routed(ORACLE, NAMES)
    assert activation_ratio([plans[DYNAMIC]], NAMES) == pytest.approx({"skip": 1 / 3, "S": 1 / 3, "L": 1 / 3})


def test_the_curve_spends_no_more_than_each_budget_and_reaches_the_best_plan() -> None:
    points = measure_curve([prediction()], [overlaps()], PRICES, (0.01, 0.2, 0.5, 1.0))
    # 1 % of 90 does not pay the router.
    assert [point.share for point in points] == [0.2, 0.5, 1.0]
    assert all(point.macs <= point.share * 90 for point in points)
    assert points[-1].measured == pytest.approx({"whole": 1.0, "core": 1.0})
    assert points[0].measured["core"] == 0.0


def test_what_a_plan_leaves_of_a_budget_pays_for_second_looks() -> None:
    skips = replace(prediction(), area=np.array([0.0, 10, 0], np.float32))
    found = np.full((3, 2), 50.0)
    (plain,) = measure_curve([skips], [overlaps()], PRICES, (1.0,))
    (looked,) = measure_curve([skips], [overlaps()], PRICES, (1.0,), 50.0, [found])
    (nothing,) = measure_curve([skips], [overlaps()], PRICES, (1.0,), 51.0, [found])
    assert plain == nothing and looked.macs > plain.macs
    assert looked.macs <= 90 and looked.measured["whole"] > plain.measured["whole"]


def test_missed_tumour_is_counted_in_millilitres() -> None:
    quality = judge_decisions([np.array([0, 0, 2])], [overlaps()], [0.001])
    assert quality.missed_slices == 1
    assert quality.missed_ml == pytest.approx(0.004)
    assert quality.missed_share == pytest.approx(0.1)
    assert quality.skip_right == pytest.approx(0.5)
    assert quality.skip_found == 1.0


def test_calibration_bins_hold_promised_and_reached() -> None:
    bins = calibration([prediction()], [overlaps()], candidate=0, bins=2)
    assert [(b.slices, round(b.promised, 2), b.reached) for b in bins] == [(1, 0.5, 0.5), (1, 0.9, 1.0)]


def test_tables_show_our_rows_and_the_papers() -> None:
    reference, results = example()
    plans = policies(prediction(), overlaps(), PRICES, NAMES, 0.001)
    structures = Structures({"WT": (1, 2), "ET": (2,)})
    scores = {p: score_volume(compose(o, results), reference, structures, (1, 1, 1)) for p, o in plans.items()}
    rows = policy_rows({"case": plans}, {"case": scores}, PRICES, NAMES)
    text = markdown(rows, "3 whole")
    assert "| dynamic | 1.000 ± 0.000 | 1.000 ± 0.000 |" in text
    assert "| *paper:* Med-DANet | 0.907 | 0.777 |" in text
    line = next(line for line in comma_separated(rows).splitlines() if line.startswith("dynamic,"))
    assert line.split(",")[-8:] == ["43", "43", "14", "14", *["43000000000"] * 2, *["14333333333"] * 2]


def two_cases(inferences: int) -> list[Row]:
    """Two cases of three slices, the larger network on each slice."""
    plans = {case: {"L": np.full(3, 2)} for case in ("a", "b")}
    scores = {case: {"L": {"WT": Score(0.5, 2.0)}} for case in plans}
    prices = Prices((Cost(), Cost(), Cost(16 * 10**9, 32 * 10**9)), Cost(10**9, 10**9))
    return policy_rows(plans, scores, prices, ("S", "L"), inferences)


def test_costs_are_of_all_cases_a_case_a_slice_and_an_inference_in_both_units() -> None:
    lines = markdown(two_cases(16), "3 window").splitlines()
    amounts = ("all cases", "a case", "a slice", "an inference")
    heads = [f"G {unit} {amount}" for unit in ("macs", "paper FLOPs") for amount in amounts]
    assert cells(lines[0]) == ["method", "WT Dice", "WT HD95 mm", *heads]
    assert cells(lines[2])[3:] == ["96.00", "48.00", "16.00", "1.00", "192.00", "96.00", "32.00", "2.00"]
    paper = next(line for line in lines if line.startswith("| *paper:* M1 |"))
    assert cells(paper)[3:] == [*[""] * 4, "99026.40", "1500.40", "9.68", "0.61"]


@pytest.mark.parametrize(
    ("table", "inferences", "ours", "papers"),
    [
        ("1", 1, "one inference", "a case as printed, 128 inferences on 128 x 128"),
        ("3 whole", 1, "one inference", "one inference on 240 x 240 a slice"),
        ("3 window", 16, "16 windows", "16 windows of 128 x 128"),
        *((table, 1, "one inference", "16 windows of 128 x 128") for table in "456"),
        ("8", 1, "one inference", "individual training divides a case by 128 slices"),
    ],
)
def test_below_a_table_stands_what_the_costs_of_ours_and_of_the_papers_are_of(
    table: str, inferences: int, ours: str, papers: str
) -> None:
    *_, of_ours, of_papers = markdown(two_cases(inferences), table).splitlines()
    assert of_ours.startswith("Ours: 2 cases of 3 slices;") and ours in of_ours
    assert of_papers.startswith("The paper's: ") and papers in of_papers


@pytest.mark.parametrize("table", ["3 window", "3 whole", "4", "5", "6"])
def test_the_papers_costs_agree_with_their_units(table: str) -> None:
    inferences = 1 if table == "3 whole" else 16
    for row in TABLES[table]:
        assert row.all_cases is not None and row.per_case is not None
        assert row.per_slice is not None and row.per_inference is not None
        assert row.all_cases == pytest.approx(66 * row.per_case, rel=1e-4), row.method
        assert row.per_case == pytest.approx(155 * row.per_slice, abs=155 * 0.006), row.method
        assert row.per_slice == pytest.approx(inferences * row.per_inference, abs=inferences * 0.006), row.method


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
