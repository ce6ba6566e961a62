"""Grids: whether two volumes share one, and the way from a scan's native grid to the working grid and back.

The *working grid* has its slices along the bundle's slice axis, its in-plane spacing and size, and patient-fixed
orientation (axial: slices towards superior, rows towards posterior, columns towards left). Slices stay the scan's own:
the working grid never interpolates between slices of the reference volume.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

# Directions in which column, row and slice index grow (DICOM's LPS letters).
ORIENTATIONS = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIL"}
SAME_GRID_VOXELS = 0.1


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
    native: the reference volume's grid (an image whose pixels are not read).
    axes: native to oriented.
    frame: the working grid as an image geometry: size (columns, rows, slices), spacing, origin, direction.
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
        same = grid_difference_voxels(self.native, image) < SAME_GRID_VOXELS
        if same and self.offset is not None:
            oriented = self.axes.orient(sitk.GetArrayViewFromImage(image))
            return np.array(_window(oriented, self.shape, self.offset), np.float32)
        source = sitk.Cast(image, sitk.sitkFloat32)
        if interpolator != sitk.sitkLinear:
            return self._resampled(source, interpolator)
        values = self._resampled(self._smoothed(source), interpolator)
        if zero_is_outside:
            inside = self._resampled(self._smoothed(sitk.Cast(source != 0, sitk.sitkFloat32)), interpolator)
            values /= np.maximum(inside, 0.5)
            values[inside < 0.5] = 0
        return values

    def _resampled(self, image: sitk.Image, interpolator: int) -> NDArray[np.float32]:
        return sitk.GetArrayFromImage(sitk.Resample(image, self.frame, sitk.Transform(), interpolator, 0.0))

    def labels_to_native(self, labels: NDArray[np.uint8]) -> sitk.Image:
        """Labels `[slice, row, column]` of the working grid on the reference volume's native grid, uint8.

        Exact where the in-plane spacing is the scan's own. Otherwise each label's membership is interpolated
        linearly and the largest wins.
        """
        if self.offset is not None:
            column, row, between = (self.native.GetSize()[2 - axis] for axis in reversed(self.axes.order))
            oriented = _window(labels, (between, row, column), (-self.offset[0], -self.offset[1]))
            native = sitk.GetImageFromArray(np.ascontiguousarray(self.axes.restore(oriented)))
            native.CopyInformation(self.native)
            return native
        return self._interpolated_labels(labels)

    def _interpolated_labels(self, labels: NDArray[np.uint8]) -> sitk.Image:
        winner = np.zeros(self.native.GetSize()[::-1], np.uint8)
        best = np.zeros(winner.shape, np.float32)
        claimed = np.zeros(winner.shape, np.float32)
        for value in np.unique(labels[labels > 0]):
            member = sitk.GetImageFromArray((labels == value).astype(np.float32))
            member.CopyInformation(self.frame)
            share = sitk.GetArrayFromImage(
                sitk.Resample(member, self.native, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
            )
            claimed += share
            better = share > best
            winner[better], best[better] = value, share[better]
        winner[claimed <= 0.5] = 0
        native = sitk.GetImageFromArray(winner)
        native.CopyInformation(self.native)
        return native

    def _smoothed(self, image: sitk.Image) -> sitk.Image:
        """Blur a volume that is sampled more finely than the working grid, so that fine detail does not alias."""
        factors = np.divide(max(self.frame.GetSpacing()[:2]), image.GetSpacing())
        sigmas = [
            0.5 * spacing * factor if factor >= 1.5 else 0.0
            for factor, spacing in zip(factors, image.GetSpacing(), strict=True)
        ]
        for axis, sigma in enumerate(sigmas):
            if sigma > 0 and image.GetSize()[axis] >= 4:
                image = sitk.RecursiveGaussian(image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
        return image


def _window(array: NDArray[Any], shape: tuple[int, int, int], offset: tuple[int, int]) -> NDArray[Any]:
    """The window of `shape` that begins at in-plane `offset`, zeros where it leaves the array."""
    if offset == (0, 0) and array.shape == shape:
        return array
    out = np.zeros(shape, array.dtype)
    inner: list[slice] = [slice(None)]
    outer: list[slice] = [slice(None)]
    for length, have, start in zip(shape[1:], array.shape[1:], offset, strict=True):
        first, last = max(start, 0), min(start + length, have)
        inner.append(slice(first, max(first, last)))
        outer.append(slice(first - start, max(first, last) - start))
    out[tuple(outer)] = array[tuple(inner)]
    return out


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
    oriented = sitk.DICOMOrient(reference, ORIENTATIONS[slice_axis])
    axes = Axes.between(reference, oriented)
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
    frame = sitk.Image([lengths[1], lengths[0], slices], sitk.sitkUInt8)
    frame.SetSpacing([working_mm[1], working_mm[0], slice_mm])
    frame.SetDirection(oriented.GetDirection())
    frame.SetOrigin(oriented.TransformContinuousIndexToPhysicalPoint([first[1], first[0], 0.0]))
    grid = sitk.Image(reference.GetSize(), sitk.sitkUInt8)
    grid.CopyInformation(reference)
    return WorkingGrid(grid, axes, frame, (starts[0], starts[1]) if exact else None)


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
