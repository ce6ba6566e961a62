"""Scalar fields on a coarse head grid: smooth noise, distances to simple solids, and their way to the image grid.

Fields are float32 `[z, y, x]`. Coordinates are millimetres of the head, which BraTS's grid makes equal to slice, row
and column: x grows to the patient's left, y to posterior, z to superior.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Points = tuple[Field, Field, Field]
_Taps = tuple[NDArray[np.intp], Field]


@dataclass(frozen=True)
class Axis:
    """`count` equally spaced coordinates from `start`, in mm."""

    start: float
    step_mm: float
    count: int

    @property
    def coordinates(self) -> Field:
        return (self.start + self.step_mm * np.arange(self.count)).astype(np.float32)


@dataclass(frozen=True)
class Grid:
    """A box of sample points; `z`, `y` and `x` give one axis each."""

    z: Axis
    y: Axis
    x: Axis

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.z.count, self.y.count, self.x.count)

    def points(self) -> tuple[Field, Field, Field]:
        """Coordinates z, y, x, each of the grid's full shape."""
        z, y, x = np.meshgrid(self.z.coordinates, self.y.coordinates, self.x.coordinates, indexing="ij")
        return z, y, x


def resampled(field: Field, source: Grid, target: Grid) -> Field:
    """`field` on `target`'s points, linear between `source`'s points, constant beyond its ends."""
    taps = (_linear_taps(getattr(source, axis), getattr(target, axis)) for axis in "zyx")
    return _interpolated(field, *taps)


def smooth_noise(rng: np.random.Generator, grid: Grid, scale_mm: float | tuple[float, float, float]) -> Field:
    """Noise of mean 0 and standard deviation 1 on `grid`, from random knots `scale_mm` (z, y, x) apart.

    Cubic B-splines between the knots: twice differentiable, no grid pattern to see.
    """
    scales = scale_mm if isinstance(scale_mm, tuple) else (scale_mm,) * 3
    taps = [_spline_taps(getattr(grid, axis), scale) for axis, scale in zip("zyx", scales, strict=True)]
    knots = rng.standard_normal([floor[-1] + len(weights) for floor, weights in taps], dtype=np.float32)
    variance = np.prod([(weights**2).sum(axis=0).mean() for _, weights in taps])
    return _interpolated(knots / np.float32(np.sqrt(variance)), *taps)


def sampled(field: Field, grid: Grid, z: Field, y: Field, x: Field) -> Field:
    """`field` read at scattered points, linear between grid points, clamped at the borders."""
    floors, fractions = zip(*(_cell(axis, at) for axis, at in ((grid.z, z), (grid.y, y), (grid.x, x))), strict=True)
    flat = field.ravel()
    corner = (floors[0] * grid.y.count + floors[1]) * grid.x.count + floors[2]
    result = np.zeros(z.shape, np.float32)
    for step_z in (0, 1):
        for step_y in (0, 1):
            for step_x in (0, 1):
                weight = np.ones(z.shape, np.float32)
                for step, fraction in zip((step_z, step_y, step_x), fractions, strict=True):
                    weight *= fraction if step else 1 - fraction
                result += weight * flat[corner + (step_z * grid.y.count + step_y) * grid.x.count + step_x]
    return result


def ellipsoid_depth(z: Field, y: Field, x: Field, semi_axes_mm: tuple[float, float, float]) -> Field:
    """Depth in mm below the surface of an ellipsoid around the origin, negative outside (first order, exact on it)."""
    a, b, c = semi_axes_mm
    radius = np.sqrt((z / a) ** 2 + (y / b) ** 2 + (x / c) ** 2) + np.float32(1e-6)
    slope = np.sqrt((z / a**2) ** 2 + (y / b**2) ** 2 + (x / c**2) ** 2) + np.float32(1e-6)
    depth: Field = np.minimum(radius * (1 - radius) / slope, np.float32(min(semi_axes_mm)))
    return depth


def soft_union(first: Field, second: Field, blend_mm: float) -> Field:
    """The union of two depth fields, its inner corners filled over `blend_mm`."""
    overlap = np.maximum(blend_mm - np.abs(first - second), 0) / blend_mm
    union: Field = np.maximum(first, second) + overlap**2 * (blend_mm / 4)
    return union


def beyond(field: Field) -> Field:
    """The positive part: how far a value lies beyond zero."""
    positive: Field = np.maximum(field, np.float32(0))
    return positive


def membership(depth: Field, edge_mm: float = 1.0) -> Field:
    """Share of a voxel inside a surface `depth` mm away: a ramp of `edge_mm` centred on the surface."""
    share: Field = np.clip(depth / np.float32(edge_mm) + np.float32(0.5), 0, 1)
    return share


def _cell(axis: Axis, at: Field) -> tuple[NDArray[np.intp], Field]:
    position = np.clip((at - axis.start) / axis.step_mm, 0, axis.count - 1.001).astype(np.float32)
    floor = position.astype(np.intp)
    return floor, position - floor.astype(np.float32)


def _linear_taps(source: Axis, target: Axis) -> _Taps:
    floor, fraction = _cell(source, target.coordinates)
    return floor, np.stack((1 - fraction, fraction))


def _spline_taps(axis: Axis, scale_mm: float) -> _Taps:
    position = np.arange(axis.count) * (axis.step_mm / scale_mm)
    floor = position.astype(np.intp)
    t = position - floor
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return floor, (np.stack(weights) / 6).astype(np.float32)


def _interpolated(field: Field, z: _Taps, y: _Taps, x: _Taps) -> Field:
    """Weighted sums along x, y, then z.

    Element by element rather than as matrix products: those start threads that stall each other on a busy machine,
    and their sums differ from one machine to the next.
    """
    (floors_z, weights_z), (floors_y, weights_y), (floors_x, weights_x) = z, y, x
    rows = sum(field[:, :, floors_x + tap] * weight for tap, weight in enumerate(weights_x))
    planes = sum(rows[:, floors_y + tap] * weight[:, None] for tap, weight in enumerate(weights_y))
    result = np.zeros((floors_z.size, *planes.shape[1:]), np.float32)
    for plane, floor, weights in zip(result, floors_z, weights_z.T, strict=True):
        for tap, weight in enumerate(weights):
            plane += planes[floor + tap] * weight
    return result
