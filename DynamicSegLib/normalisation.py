"""Intensities: from what the scanner stored to what a bundle's networks were trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.errors import BundleError, InputError
from DynamicSegLib.threads import on_slabs


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

    def applying(
        self, volumes: NDArray[np.float32], modalities: tuple[str, ...], inside: NDArray[np.bool_] | None = None
    ) -> Iterator[str]:
        """`apply` in steps of one modality; yields the name of the next.

        `inside`: what `filled` gives for the volumes, where that is known already.
        """
        if self.kind is NormalisationKind.WINDOW:
            for name, volume in zip(modalities, volumes, strict=True):
                yield name
                volume -= self.low
                volume /= self.high - self.low
                np.clip(volume, 0.0, 1.0, out=volume)
            return
        inside = filled(volumes) if inside is None else inside
        box = _box_of(inside)
        inside = inside[box]
        for name, volume in zip(modalities, volumes, strict=True):
            yield name
            part = volume[box]
            mean, deviation = _moments(part, inside)
            if deviation <= 0.0:
                raise InputError(
                    f"{name} has one single value inside the brain: it cannot be normalised. "
                    "Check that the right file was chosen."
                )
            _scale(part, inside, mean, deviation)


def filled(volumes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where any modality is not zero, bool `[slice, row, column]`; `volumes`: `[modality, slice, row, column]`."""
    inside = np.empty(volumes.shape[1:], np.bool_)
    bits = volumes.view(np.uint32)

    def look(slab: slice) -> None:
        # Bits are combined faster than numbers are compared; the sign does not tell zero from the rest.
        seen = np.bitwise_or.reduce(bits[:, slab], axis=0)
        np.not_equal(seen & np.uint32(0x7FFFFFFF), 0, out=inside[slab])

    on_slabs(look, volumes.shape[1])
    return inside


def _box_of(inside: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The smallest box that holds all that is true; everything where nothing is."""
    plane: NDArray[np.bool_] = np.any(inside, axis=0)
    lines: NDArray[np.bool_] = np.any(inside.reshape(len(inside), -1), axis=1)
    found = [np.flatnonzero(seen) for seen in (lines, plane.any(axis=1), plane.any(axis=0))]
    box = [slice(int(each[0]), int(each[-1]) + 1) if each.size else slice(None) for each in found]
    return box[0], box[1], box[2]


def _moments(volume: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean and standard deviation of the voxels inside, gathered slab by slab: no second volume is made of them.

    Source: T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances,
    1979.
    """

    def moments(slab: slice) -> tuple[int, float, float]:
        values = volume[slab][inside[slab]].astype(np.float64)
        own = float(values.mean()) if values.size else 0.0
        values -= own
        return values.size, own, float(values @ values)

    count, mean, squares = 0, 0.0, 0.0
    for size, own, own_squares in on_slabs(moments, len(volume)):
        if not size:
            continue
        total = count + size
        squares += own_squares + (own - mean) ** 2 * count * size / total
        mean += (own - mean) * size / total
        count = total
    return mean, (squares / count) ** 0.5 if count else 0.0


def _scale(volume: NDArray[np.float32], inside: NDArray[np.bool_], mean: float, deviation: float) -> None:
    """Zero mean and unit deviation inside, zero elsewhere, in place."""

    def scale(slab: slice) -> None:
        part = volume[slab]
        part -= np.float32(mean)
        part /= np.float32(deviation)
        part *= inside[slab]

    on_slabs(scale, len(volume))
