"""Colours of the options in charts."""

from itertools import pairwise

import pytest

from DynamicSegLib.reporting.palette import option_color


def lightness(color: str) -> float:
    red, green, blue = bytes.fromhex(color[1:])
    return 0.299 * red + 0.587 * green + 0.114 * blue


@pytest.mark.parametrize("candidates", [1, 2, 3, 5, 9])
def test_candidates_darken_from_the_first_to_the_last(candidates: int) -> None:
    tones = [lightness(option_color(option, candidates)) for option in range(1, candidates + 1)]
    assert all(before - after > 10 for before, after in pairwise(tones))
    assert tones[0] == lightness("#CDB7EA")


def test_skip_is_grey_however_many_candidates_there_are() -> None:
    assert option_color(0, 2) == option_color(0, 5) == "#C3C8CE"


def test_more_candidates_than_were_told_are_as_dark_as_the_last() -> None:
    assert option_color(4, 2) == option_color(2, 2) == "#2E0F5C"
