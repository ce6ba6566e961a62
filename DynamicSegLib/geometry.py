"""Grids: whether two volumes share one, and the way from a scan's native grid to the working grid and back.

The *working grid* has its slices along the bundle's slice axis, its in-plane spacing and size, and patient-fixed
orientation (axial: slices towards superior, rows towards posterior, columns towards left). Slices stay the scan's own:
the working grid never interpolates between slices of the reference volume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

# Directions in which column, row and slice index grow (DICOM's LPS letters).
ORIENTATIONS = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIL"}
SAME_GRID_VOXELS = 0.1
# Slices that are interpolated at once: memory grows with them, not with the volume.
_SLAB = 32


def only_grid(size: Sequence[int], like: sitk.Image) -> sitk.Image:
    """An image of `size` (columns, rows, slices) with spacing, origin and direction of another, and without pixels.

    SimpleITK's label maps hold nothing until a label is added; any other image of the size would fill memory.
    """
    grid = sitk.Image([int(n) for n in size], sitk.sitkLabelUInt8)
    grid.SetSpacing(like.GetSpacing())
    grid.SetOrigin(like.GetOrigin())
    grid.SetDirection(like.GetDirection())
    return grid


def grid_difference_voxels(reference: sitk.Image, other: sitk.Image) -> float:
    """How far apart two grids are: the largest displacement of a corner voxel, in voxels of the reference.

    Infinite where the sizes differ.
    """
    if reference.GetSize() != other.GetSize():
        return float("inf")
    corners = product(*((0, n - 1) for n in reference.GetSize()))
    return max(
        float(
            np.abs(
                np.subtract(
                    reference.TransformPhysicalPointToContinuousIndex(other.TransformIndexToPhysicalPoint(corner)),
                    corner,
                )
            ).max()
        )
        for corner in corners
    )


def describe_grid(image: sitk.Image) -> str:
    """Size and spacing in words: `240 x 240 x 155 voxels of 1.00 x 1.00 x 1.00 mm`."""
    size = " x ".join(str(n) for n in image.GetSize())
    return f"{size} voxels of {' x '.join(f'{s:.2f}' for s in image.GetSpacing())} mm"


@dataclass(frozen=True)
class Axes:
    """A signed permutation between native array axes `[k, j, i]` and oriented ones `[slice, row, column]`.

    `order[a]` is the native axis that becomes oriented axis `a`; `flipped[a]` says whether it runs backwards.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @classmethod
    def between(cls, native: sitk.Image, oriented: sitk.Image) -> "Axes":
        """The axes of `oriented`, a permuted and flipped copy of `native`."""
        a = np.array(native.GetDirection()).reshape(3, 3)
        b = np.array(oriented.GetDirection()).reshape(3, 3)
        signed = np.rint(a.T @ b)[::-1, ::-1]  # rows: native k, j, i; columns: oriented slice, row, column
        order = np.abs(signed).argmax(axis=0)
        return cls(
            tuple(int(axis) for axis in order),  # type: ignore[arg-type]
            tuple(bool(signed[axis, column] < 0) for column, axis in enumerate(order)),  # type: ignore[arg-type]
        )

    @property
    def _reversed(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(3) if self.flipped[axis])

    def orient(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of a native array in oriented axes."""
        return np.flip(array.transpose(self.order), self._reversed)

    def restore(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of an oriented array in native axes: the inverse of `orient`."""
        back = np.flip(array, self._reversed)
        return back.transpose(np.argsort(self.order))


@dataclass(frozen=True)
class WorkingGrid:
    """Where the working grid lies on the reference volume.

    Parameters
    ----------
    native: the reference volume's grid, an image without pixels (see `only_grid`).
    axes: native to oriented.
    frame: the working grid in the same way: size (columns, rows, slices), spacing, origin, direction.
    offset: oriented (row, column) index of the working grid's first pixel, where the in-plane spacing is the
        scan's own; None where in-plane interpolation is needed.
    """

    native: sitk.Image
    axes: Axes
    frame: sitk.Image
    offset: tuple[int, int] | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        columns, rows, slices = self.frame.GetSize()
        return slices, rows, columns

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of slices, rows, columns."""
        column, row, between = self.frame.GetSpacing()
        return between, row, column

    def sample(
        self, image: sitk.Image, interpolator: int = sitk.sitkLinear, zero_is_outside: bool = False
    ) -> NDArray[np.float32]:
        """Bring a volume onto the working grid: a new float32 `[slice, row, column]`, 0 beyond its field of view.

        A volume on the reference grid is copied exactly where the spacing allows, else interpolated once. Where zero
        means outside the brain, only what is inside takes part, so that the brain's rim keeps its brightness.
        """
        values = np.empty(self.shape, np.float32)
        self.sample_into(values, image, interpolator, zero_is_outside)
        return values

    def sample_into(
        self,
        values: NDArray[np.float32],
        image: sitk.Image,
        interpolator: int = sitk.sitkLinear,
        zero_is_outside: bool = False,
    ) -> None:
        """`sample` into an array that is there already, without a second one of its size."""
        same = grid_difference_voxels(self.native, image) < SAME_GRID_VOXELS
        if same and self.offset is not None:
            _window_into(values, self.axes.orient(sitk.GetArrayViewFromImage(image)), self.offset)
            return
        inside = None
        if interpolator == sitk.sitkLinear:
            if zero_is_outside:
                inside = self._smoothed(image != 0)
            image = self._smoothed(image)
        for first in range(0, len(values), _SLAB):
            slab = values[first : first + _SLAB]
            slab[...] = _resampled(image, self.frame, interpolator, first, len(slab))
            if inside is not None:
                share = _resampled(inside, self.frame, interpolator, first, len(slab))
                slab /= np.maximum(share, 0.5)
                slab[share < 0.5] = 0

    def labels_to_native(self, labels: NDArray[np.uint8]) -> sitk.Image:
        """Labels `[slice, row, column]` of the working grid on the reference volume's native grid, uint8.

        Exact where the in-plane spacing is the scan's own. Otherwise each label's membership is interpolated
        linearly and the largest wins.
        """
        if self.offset is not None:
            column, row, between = (self.native.GetSize()[2 - axis] for axis in reversed(self.axes.order))
            oriented = np.empty((between, row, column), np.uint8)
            _window_into(oriented, labels, (-self.offset[0], -self.offset[1]))
            native = sitk.GetImageFromArray(np.ascontiguousarray(self.axes.restore(oriented)))
            native.CopyInformation(self.native)
            return native
        return self._interpolated_labels(labels)

    def _interpolated_labels(self, labels: NDArray[np.uint8]) -> sitk.Image:
        members = {}
        for value in range(1, int(labels.max()) + 1):
            if (labels == value).any():
                members[value] = sitk.GetImageFromArray((labels == value).view(np.uint8))
                members[value].CopyInformation(self.frame)
        winner = np.zeros(self.native.GetSize()[::-1], np.uint8)
        for first in range(0, len(winner) if members else 0, _SLAB):
            self._choose_winner(winner[first : first + _SLAB], members, first)
        native = sitk.GetImageFromArray(winner)
        native.CopyInformation(self.native)
        return native

    def _choose_winner(self, winner: NDArray[np.uint8], members: Mapping[int, sitk.Image], first: int) -> None:
        """Fill native slices from `first` on with the label of the largest share, 0 where all together have half."""
        best, claimed = (np.zeros(winner.shape, np.float32) for _ in range(2))
        for value, member in members.items():
            share = _resampled(member, self.native, sitk.sitkLinear, first, len(winner))
            claimed += share
            better = share > best
            winner[better], best[better] = value, share[better]
        winner[claimed <= 0.5] = 0

    def _smoothed(self, image: sitk.Image) -> sitk.Image:
        """Blur a volume that is sampled more finely than the working grid, so that fine detail does not alias."""
        factors = np.divide(max(self.frame.GetSpacing()[:2]), image.GetSpacing())
        sigmas = [
            0.5 * spacing * factor if factor >= 1.5 else 0.0
            for factor, spacing in zip(factors, image.GetSpacing(), strict=True)
        ]
        for axis, sigma in enumerate(sigmas):
            if sigma > 0 and image.GetSize()[axis] >= 4:
                image = sitk.Cast(image, sitk.sitkFloat32)
                image = sitk.RecursiveGaussian(image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
        return image


def _resampled(image: sitk.Image, grid: sitk.Image, interpolator: int, first: int, slices: int) -> NDArray[np.float32]:
    """An image on `slices` slices of a grid from `first` on: float32 `[slice, row, column]`."""
    columns, rows, _ = grid.GetSize()
    slab = only_grid((columns, rows, slices), grid)
    slab.SetOrigin(grid.TransformIndexToPhysicalPoint((0, 0, first)))
    return sitk.GetArrayFromImage(sitk.Resample(image, slab, sitk.Transform(), interpolator, 0.0, sitk.sitkFloat32))


def _window_into(out: NDArray[Any], array: NDArray[Any], offset: tuple[int, int]) -> None:
    """Fill `out` with the window of `array` that begins at in-plane `offset`, zeros where it leaves the array."""
    inner: list[slice] = [slice(None)]
    outer: list[slice] = [slice(None)]
    for length, have, start in zip(out.shape[1:], array.shape[1:], offset, strict=True):
        first, last = max(start, 0), min(start + length, have)
        inner.append(slice(first, max(first, last)))
        outer.append(slice(first - start, max(first, last) - start))
    window = tuple(outer)
    if out[window].shape != out.shape:
        out[...] = 0
    out[window] = array[tuple(inner)]


def place_working_grid(
    reference: sitk.Image,
    slice_axis: str,
    spacing_mm: tuple[float, float],
    size: tuple[int, int],
    foreground: NDArray[np.bool_] | None = None,
) -> WorkingGrid:
    """Lay the working grid over a reference volume.

    Parameters
    ----------
    slice_axis: `axial`, `coronal` or `sagittal`.
    spacing_mm, size: in-plane, (row, column). The size grows (in steps of 8) where the foreground would not fit.
    foreground: native array axes `[k, j, i]`; the window is centred on it where the scan is larger than the window.
    """
    oriented, axes = _oriented(reference, slice_axis)
    columns, rows, slices = oriented.GetSize()
    column_mm, row_mm, slice_mm = oriented.GetSpacing()
    exact = all(
        abs(have - want) * n < SAME_GRID_VOXELS * want
        for have, want, n in ((row_mm, spacing_mm[0], rows), (column_mm, spacing_mm[1], columns))
    )
    working_mm = (row_mm, column_mm) if exact else spacing_mm
    seen = None if foreground is None else np.asarray(axes.orient(foreground).any(axis=0))
    starts, lengths = [], []
    for axis, (n, have_mm) in enumerate(((rows, row_mm), (columns, column_mm))):
        scale = have_mm / working_mm[axis]
        extent = _extent(seen, axis) if seen is not None and seen.any() else (0, n)
        start, length = _window_along(n * scale, (extent[0] * scale, extent[1] * scale), size[axis])
        starts.append(start)
        lengths.append(length)
    # Pixel centres: working index w lies at oriented index (w + start + 0.5) / scale - 0.5.
    first = [
        (start + 0.5) * working_mm[axis] / have_mm - 0.5
        for axis, (start, have_mm) in enumerate(zip(starts, (row_mm, column_mm), strict=True))
    ]
    frame = only_grid((lengths[1], lengths[0], slices), oriented)
    frame.SetSpacing([working_mm[1], working_mm[0], slice_mm])
    frame.SetOrigin(oriented.TransformContinuousIndexToPhysicalPoint([first[1], first[0], 0.0]))
    native = only_grid(reference.GetSize(), reference)
    return WorkingGrid(native, axes, frame, (starts[0], starts[1]) if exact else None)


def _oriented(reference: sitk.Image, slice_axis: str) -> tuple[sitk.Image, Axes]:
    """The reference's grid in the orientation of a slice axis, without pixels, and the way there."""
    voxel = sitk.Image(1, 1, 1, sitk.sitkUInt8)
    voxel.SetDirection(reference.GetDirection())
    turned = sitk.DICOMOrient(voxel, ORIENTATIONS[slice_axis])
    axes = Axes.between(voxel, turned)
    # Image indices count columns first, array axes slices first.
    order = [2 - axis for axis in reversed(axes.order)]
    size = reference.GetSize()
    corner = [0, 0, 0]
    for axis, flipped in zip(order, reversed(axes.flipped), strict=True):
        corner[axis] = size[axis] - 1 if flipped else 0
    oriented = only_grid([size[axis] for axis in order], turned)
    oriented.SetSpacing([reference.GetSpacing()[axis] for axis in order])
    oriented.SetOrigin(reference.TransformIndexToPhysicalPoint(corner))
    return oriented, axes


def _extent(seen: NDArray[Any], axis: int) -> tuple[int, int]:
    where = np.flatnonzero(seen.any(axis=1 - axis))
    return int(where[0]), int(where[-1]) + 1


def _window_along(length: float, foreground: tuple[float, float], size: int) -> tuple[int, int]:
    """First pixel and length of the window along one axis, in working pixels."""
    needed = foreground[1] - foreground[0]
    if size < needed:
        size = int(-(-needed // 8) * 8)
    if length <= size:
        return -int((size - round(length)) // 2), size
    centre = (foreground[0] + foreground[1]) / 2
    return int(min(max(round(centre - size / 2), 0), round(length) - size)), size
