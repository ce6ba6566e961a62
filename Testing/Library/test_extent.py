"""The extent: around everything that is there, on the networks' grid, and back to the whole slice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DynamicSegLib.extent import MARGIN_PIXELS, Extent


def volumes_with(rows: slice, columns: slice, size: tuple[int, int] = (240, 240)) -> np.ndarray:
    """Two modalities, three slices; one corner of the box in each modality, on different slices."""
    volumes = np.zeros((2, 3, *size), np.float32)
    volumes[0, 0, rows.start, columns.start] = -1.5
    volumes[1, 2, rows.stop - 1, columns.stop - 1] = 0.25
    return volumes


def test_a_head_is_enclosed_with_its_margin_at_a_multiple_of_32() -> None:
    extent = Extent.around(volumes_with(slice(35, 213), slice(49, 190)))
    # 178 + 32 = 210 rows and 141 + 32 = 173 columns; the middle is pixel 124 and 119.5.
    assert extent == Extent((8, 16), (224, 192), (240, 240))


def test_a_small_head_still_gets_128_pixels() -> None:
    assert Extent.around(volumes_with(slice(100, 110), slice(20, 30))) == Extent((40, 0), (128, 128), (240, 240))


@pytest.mark.parametrize("size", [(240, 240), (40, 32), (100, 512)])
def test_a_head_that_fills_the_slice_changes_nothing(size: tuple[int, int]) -> None:
    assert Extent.around(volumes_with(slice(0, size[0]), slice(0, size[1]), size)) == Extent.whole(size)


def test_a_study_of_nothing_but_zeros_keeps_the_whole_slice() -> None:
    volumes = np.zeros((1, 2, 240, 200), np.float32)
    volumes[0, 1, 5, 5] = -0.0
    assert Extent.around(volumes) == Extent.whole((240, 200))


@given(st.data())
def test_everything_lies_inside_and_the_grid_is_the_networks(data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(16, 300), st.integers(16, 300)))
    spans = []
    for length in size:
        first = data.draw(st.integers(0, length - 1))
        spans.append(slice(first, data.draw(st.integers(first + 1, length))))
    extent = Extent.around(volumes_with(*spans, size))
    for span, first, length, whole in zip(spans, extent.first, extent.size, size, strict=True):
        assert first >= 0 and first + length <= whole and first % 8 == 0
        assert length % 32 == 0 or length == whole
        assert length >= min(128, whole)
        # Rounding to the grid may take up to 7 pixels of the margin on one side, never the head.
        assert first <= max(0, span.start - MARGIN_PIXELS + 8)
        assert first + length >= min(whole, span.stop + MARGIN_PIXELS - 8)


def test_what_is_cut_out_is_pasted_back_in_place() -> None:
    plane = np.arange(240 * 200, dtype=np.uint32).reshape(240, 200).astype(np.uint8)
    extent = Extent((16, 8), (128, 160), (240, 200))
    np.testing.assert_array_equal(extent.cut(plane), plane[16:144, 8:168])
    pasted = extent.paste(extent.cut(plane))
    np.testing.assert_array_equal(pasted[16:144, 8:168], plane[16:144, 8:168])
    pasted[16:144, 8:168] = 0
    assert pasted.shape == (240, 200) and not pasted.any()
