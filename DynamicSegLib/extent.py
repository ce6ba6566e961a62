"""The extent: the part of every slice that a bank's candidates see, so that none computes on the emptiness around."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN_PIXELS = 16
"""Empty pixels that candidates still see around what is not zero: with fewer, labels at the brain's rim get worse."""
_STEP_PIXELS = 32
_SMALLEST_PIXELS = 128
# Networks halve a slice three times: labels stay those of the whole slice only where their grids coincide.
_GRID_PIXELS = 8


@dataclass(frozen=True)
class Extent:
    """A box in the plane, the same on all slices of a study.

    Parameters
    ----------
    first: its first pixel, (row, column) of the slice.
    size: its rows and columns.
    slice_size: rows and columns of the slice it lies in.
    """

    first: tuple[int, int]
    size: tuple[int, int]
    slice_size: tuple[int, int]

    @classmethod
    def whole(cls, slice_size: tuple[int, int]) -> "Extent":
        """All of a slice."""
        return cls((0, 0), slice_size, slice_size)

    @classmethod
    def around(cls, volumes: NDArray[np.float32]) -> "Extent":
        """The extent of everything that is not zero, with a margin; all of the slice where that fills it.

        Sizes are multiples of 32 from 128 pixels up, so that few shapes have to be compiled: 192 or 224 rows and 160 or
        192 columns for the brains of BraTS, 73 % of the slice on average.

        Parameters
        ----------
        volumes: float32 `[modality, slice, row, column]`, zero where there is nothing.
        """
        planes = volumes.reshape(-1, *volumes.shape[2:]).view(np.uint32)
        # Bits are combined faster than numbers are compared; the sign does not tell zero from the rest.
        seen = np.bitwise_or.reduce(planes, axis=0) & np.uint32(0x7FFFFFFF)
        rows, columns = (_along(np.flatnonzero(seen.any(axis=1 - axis)), seen.shape[axis]) for axis in range(2))
        return cls((rows[0], columns[0]), (rows[1], columns[1]), (seen.shape[0], seen.shape[1]))

    def cut(self, slices: NDArray[Any]) -> NDArray[Any]:
        """A view of the extent in `[..., row, column]`."""
        (row, column), (rows, columns) = self.first, self.size
        return slices[..., row : row + rows, column : column + columns]

    def paste(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels of the extent, uint8 `[row, column]`, as those of the whole slice: zeros around them."""
        if self.size == self.slice_size:
            return plane
        whole = np.zeros(self.slice_size, plane.dtype)
        self.cut(whole)[...] = plane
        return whole


def _along(seen: NDArray[np.int64], length: int) -> tuple[int, int]:
    """First pixel and length of the extent along one axis, given the pixels that are not empty."""
    if not seen.size:
        return 0, length
    low, high = int(seen[0]), int(seen[-1]) + 1
    needed = max(_SMALLEST_PIXELS, high - low + 2 * MARGIN_PIXELS)
    size = min(length, -(-needed // _STEP_PIXELS) * _STEP_PIXELS)
    first = min(max((low + high - size) // 2, 0), length - size) // _GRID_PIXELS * _GRID_PIXELS
    # At the far end of a slice whose size is no multiple of the grid there is no place for it.
    return (first, size) if first + size >= min(length, high + _GRID_PIXELS) else (0, length)
