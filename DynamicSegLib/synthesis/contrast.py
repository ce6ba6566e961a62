"""What the scanner makes of the head: tissue brightness in each modality, partial volume, bias, noise."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.synthesis.fields import Axis, Field, Grid, smooth_noise

MODALITIES = ("flair", "t1ce", "t1", "t2")

BRIGHTNESS: Mapping[str, Mapping[str, float]] = {
    "flair": {
        "white": 0.50, "grey": 0.62, "nuclei": 0.60, "csf": 0.14, "stem": 0.54, "vessel": 0.40,
        "oedema": 1.00, "necrosis": 0.95, "enhancing": 0.98, "tumour": 1.08,
    },
    "t1ce": {
        "white": 0.66, "grey": 0.56, "nuclei": 0.60, "csf": 0.22, "stem": 0.62, "vessel": 1.35,
        "oedema": 0.55, "necrosis": 0.42, "enhancing": 1.15, "tumour": 0.48,
    },
    "t1": {
        "white": 0.72, "grey": 0.56, "nuclei": 0.62, "csf": 0.22, "stem": 0.67, "vessel": 0.60,
        "oedema": 0.60, "necrosis": 0.44, "enhancing": 0.55, "tumour": 0.46,
    },
    "t2": {
        "white": 0.33, "grey": 0.46, "nuclei": 0.40, "csf": 1.05, "stem": 0.38, "vessel": 0.40,
        "oedema": 0.72, "necrosis": 0.98, "enhancing": 0.68, "tumour": 0.92,
    },
}  # fmt: skip
"""Mean signal of each tissue (arbitrary unit), tuned so that z-scored means resemble those of public glioma scans."""

LEVELS = 600
"""Stored value of signal 1 on average; scanners differ, and so do cases."""


def expose(
    rng: np.random.Generator, modality: str, shares: Mapping[str, Field], brain: NDArray[np.bool_], grid: Grid
) -> NDArray[np.int16]:
    """One modality of the head as a scan: int16 `[slice, row, column]` on `grid`, 0 outside `brain`.

    `shares` holds the share of each tissue in each voxel; tissues drawn later cover those drawn before.
    """
    brightness = BRIGHTNESS[modality]
    signal = np.full(grid.shape, brightness["white"], np.float32)
    for tissue, share in shares.items():
        level = brightness[tissue] * np.exp(rng.normal(0, 0.05))
        signal += share * (np.float32(level) - signal)
    signal = _blurred(signal, rng.uniform(0.08, 0.22))
    signal *= 1 + np.float32(rng.uniform(0.03, 0.07)) * _coarse_noise(rng, grid, 60.0)
    signal += np.float32(0.012) * _coarse_noise(rng, grid, 5.0)
    return _with_rician_noise(rng, signal, rng.uniform(0.012, 0.03), brain)


def _coarse_noise(rng: np.random.Generator, grid: Grid, scale_mm: float) -> Field:
    return smooth_noise(rng, grid, scale_mm)


def _blurred(signal: Field, side: float) -> Field:
    """Three-point blur in the plane, `side` the weight of each neighbour: the scanner's point spread."""
    for axis in (1, 2):
        neighbours = np.roll(signal, 1, axis) + np.roll(signal, -1, axis)
        signal = signal * np.float32(1 - 2 * side) + neighbours * np.float32(side)
    return signal


def _with_rician_noise(
    rng: np.random.Generator, signal: Field, deviation: float, brain: NDArray[np.bool_]
) -> NDArray[np.int16]:
    inside = signal[brain]
    real = inside + np.float32(deviation) * rng.standard_normal(inside.shape, dtype=np.float32)
    imaginary = np.float32(deviation) * rng.standard_normal(inside.shape, dtype=np.float32)
    magnitude = np.sqrt(real**2 + imaginary**2) * np.float32(LEVELS * rng.uniform(0.6, 1.6))
    image = np.zeros(signal.shape, np.int16)
    # The brain is known by its non-zero voxels, so a dark voxel inside stays at least 1.
    image[brain] = np.clip(np.rint(magnitude), 1, np.iinfo(np.int16).max).astype(np.int16)
    return image


def image_grid(slices: int) -> Grid:
    """The grid of the images: 240 x 240 at 1 mm, `slices` of them spread over the head's 155 mm."""
    thickness = max(155 // slices, 1)
    start = (155 - slices * thickness) / 2 + (thickness - 1) / 2
    return Grid(z=Axis(start, float(thickness), slices), y=Axis(0.0, 1.0, 240), x=Axis(0.0, 1.0, 240))
