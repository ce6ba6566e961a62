"""What a method adds to a decision, in words."""

import pytest

from DynamicSegLib.reporting.words import bits_of, columns_added, description_of, details_in_words

CROP = {"crop_row": 72, "crop_column": 40, "crop_rows": 96, "crop_columns": 96}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({}, ""),
        (CROP, "crop 96 around row 120, column 88"),
        ({**CROP, "crop_columns": 64}, "crop 96 x 64 around row 120, column 72"),
        ({"bits_1": 8, "bits_2": 8, "bits_3": 16, "bits_4": 8}, "8/8/16/8 bits"),
        ({"bits_2": 12, "bits_1": 9.5}, "9.5/12 bits"),
        ({**CROP, "bits_1": 8}, "crop 96 around row 120, column 88; 8 bits"),
        ({"width": 0.5, "resolution": 144}, "50 % of the width, slice at 144 pixels"),
        ({"width": 1.0, "resolution": "whole"}, "100 % of the width, whole slice"),
    ],
)
def test_extras_read_as_a_clinician_would_say_them(extra: dict[str, object], words: str) -> None:
    assert details_in_words(extra) == words


def test_bits_are_in_the_order_of_the_stages() -> None:
    assert bits_of({"bits_2": 16, "crop_row": 3, "bits_1": 8}) == (8.0, 16.0)


def test_columns_come_in_one_order_whichever_slice_brings_them_first() -> None:
    whole, cropped = {"bits_1": 8, "bits_2": 8}, {**CROP, "bits_1": 8, "bits_2": 16, "further": 1}
    expected = [*CROP, "bits_1", "bits_2", "further", "details"]
    assert columns_added([{}, whole, cropped]) == columns_added([cropped, whole]) == expected
    assert columns_added([{}, {}]) == []


def test_every_column_that_a_method_adds_is_described() -> None:
    for column in (*CROP, "bits_1", "bits_4", "width", "resolution", "details"):
        assert description_of(column)
    assert description_of("unheard of") == ""
