"""Cleaning: what it takes away, what it must leave, and rules that cannot be meant."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from DynamicSegLib.cleaning import Changes, Cleaning, SmallLabel, changes, clean, parse_cleaning
from DynamicSegLib.errors import BundleError

MILLIMETRE = (1.0, 1.0, 1.0)
VALUES = (1, 2, 4)

volumes = arrays(np.uint8, (4, 7, 6), elements=st.sampled_from([0, 0, 0, 1, 2, 4]))
spacings = st.tuples(*[st.sampled_from([0.5, 1.0, 3.0])] * 3)
rules = st.builds(
    Cleaning,
    st.sampled_from([0.0, 0.002, 0.01, 1.0]),
    st.builds(
        lambda first, second: {4: SmallLabel(first, 1), 2: SmallLabel(second, 1)},
        st.sampled_from([0.0, 0.003, 0.05]),
        st.sampled_from([0.0, 0.004]),
    ),
)


def tumour() -> np.ndarray:
    """A block of 60 voxels (15 of label 4), and beside it islands of 6 and of 2 voxels."""
    labels = np.zeros((6, 10, 12), np.uint8)
    labels[1:5, 2:5, 1:6] = 2
    labels[1:2, 2:5, 1:6] = 4
    labels[3:5, 8, 9:12] = 1
    labels[0, 9, 0:2] = 2
    return labels


def test_islands_below_the_volume_vanish_and_others_stay() -> None:
    cleaned = clean(tumour(), MILLIMETRE, Cleaning(0.003))

    assert not cleaned[0].any()
    expected = tumour()
    expected[0] = 0
    np.testing.assert_array_equal(cleaned, expected)


def test_a_volume_that_equals_the_threshold_stays() -> None:
    labels = tumour()

    np.testing.assert_array_equal(clean(labels, MILLIMETRE, Cleaning(0.002)), labels)
    np.testing.assert_array_equal(clean(labels, (0.1, 0.1, 0.1), Cleaning(2e-6)), labels)


def test_parts_that_touch_at_a_corner_are_one_and_labels_do_not_divide_them() -> None:
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[0, 0, 0], labels[1, 1, 1], labels[2, 2, 2] = 1, 2, 4
    labels[4, 4, :2] = 1

    cleaned = clean(labels, MILLIMETRE, Cleaning(1.0))

    assert [int(cleaned[i, i, i]) for i in range(3)] == [1, 2, 4]
    assert not cleaned[4].any()


def test_what_is_small_is_said_in_millilitres_not_in_voxels() -> None:
    labels = tumour()

    assert clean(labels, (5.0, 1.0, 1.0), Cleaning(0.01))[0].any()
    assert not clean(labels, (1.0, 1.0, 1.0), Cleaning(0.01))[0].any()


def test_a_label_below_its_volume_becomes_the_other_one() -> None:
    labels = tumour()

    relabelled = clean(labels, MILLIMETRE, Cleaning(0, {4: SmallLabel(0.016, 1)}))

    np.testing.assert_array_equal(relabelled, np.where(labels == 4, 1, labels))
    np.testing.assert_array_equal(clean(labels, MILLIMETRE, Cleaning(0, {4: SmallLabel(0.015, 1)})), labels)


def test_islands_do_not_count_for_a_labels_volume() -> None:
    labels = tumour()
    labels[0, 9, 0:2] = 4

    cleaned = clean(labels, MILLIMETRE, Cleaning(0.003, {4: SmallLabel(0.017, 1)}))

    assert 4 not in cleaned
    assert changes(labels, cleaned, MILLIMETRE) == Changes(0.002, {4: 0.015})


def test_nothing_is_done_to_an_empty_volume_or_without_rules() -> None:
    empty = np.zeros((3, 4, 5), np.uint8)

    assert not clean(empty, MILLIMETRE, Cleaning(1.0, {4: SmallLabel(1.0, 1)})).any()
    np.testing.assert_array_equal(clean(tumour(), MILLIMETRE, None), tumour())


def test_the_input_is_left_as_it_was() -> None:
    labels = tumour()
    clean(labels, MILLIMETRE, Cleaning(0.01, {4: SmallLabel(1.0, 1)}))

    np.testing.assert_array_equal(labels, tumour())


@settings(deadline=None)
@given(volumes, spacings, rules)
def test_cleaning_again_changes_nothing(labels: np.ndarray, spacing_mm: tuple, cleaning: Cleaning) -> None:
    once = clean(labels, spacing_mm, cleaning)

    np.testing.assert_array_equal(clean(once, spacing_mm, cleaning), once)


@settings(deadline=None)
@given(volumes, spacings, rules)
def test_foreground_is_never_added_and_never_all_taken(
    labels: np.ndarray, spacing_mm: tuple, cleaning: Cleaning
) -> None:
    cleaned = clean(labels, spacing_mm, cleaning)

    assert not cleaned[labels == 0].any()
    assert cleaned.any() == labels.any()


@settings(deadline=None)
@given(volumes, spacings, rules)
def test_changes_add_up(labels: np.ndarray, spacing_mm: tuple, cleaning: Cleaning) -> None:
    cleaned = clean(labels, spacing_mm, cleaning)
    found = changes(labels, cleaned, spacing_mm)

    voxel_ml = np.prod(spacing_mm) / 1000
    assert found.removed_ml == pytest.approx(voxel_ml * (np.count_nonzero(labels) - np.count_nonzero(cleaned)))
    stayed = np.count_nonzero((labels != cleaned) & (cleaned > 0))
    assert sum(found.relabelled_ml.values()) == pytest.approx(voxel_ml * stayed)


@settings(deadline=None)
@given(volumes, spacings)
def test_the_largest_part_stays(labels: np.ndarray, spacing_mm: tuple) -> None:
    neighbours = np.ones((3, 3, 3))
    sizes = np.bincount(label(labels > 0, neighbours)[0].ravel())[1:]
    cleaned = clean(labels, spacing_mm, Cleaning(1e6))

    assert np.count_nonzero(cleaned) == max(sizes, default=0)
    assert label(cleaned > 0, neighbours)[1] == min(len(sizes), 1)


@settings(deadline=None)
@given(volumes, st.permutations([0, 1, 2]))
def test_the_order_of_axes_does_not_matter(labels: np.ndarray, order: list[int]) -> None:
    spacing_mm, cleaning = (0.5, 1.0, 3.0), Cleaning(0.01)
    turned = clean(labels.transpose(order), tuple(spacing_mm[axis] for axis in order), cleaning)

    # Voxels only, since which of two equally large parts stays depends on the order.
    assert np.count_nonzero(turned) == np.count_nonzero(clean(labels, spacing_mm, cleaning))


def test_rules_return_from_what_the_bundle_holds() -> None:
    cleaning = Cleaning(0.3, {4: SmallLabel(0.1, 1)})

    assert parse_cleaning(cleaning.to_plain(), VALUES, "bundle.json") == cleaning
    assert parse_cleaning({}, VALUES, "bundle.json") == Cleaning()
    assert parse_cleaning(None, VALUES, "bundle.json") is None
    assert parse_cleaning({"smallest_label_ml": {4: {"millilitres": 1, "becomes": 1}}}, VALUES, "x.yaml") == Cleaning(
        0, {4: SmallLabel(1.0, 1)}
    )


def test_rules_are_renumbered_for_class_indices() -> None:
    cleaning = Cleaning(0.3, {4: SmallLabel(0.1, 1)})

    assert cleaning.renumbered({1: 1, 2: 2, 4: 3}) == Cleaning(0.3, {3: SmallLabel(0.1, 1)})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"smallest_islands_ml": 1},
            r"unknown key 'smallest_islands_ml'; expected one of smallest_island_ml, smallest",
        ),
        ({"smallest_island_ml": "much"}, r"'much', where millilitres were expected"),
        ({"smallest_island_ml": -1}, r"f.json: Cleaning below -1.0 mL: expected 0 or more"),
        ({"smallest_island_ml": float("nan")}, r"below nan mL"),
        ({"smallest_label_ml": [4]}, r"\[4\], where key: value pairs were expected"),
        ({"smallest_label_ml": {"3": {"millilitres": 1, "becomes": 1}}}, r"'3', where one of the labels 1, 2, 4"),
        (
            {"smallest_label_ml": {"4": {"millilitres": 1, "becomes": 3}}},
            r"label 4: 3, where one of the labels 1, 2, 4",
        ),
        ({"smallest_label_ml": {"4": {"millilitres": 1}}}, r"'becomes' is missing"),
        ({"smallest_label_ml": {"4": {"millilitres": 1, "becomes": 4}}}, r"label 4 becomes 4, where another label"),
        (
            {"smallest_label_ml": {"4": {"millilitres": 1, "becomes": 1}, "1": {"millilitres": 1, "becomes": 2}}},
            r"label 4 becomes 1, where another label without a rule",
        ),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(wrong: object, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        parse_cleaning(wrong, VALUES, "f.json")
