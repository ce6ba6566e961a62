"""The context: neighbouring slices that a candidate sees beside the slice that it labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.errors import BundleError


@dataclass(frozen=True)
class Context:
    """Which neighbours a candidate sees; none where `neighbours_mm` is empty.

    Its channels are the modalities of the slice itself, then those of each neighbour, so that the first channels are
    what a candidate without context sees.

    Parameters
    ----------
    neighbours_mm: distances along the slice axis, e.g. `(-2.0, 2.0)`. The slice nearest to each is taken: of thick
        slices that may be the slice itself. Beyond the scan everything is empty.

    Deviation: the papers' candidates see the slice alone.
    """

    neighbours_mm: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if 0 in self.neighbours_mm or len(set(self.neighbours_mm)) < len(self.neighbours_mm):
            raise BundleError(f"neighbours_mm {self.neighbours_mm}: expected different distances, none of them 0.")

    @property
    def planes(self) -> int:
        """Slices that are seen, the labelled one included."""
        return 1 + len(self.neighbours_mm)

    def steps(self, spacing_mm: float) -> tuple[int, ...]:
        """Which slices are seen, counted from the labelled one, where slices are `spacing_mm` apart: 0 first."""
        return (0, *(round(distance / spacing_mm) for distance in self.neighbours_mm))

    def gather(
        self, volumes: NDArray[np.float32], indices: Sequence[int] | NDArray[np.int64], spacing_mm: float
    ) -> NDArray[np.float32]:
        """What the candidate sees of slices: float32 `[n, planes * modality, row, column]`.

        volumes: float32 `[modality, slice, row, column]`. indices: along the slice axis.
        """
        modalities, count, rows, columns = volumes.shape
        seen = np.empty((len(indices), self.planes, modalities, rows, columns), np.float32)
        for planes, index in zip(seen, indices, strict=True):
            for plane, step in zip(planes, self.steps(spacing_mm), strict=True):
                plane[...] = volumes[:, index + step] if 0 <= index + step < count else 0
        return seen.reshape(len(indices), -1, rows, columns)


ALONE = Context()
"""The slice without neighbours."""
