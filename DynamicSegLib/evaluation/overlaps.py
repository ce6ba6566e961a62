"""Pixel counts slice by slice, from which the Dice of any plan follows without running anything again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.evaluation.structures import Structures

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Overlaps:
    """Pixel counts of one case.

    Parameters
    ----------
    structures: names, the last axis of all arrays.
    reference: int64 `[slice, structure]`, pixels of the reference.
    predicted, common: int64 `[slice, candidate, structure]`, pixels of each candidate's result and of its overlap.
    foreground: int64 `[slice]`, pixels of any label in the reference.
    """

    structures: tuple[str, ...]
    reference: Counts
    predicted: Counts
    common: Counts
    foreground: Counts

    @classmethod
    def count(cls, reference: NDArray[np.uint8], results: NDArray[np.uint8], structures: Structures) -> "Overlaps":
        """Count. `reference` uint8 `[slice, row, column]`; `results` uint8 `[candidate, slice, row, column]`."""
        truth = structures.masks(reference)
        found = [structures.masks(result) for result in results]
        return cls(
            structures.names,
            truth.sum(axis=(2, 3)).T,
            np.stack([masks.sum(axis=(2, 3)).T for masks in found], axis=1),
            np.stack([(masks & truth).sum(axis=(2, 3)).T for masks in found], axis=1),
            (reference > 0).sum(axis=(1, 2)),
        )

    @property
    def candidates(self) -> int:
        return self.predicted.shape[1]

    def only(self, candidates: Sequence[int]) -> "Overlaps":
        """The same with some of the candidates (indices in the bank)."""
        kept = list(candidates)
        return replace(self, predicted=self.predicted[:, kept], common=self.common[:, kept])

    def slice_dice(self) -> NDArray[np.float64]:
        """Dice of each candidate on each slice, float64 `[slice, candidate]`.

        The mean over the structures that the reference or the candidate has on the slice; 1 where neither has any.
        """
        total = self.reference[:, None, :] + self.predicted
        present = total > 0
        dice = np.where(present, 2 * self.common / np.maximum(total, 1), 0.0)
        count = present.sum(axis=2)
        return np.asarray(np.where(count > 0, dice.sum(axis=2) / np.maximum(count, 1), 1.0))

    def volume_dice(self, options: NDArray[np.int64]) -> dict[str, float]:
        """Dice of the volume that a plan gives (option 0 skips), by structure; both empty is 1, one empty is 0."""
        rows = np.flatnonzero(options > 0)
        chosen = options[rows] - 1
        predicted = self.predicted[rows, chosen].sum(axis=0)
        common = self.common[rows, chosen].sum(axis=0)
        total = self.reference.sum(axis=0) + predicted
        dice = np.where(total > 0, 2 * common / np.maximum(total, 1), 1.0)
        return {name: float(value) for name, value in zip(self.structures, dice, strict=True)}

    def save(self, path: Path) -> None:
        """Write to an .npz file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npz")
        np.savez_compressed(
            beside,
            structures=np.array(self.structures),
            reference=self.reference,
            predicted=self.predicted,
            common=self.common,
            foreground=self.foreground,
        )
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Overlaps":
        """Read what `save` wrote."""
        with np.load(path) as file:
            return cls(
                tuple(str(name) for name in file["structures"]),
                *(file[key] for key in ("reference", "predicted", "common", "foreground")),
            )
