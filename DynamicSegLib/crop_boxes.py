"""Where a slice was cropped, in the patient's space, so that the box can be drawn over the scan."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.segmentation import Decision
from DynamicSegLib.study import Study

COLUMNS = ("crop_row", "crop_column", "crop_rows", "crop_columns")
"""Keys of a decision's extras, in pixels of the working grid."""


def crop_corners_mm(study: Study, decision: Decision, depth: float = 0.0) -> NDArray[np.float64] | None:
    """Corners of a decision's crop box, float64 `[4, 3]`, LPS millimetres, in order around it; None without a crop.

    The box runs along the outer edges of its pixels.

    Parameters
    ----------
    depth: how far from the slice's middle, in slices: -0.5 and 0.5 are the slice's two faces.
    """
    if not all(name in decision.extra for name in COLUMNS):
        return None
    row, column, rows, columns = (float(decision.extra[name]) for name in COLUMNS)
    # Counting slices from the other end is its own reverse.
    working = study.native_slice_index(decision.slice) + depth
    top, bottom, left, right = row - 0.5, row + rows - 0.5, column - 0.5, column + columns - 0.5
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    frame = study.grid.frame
    return np.array([frame.TransformContinuousIndexToPhysicalPoint((x, y, working)) for x, y in corners])


def moved(extra: Mapping[str, Any], first: tuple[int, int]) -> dict[str, Any]:
    """A decision's extras with the crop box, where there is one, counted from another pixel.

    Parameters
    ----------
    first: (row, column) of the pixel from which the box was counted so far, on the grid that it is to be counted on.
    """
    row, column, *_ = COLUMNS
    return {**extra, **{name: extra[name] + by for name, by in zip((row, column), first, strict=True) if name in extra}}
