"""The query table as it is measured, and the comparison drawn from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.bank import Bank
from DynamicSegLib.bundle import CurvePoint
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.methods.mutualnet import candidate
from DynamicSegLib.query_table import QueryRow, pareto_front
from DynamicSegLib.training.cache import write_case
from DynamicSegLib.training.measuring import volume_dice
from DynamicSegLib.training.mutual_comparison import comparison_markdown, write_comparison
from DynamicSegLib.training.mutual_table import milliseconds_a_slice, query_rows, structures_in, table_markdown


def _row(width: float, resolution: int | None, macs: int, dice: float, milliseconds: float | None = None) -> QueryRow:
    name = f"{width:.2f}x-{resolution or 'whole'}"
    return QueryRow(name, width, resolution, macs, macs, {"WT": dice}, {}, milliseconds)


MUTUAL = (_row(0.5, 120, 10**9, 0.6), _row(0.5, None, 4 * 10**9, 0.8), _row(1.0, None, 16 * 10**9, 0.9))


def test_rows_are_means_over_cases_with_the_costs_of_the_working_size() -> None:
    bank = Bank((candidate(0.5, 24, 2, 3, base=4), candidate(0.5, None, 2, 3, base=4)), 2)
    scores = [
        {"0.50x-24": {"WT": [0.2, 4.0], "ET": [1.0, 0.0]}, "0.50x-whole": {"WT": [0.5, 2.0], "ET": [0.0, 373.13]}},
        {"0.50x-24": {"WT": [0.6, 8.0], "ET": [0.5, 1.0]}, "0.50x-whole": {"WT": [0.7, 1.0], "ET": [1.0, 0.0]}},
    ]

    small, whole = query_rows(bank, scores, (80, 80), {"0.50x-24": 1.5, "0.50x-whole": 2.5})

    assert small.dice == pytest.approx({"WT": 0.4, "ET": 0.75})
    assert small.hd95_mm == pytest.approx({"WT": 6.0, "ET": 0.5})
    assert (small.resolution, small.milliseconds, whole.milliseconds) == (24, 1.5, 2.5)
    # 80 x 80 pixels become 8 x 8: a hundredth of the work.
    assert whole.macs == 100 * small.macs


def test_configurations_are_ranked_where_a_structure_is_present() -> None:
    """The second case has no ET: the narrow one finds none there, which says little of how well it finds ET."""
    bank = Bank((candidate(0.5, 24, 2, 3, base=4), candidate(0.5, None, 2, 3, base=4)), 2)
    scores = [
        {"0.50x-24": {"WT": [0.2], "ET": [0.4]}, "0.50x-whole": {"WT": [0.4], "ET": [0.6]}},
        {"0.50x-24": {"WT": [0.6], "ET": [1.0]}, "0.50x-whole": {"WT": [0.8], "ET": [0.0]}},
    ]

    small, whole = query_rows(bank, scores, (80, 80), present=[{"WT", "ET"}, {"WT"}])

    assert (small.mean_dice, whole.mean_dice) == pytest.approx((0.55, 0.45))
    assert (small.quality, whole.quality) == pytest.approx((0.4, 0.6))
    assert [row.name for row in pareto_front([small, whole])] == ["0.50x-24", "0.50x-whole"]
    assert [row.name for row in pareto_front([small, whole], value=lambda row: row.mean_dice)] == ["0.50x-24"]


def test_a_structure_that_no_case_has_does_not_rank() -> None:
    bank = Bank((candidate(0.5, None, 2, 3, base=4),), 2)
    (row,) = query_rows(bank, [{"0.50x-whole": {"WT": [0.5], "ET": [1.0]}}], (16, 16), present=[{"WT"}])
    assert row.present == {"WT": 0.5}
    assert row.quality == 0.5


def test_what_a_case_has_is_read_from_its_labels(tmp_path: Path) -> None:
    volumes, classes = np.ones((2, 3, 16, 16), np.float32), np.zeros((3, 16, 16), np.uint8)
    classes[1, 4:9, 4:9] = 2
    case = write_case(tmp_path, "case", ("a", "b"), volumes, classes, 3, (1.0, 1.0, 1.0))
    assert structures_in(case, Structures({"both": (1, 2), "first": (1,), "second": (2,)})) == {"both", "second"}


def test_without_distances_and_times_both_are_left_out() -> None:
    bank = Bank((candidate(0.5, None, 2, 3, base=4),), 2)

    (row,) = query_rows(bank, [{"0.50x-whole": {"WT": [0.5]}}], (16, 16))

    assert row.hd95_mm == {}
    assert row.milliseconds is None
    assert "ms |  |" not in table_markdown([row])


def test_the_tables_front_is_marked_and_time_is_compared_with_cost() -> None:
    rows = [
        _row(0.5, None, 10**9, 0.8, 3.0),
        _row(0.75, None, 2 * 10**9, 0.7, 9.0),
        _row(1.0, None, 3 * 10**9, 0.9, 5.0),
    ]

    lines = table_markdown(rows).splitlines()

    assert lines[2] == "| 0.50x-whole | yes | 1.000 | 3.00 | 0.8000 | 0.8000 |"
    assert lines[3] == "| 0.75x-whole |  | 2.000 | 9.00 | 0.7000 | 0.7000 |"
    # ranks 1 2 3 and 1 3 2
    assert lines[-1] == "Rank correlation of milliseconds and macs over 3 configurations: 0.500."


def test_dice_follows_from_pairs_of_classes() -> None:
    structures = Structures({"WT": (1, 2), "core": (2,), "none": (3,)})
    reference = torch.tensor([[[0, 1, 1, 2]]], dtype=torch.uint8)
    result = torch.tensor([[[1, 1, 2, 2]]], dtype=torch.uint8)

    dice = volume_dice(result, reference, structures, 4)

    # WT: 3 of 3 found among 4; core: 1 of 1 found among 2; none: nowhere
    assert dice == pytest.approx({"WT": 6 / 7, "core": 2 / 3, "none": 1.0})


def test_dice_in_one_pass_is_the_dice_of_the_overlaps() -> None:
    generator = np.random.default_rng(0)
    reference, result = generator.integers(0, 4, (2, 5, 8, 8), np.uint8)
    structures = Structures({"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)})

    counted = Overlaps.count(reference, result[None], structures).volume_dice(np.ones(5, np.int64))

    dice = volume_dice(torch.from_numpy(result), torch.from_numpy(reference), structures, 4)
    assert dice == pytest.approx(counted)


def test_a_slice_takes_time() -> None:
    assert milliseconds_a_slice(candidate(0.5, 120, 2, 3, base=4), 2, (40, 24), choose_backend("torch", "cpu")) > 0


def test_the_comparison_says_how_far_mutual_learning_is_ahead_at_each_width() -> None:
    others = {"trained alone": [_row(0.5, None, 4 * 10**9, 0.75)], "narrowed only": [_row(0.5, None, 4 * 10**9, 0.1)]}

    mutual = tuple(replace(row, present={"WT": row.dice["WT"] - 0.1}) for row in MUTUAL)

    by_rule, where_present = comparison_markdown(mutual, others).split("\nMean Dice, without")

    lines = by_rule.splitlines()
    assert lines[4] == "| 0.50 | 4.000 | 0.8000 | 0.7500 | 0.1000 | +0.0500 | +0.7000 |"
    assert lines[5] == "| 1.00 | 16.000 | 0.9000 |  |  |  |  |"
    assert len(lines) == 6
    assert "| 0.50 | 4.000 | 0.7000 | 0.7500 | 0.1000 | -0.0500 | +0.6000 |" in where_present


def test_the_comparison_is_drawn_with_the_curves_of_other_bundles(tmp_path: Path) -> None:
    curve = [
        CurvePoint(0.0, 0.0, 0.0),
        CurvePoint(0.5, 2e11, 0.7, {"WT": 0.6}),
        CurvePoint(1.0, 4e11, 0.9, {"WT": 0.8}),
    ]

    write_comparison(tmp_path, MUTUAL, {"trained alone": MUTUAL[1:]}, {"glioma": curve}, slices=155)

    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    assert "ahead of trained alone" in (tmp_path / "comparison.md").read_text(encoding="utf-8")
