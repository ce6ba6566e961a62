"""Intensities: from what the scanner stored to what a bundle's networks were trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.errors import BundleError, InputError


class NormalisationKind(str, Enum):
    """How intensities are normalised."""

    ZSCORE_NONZERO = "zscore-nonzero"
    WINDOW = "window"


@dataclass(frozen=True)
class Normalisation:
    """Intensity normalisation of a study.

    Parameters
    ----------
    kind: `zscore-nonzero` gives each modality zero mean and unit deviation inside the union of the modalities'
        non-zero voxels and zero outside it; `window` maps `low`..`high` (e.g. Hounsfield units) to 0..1, clipped.
    low, high: the window; unused by `zscore-nonzero`.

    Source: Med-DANet's implementation (one mask a study, z-score per modality inside it).
    """

    kind: NormalisationKind = NormalisationKind.ZSCORE_NONZERO
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.kind is NormalisationKind.WINDOW and not self.high > self.low:
            raise BundleError(f"Normalisation window {self.low}..{self.high}: the upper end must be above the lower.")

    def apply(self, volumes: NDArray[np.float32], modalities: tuple[str, ...]) -> None:
        """Normalise in place.

        Parameters
        ----------
        volumes: float32 `[modality, slice, row, column]`, 0 outside the brain for `zscore-nonzero`.
        modalities: their names, for the error message.

        Raises
        ------
        InputError: a modality has one single value inside the mask, so that no deviation exists.
        """
        for _ in self.applying(volumes, modalities):
            pass

    def applying(self, volumes: NDArray[np.float32], modalities: tuple[str, ...]) -> Iterator[str]:
        """`apply` in steps of one modality; yields the name of the next."""
        if self.kind is NormalisationKind.WINDOW:
            for name, volume in zip(modalities, volumes, strict=True):
                yield name
                volume -= self.low
                volume /= self.high - self.low
                np.clip(volume, 0.0, 1.0, out=volume)
            return
        inside = np.stack([np.any(slices != 0, axis=0) for slices in volumes.swapaxes(0, 1)])
        for name, volume in zip(modalities, volumes, strict=True):
            yield name
            mean, deviation = _moments(volume, inside)
            if deviation <= 0.0:
                raise InputError(
                    f"{name} has one single value inside the brain: it cannot be normalised. "
                    "Check that the right file was chosen."
                )
            for plane, seen in zip(volume, inside, strict=True):
                plane[seen] = (plane[seen] - np.float32(mean)) / np.float32(deviation)


def _moments(volume: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean and standard deviation of the voxels inside, gathered slice by slice: no second volume is made of them.

    Source: T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances,
    1979.
    """
    count, mean, squares = 0, 0.0, 0.0
    for plane, seen in zip(volume, inside, strict=True):
        values = plane[seen].astype(np.float64)
        if not values.size:
            continue
        own = float(values.mean())
        total = count + values.size
        squares += float(np.square(values - own).sum()) + (own - mean) ** 2 * count * values.size / total
        mean += (own - mean) * values.size / total
        count = total
    return mean, (squares / count) ** 0.5 if count else 0.0
