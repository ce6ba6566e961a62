"""What the scanner makes of the head: tissue brightness in each modality, partial volume, bias field, noise."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.synthesis.fields import Field, Grid, smooth_noise

MODALITIES = ("flair", "t1ce", "t1", "t2")

_TISSUES = (
    "white", "caps", "grey", "nuclei", "stem", "csf", "dura", "vessel",
    "oedema", "tumour", "enhancing", "necrosis",
)  # fmt: skip

_SIGNALS = {
    "flair": (0.50, 0.66, 0.61, 0.58, 0.54, 0.14, 0.30, 0.36, 0.83, 0.85, 0.85, 0.88),
    "t1ce": (0.66, 0.61, 0.56, 0.60, 0.62, 0.22, 0.62, 1.05, 0.55, 0.50, 0.94, 0.48),
    "t1": (0.72, 0.65, 0.58, 0.64, 0.68, 0.22, 0.45, 0.54, 0.61, 0.53, 0.61, 0.53),
    "t2": (0.33, 0.44, 0.45, 0.39, 0.38, 1.05, 0.12, 0.30, 0.70, 0.82, 0.70, 0.92),
}

SIGNAL: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {name: dict(zip(_TISSUES, signals, strict=True)) for name, signals in _SIGNALS.items()}
)
"""Mean signal of each tissue in each modality (arbitrary unit).

Chosen so that the z-scored means and spreads resemble those of public glioma scans.
"""

SPREAD: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "csf": (0.06, 0.10),
        "dura": (0.20, 0.30),
        "vessel": (0.15, 0.15),
        "oedema": (0.07, 0.06),
        "tumour": (0.14, 0.10),
        "enhancing": (0.11, 0.14),
        "necrosis": (0.18, 0.12),
    }
)
"""How much a tissue's signal varies, as a share of it: between cases, and from place to place within one."""

USUAL_SPREAD = (0.04, 0.02)

STORED_LEVEL = 600
"""Stored number of signal 1 on average; scanners differ, and so do the images of one case."""


def expose(
    rng: np.random.Generator, modality: str, shares: Mapping[str, Field], inside: NDArray[np.intp], grid: Grid
) -> NDArray[np.int16]:
    """One modality of the head as a scan: int16 `[slice, row, column]` on `grid`, 0 outside the brain.

    `shares` holds each tissue's share of each voxel of `inside` (flat indices on `grid`); what comes later covers what
    came before, white matter all.
    """
    texture = np.float32(0.8) * smooth_noise(rng, grid, 4.0) + np.float32(0.6) * smooth_noise(rng, grid, 9.0)
    pure = _mixed(rng, modality, shares, np.clip(texture.ravel()[inside], -2, 2))
    signal = np.full(grid.shape, SIGNAL[modality]["dura"], np.float32)
    signal.ravel()[inside] = pure
    signal = _blurred(signal, rng.uniform(0.10, 0.24), axes=(1, 2))
    if grid.z.step_mm < 2 and rng.random() < 0.5:
        # Many a scan was made of thick slices and resampled to 1 mm.
        signal = _blurred(signal, rng.uniform(0.15, 0.30), axes=(0, 0))
    signal += np.float32(rng.uniform(0.006, 0.016)) * smooth_noise(rng, grid, 1.6)
    signal *= 1 + np.float32(rng.uniform(0.05, 0.11)) * smooth_noise(rng, grid, 55.0)
    image = np.zeros(grid.shape, np.int16)
    image.ravel()[inside] = _stored(rng, signal.ravel()[inside], rng.uniform(0.004, 0.014))
    return image


def _mixed(rng: np.random.Generator, modality: str, shares: Mapping[str, Field], texture: Field) -> Field:
    signal = np.full(texture.shape, SIGNAL[modality]["white"], np.float32)
    for tissue, share in shares.items():
        between, within = SPREAD.get(tissue, USUAL_SPREAD)
        level = np.float32(SIGNAL[modality][tissue] * np.exp(rng.normal(0, between)))
        signal += share * (level * (1 + np.float32(within) * texture) - signal)
    return signal


def _blurred(signal: Field, side: float, axes: tuple[int, ...]) -> Field:
    """A three-point blur along each of `axes`, `side` the weight of each neighbour: the scanner's point spread."""
    for axis in axes:
        neighbours = np.roll(signal, 1, axis) + np.roll(signal, -1, axis)
        signal = signal * np.float32(1 - 2 * side) + neighbours * np.float32(side)
    return signal


def _stored(rng: np.random.Generator, signal: Field, deviation: float) -> NDArray[np.int16]:
    """The magnitude of the signal under complex (so Rician) noise, in the numbers of some scanner."""
    real = signal + np.float32(deviation) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(deviation) * rng.standard_normal(signal.shape, dtype=np.float32)
    magnitude = np.sqrt(real**2 + imaginary**2) * np.float32(STORED_LEVEL * rng.uniform(0.6, 1.6))
    # The brain is known by its non-zero voxels, so a dark voxel inside stays at least 1.
    return np.clip(np.rint(magnitude), 1, np.iinfo(np.int16).max).astype(np.int16)
