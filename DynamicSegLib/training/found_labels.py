"""What every candidate found on a held-out case: kept, so that other rules of cleaning run no network again."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.cleaning import Cleaning, clean
from DynamicSegLib.evaluation.metrics import Score, score_volume
from DynamicSegLib.evaluation.policies import compose
from DynamicSegLib.evaluation.structures import Structures

_MARGIN_PIXELS = 1


@dataclass(frozen=True)
class FoundLabels:
    """One case, in class indices.

    Parameters
    ----------
    found: uint8 `[candidate, slice, row, column]`.
    reference: uint8 `[slice, row, column]`.
    spacing_mm: distance of slices, rows and columns.
    """

    found: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]

    def volume(self, options: NDArray[np.int64], cleaning: Cleaning | None) -> NDArray[np.uint8]:
        """The labels of a plan as a user gets them, uint8 `[slice, row, column]`; option 0 skips."""
        return clean(compose(options, self.found), self.spacing_mm, cleaning)

    def found_mm2(self) -> NDArray[np.float64]:
        """Area of all labels that each candidate found, float64 `[slice, candidate]`."""
        _, row_mm, column_mm = self.spacing_mm
        return np.count_nonzero(self.found, axis=(2, 3)).T * (row_mm * column_mm)

    def scores(self, options: NDArray[np.int64], cleaning: Cleaning | None, structures: Structures) -> dict[str, Score]:
        """How well a plan's labels agree with the reference. `structures`: in class indices."""
        return score_volume(self.volume(options, cleaning), self.reference, structures, self.spacing_mm)

    def save(self, path: Path) -> None:
        """Write to an .npz file, whole or not at all; the plane is cropped to what anything was found in."""
        path.parent.mkdir(parents=True, exist_ok=True)
        box = _plane_box(np.logical_or(self.found.any(axis=(0, 1)), self.reference.any(axis=0)))
        beside = path.with_suffix(".part.npz")
        np.savez_compressed(
            beside, found=self.found[(..., *box)], reference=self.reference[(..., *box)], spacing_mm=self.spacing_mm
        )
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> "FoundLabels":
        """Read what `save` wrote."""
        with np.load(path) as file:
            slices, rows, columns = (float(each) for each in file["spacing_mm"])
            return cls(file["found"], file["reference"], (slices, rows, columns))


@dataclass(frozen=True)
class CleanedLabels:
    """Dice of cleaned labels for any plan, as `Overlaps` gives it for labels as they were found."""

    labels: FoundLabels
    cleaning: Cleaning
    structures: Structures

    def volume_dice(self, options: NDArray[np.int64]) -> dict[str, float]:
        """By structure; both empty is 1, one empty is 0."""
        found = self.structures.masks(self.labels.volume(options, self.cleaning))
        truth = self.structures.masks(self.labels.reference)
        return {name: _dice(*masks) for name, *masks in zip(self.structures.names, found, truth, strict=True)}


def results_folder(folder: Path, cleaning: Cleaning | None) -> Path:
    """Where results of labels cleaned in this way are kept, apart from those of other ways."""
    return folder if cleaning is None else folder / cleaning.key


def _dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = np.count_nonzero(found) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(found & truth) / total if total else 1.0


def _plane_box(inside: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    return _with_margin(rows), _with_margin(columns)


def _with_margin(side: NDArray[np.int64]) -> slice:
    return slice(max(int(side[0]) - _MARGIN_PIXELS, 0), int(side[-1]) + 1 + _MARGIN_PIXELS)
