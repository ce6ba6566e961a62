"""Dice and Hausdorff distance of volumes."""

import numpy as np
import pytest

from DynamicSegLib.errors import InputError
from DynamicSegLib.evaluation.metrics import WORST_HD95_MM, Score, mean_scores, score_volume
from DynamicSegLib.evaluation.structures import Structures

REGIONS = Structures({"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)})
MM = (1.0, 1.0, 1.0)


def volume() -> np.ndarray:
    return np.zeros((4, 12, 12), np.uint8)


def test_regions_are_unions_of_labels() -> None:
    labels = np.array([[[0, 1, 2, 4]]], np.uint8)
    assert REGIONS.masks(labels).sum(axis=(1, 2, 3)).tolist() == [3, 2, 1]


def test_half_an_overlap_is_a_dice_of_one_half() -> None:
    reference, prediction = volume(), volume()
    reference[1, 4:8, 4:8] = 4
    prediction[1, 4:8, 6:10] = 4
    scores = score_volume(prediction, reference, REGIONS, MM)
    assert scores["ET"].dice == pytest.approx(0.5)
    assert scores["WT"].dice == pytest.approx(0.5)


def test_the_distance_is_in_millimetres() -> None:
    reference, prediction = volume(), volume()
    reference[:, 2:8, 4] = 4
    prediction[:, 2:8, 6] = 4
    assert score_volume(prediction, reference, REGIONS, (1.0, 1.0, 1.0))["ET"].hd95_mm == pytest.approx(2.0)
    assert score_volume(prediction, reference, REGIONS, (1.0, 1.0, 3.0))["ET"].hd95_mm == pytest.approx(6.0)


def test_a_structure_at_the_border_of_the_volume_is_measured_like_one_inside() -> None:
    reference, prediction = volume(), volume()
    reference[0:2, 0:4, 0:4] = 4
    prediction[0:2, 0:4, 0:5] = 4
    inside_reference, inside_prediction = volume(), volume()
    inside_reference[1:3, 4:8, 4:8] = 4
    inside_prediction[1:3, 4:8, 4:9] = 4
    at_border = score_volume(prediction, reference, REGIONS, MM)["ET"]
    inside = score_volume(inside_prediction, inside_reference, REGIONS, MM)["ET"]
    assert at_border == inside


def test_both_empty_is_perfect_and_one_empty_is_the_worst() -> None:
    reference, prediction = volume(), volume()
    reference[1, 4:8, 4:8] = 2
    scores = score_volume(prediction, reference, REGIONS, MM)
    assert scores["ET"] == Score(1.0, 0.0)
    assert scores["WT"] == Score(0.0, WORST_HD95_MM)
    assert score_volume(reference, prediction, REGIONS, MM)["WT"] == Score(0.0, WORST_HD95_MM)


def test_volumes_of_different_shape_are_refused() -> None:
    with pytest.raises(InputError, match="same scan"):
        score_volume(volume()[:2], volume(), REGIONS, MM)


def test_means_and_deviations_are_over_cases() -> None:
    table = mean_scores({"a": {"WT": Score(0.8, 2.0)}, "b": {"WT": Score(0.6, 4.0)}})
    assert table["WT"]["dice"] == pytest.approx(0.7)
    assert table["WT"]["dice_deviation"] == pytest.approx(0.1)
    assert table["WT"]["hd95_mm"] == pytest.approx(3.0)
