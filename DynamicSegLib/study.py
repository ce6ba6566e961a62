"""The study: the volumes of one patient on one working grid, normalised, with the way back to the scan's own grid."""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DynamicSegLib.errors import BundleError, InputError
from DynamicSegLib.geometry import (
    ORIENTATIONS,
    SAME_GRID_VOXELS,
    WorkingGrid,
    describe_grid,
    grid_difference_voxels,
    place_working_grid,
)
from DynamicSegLib.normalisation import Normalisation

SMALLEST_IN_PLANE = 16
# A skull-stripped study is zero around the brain, and so in every modality at the same voxels.
STRIPPED_ZERO_SHARE = 0.3
STRIPPED_MASK_AGREEMENT = 0.9
_OTSU_SAMPLES = 96  # along each axis
_SAMPLE = slice(None, None, 40)  # a few slices, compared before all are
_EVERY = 8  # pixels
_LARGEST_GAP = 0.1
# Of a volume in plane; beyond them its spacing is in another unit, or wrong.
_PLAUSIBLE_MM = (10.0, 3000.0)


@dataclass(frozen=True)
class InputSpec:
    """What a bundle's networks take.

    Parameters
    ----------
    modalities: names in the order of the network's input channels.
    slice_axis: `axial`, `coronal` or `sagittal`.
    spacing_mm, size: in-plane spacing and size in pixels, (row, column).
    skull_stripped: whether the networks expect zeros outside the brain.
    """

    modalities: tuple[str, ...]
    slice_axis: str = "axial"
    spacing_mm: tuple[float, float] = (1.0, 1.0)
    size: tuple[int, int] = (240, 240)
    normalisation: Normalisation = field(default_factory=Normalisation)
    skull_stripped: bool = True

    def __post_init__(self) -> None:
        if self.slice_axis not in ORIENTATIONS:
            raise BundleError(f"Slice axis {self.slice_axis!r} is unknown: expected one of {', '.join(ORIENTATIONS)}.")
        pairs = len(self.spacing_mm) == len(self.size) == 2
        spaced = pairs and all(0 < mm < math.inf for mm in self.spacing_mm)
        if not self.modalities or not spaced or min(self.size) < SMALLEST_IN_PLANE:
            raise BundleError(
                f"Input of modalities {self.modalities}, spacing {self.spacing_mm} mm, size {self.size}: expected at "
                f"least one modality, positive spacing and a size of {SMALLEST_IN_PLANE} pixels or more."
            )


@dataclass(frozen=True)
class Study:
    """The volumes of one patient on one grid, ready for the networks.

    Parameters
    ----------
    volumes: float32 `[modality, slice, row, column]`, normalised, zero outside the brain or the field of view.
    spec: what the volumes were prepared for.
    grid: the working grid and the way back.
    warnings: sentences for the user: what was done to the input, and what may be wrong with it.
    """

    volumes: NDArray[np.float32]
    spec: InputSpec
    grid: WorkingGrid
    warnings: tuple[str, ...] = ()

    @property
    def slices(self) -> int:
        return self.grid.shape[0]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of slices, rows and columns of the working grid."""
        return self.grid.spacing_mm

    @property
    def native_slice_axis(self) -> int:
        """Which index of the native image counts slices: 0 for i, 1 for j, 2 for k."""
        return 2 - self.grid.axes.order[0]

    def native_slice_index(self, index: int) -> int:
        """Index of a working slice along the native image's slice axis."""
        return self.slices - 1 - index if self.grid.axes.flipped[0] else index

    def to_native(self, labels: NDArray[np.uint8]) -> sitk.Image:
        """Labels uint8 `[slice, row, column]` as an image on the reference volume's own grid."""
        if labels.shape != self.grid.shape:
            raise InputError(f"Labels of shape {labels.shape} do not belong to a study of shape {self.grid.shape}.")
        return self.grid.labels_to_native(labels)


def build_study(images: Mapping[str, sitk.Image], spec: InputSpec, mask: sitk.Image | None = None) -> Study:
    """Put the volumes of one patient onto one grid and normalise them.

    The *reference volume*, whose grid the result returns to, is the one with the smallest voxels (the first of the
    bundle's order among equals). Grids that differ by less than a tenth of a voxel count as the same; others are
    resampled onto the reference volume, and a warning says which and by how much.

    Parameters
    ----------
    images: one scalar 3D image for each modality of `spec`.
    mask: brain mask on any grid; voxels outside it are set to zero first.

    Raises
    ------
    InputError: a modality is missing, or a volume is 2D, 4D, colour, empty, constant, not finite, too small, or lies
        elsewhere in space.
    """
    steps = studying(images, spec, mask)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def studying(
    images: Mapping[str, sitk.Image], spec: InputSpec, mask: sitk.Image | None = None
) -> Generator[str, None, Study]:
    """`build_study` in short steps, for a window that has to stay live; yields what comes next, in words."""
    missing = [name for name in spec.modalities if name not in images]
    if missing:
        raise InputError(
            f"{', '.join(missing)} missing: this bundle needs {', '.join(spec.modalities)} (given: "
            f"{', '.join(images) or 'nothing'})."
        )
    volumes = {}
    for name in spec.modalities:
        yield f"Checking {name}"
        volumes[name] = _checked(name, images[name])
    warnings = _twins(volumes)
    reference = min(spec.modalities, key=lambda name: round(float(np.prod(volumes[name].GetSpacing())), 4))
    warnings += _grid_warnings(volumes, reference)
    brain = None if mask is None else _mask_on(volumes[reference], mask)
    foreground = _foreground(volumes[reference]) if brain is None else brain
    grid = place_working_grid(volumes[reference], spec.slice_axis, spec.spacing_mm, spec.size, foreground)
    del foreground
    warnings += _placement_warnings(grid, spec, reference)
    stack = np.empty((len(volumes), *grid.shape), np.float32)
    for index, name in enumerate(volumes):
        yield f"Bringing {name} onto one grid"
        _sample_into(stack[index], name, volumes, grid, reference, spec.skull_stripped)
    warnings += _gaps(stack, spec)
    yield "Looking for the skull"
    if brain is not None:
        _apply_mask(stack, grid, brain, volumes[reference])
    elif spec.skull_stripped and not _looks_stripped(stack):
        warnings.append(
            "The volumes do not look skull-stripped, which this bundle expects: results will be poor. Strip the skull "
            "first (e.g. with HD-BET or SynthStrip), or give a brain mask."
        )
    for name in spec.normalisation.applying(stack, spec.modalities):
        yield f"Normalising {name}"
    return Study(stack, spec, grid, tuple(warnings))


def _checked(name: str, image: sitk.Image) -> sitk.Image:
    """The image, or the one clear error that says what is wrong with it."""
    if image.GetDimension() != 3 or min(image.GetSize()) < 1:
        raise InputError(f"{name} is {image.GetDimension()}D (size {image.GetSize()}): expected one 3D volume.")
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(
            f"{name} holds {image.GetPixelIDTypeAsString()} pixels (colour?): expected one grey value each."
        )
    if sorted(image.GetSize())[-2] < SMALLEST_IN_PLANE:
        raise InputError(f"{name} has size {image.GetSize()}: expected at least {SMALLEST_IN_PLANE} pixels in plane.")
    sides_mm = [count * mm for count, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    if sorted(sides_mm)[-2] < _PLAUSIBLE_MM[0] or max(sides_mm) > _PLAUSIBLE_MM[1]:
        raise InputError(
            f"{name} measures {' x '.join(f'{mm:.4g}' for mm in sides_mm)} mm (spacing "
            f"{' x '.join(f'{mm:.4g}' for mm in image.GetSpacing())}): is the spacing in another unit?"
        )
    values = sitk.GetArrayViewFromImage(image)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low) or not np.isfinite(high):
        count = int(np.size(values) - np.isfinite(values).sum())
        raise InputError(
            f"{name} has {count} voxels that are NaN or infinite: export the volume again, or repair them."
        )
    if low == high:
        kind = "empty (all voxels are 0)" if low == 0 else f"constant (all voxels are {low:g})"
        raise InputError(f"{name} is {kind}: check that the right file was chosen.")
    return image


def _twins(volumes: Mapping[str, sitk.Image]) -> list[str]:
    """A warning for each two volumes that are the same, voxel for voxel."""
    arrays = {name: sitk.GetArrayViewFromImage(image) for name, image in volumes.items()}
    return [
        f"{first} and {second} are the same volume: results will be poor. Check that the right files were chosen."
        for first, second in combinations(arrays, 2)
        if all(np.array_equal(arrays[first][part], arrays[second][part]) for part in (_SAMPLE, slice(None)))
    ]


def _gaps(stack: NDArray[np.float32], spec: InputSpec) -> list[str]:
    """A warning for each modality that is empty on slices where others are not."""
    covered = stack[:, :, ::_EVERY, ::_EVERY].any(axis=(2, 3))
    somewhere = np.count_nonzero(covered.any(axis=0))
    counts = somewhere - np.count_nonzero(covered, axis=1)
    return [
        f"{name} is empty on {count} of {somewhere} slices where other volumes are not: expect less accuracy there."
        for name, count in zip(spec.modalities, counts.tolist(), strict=True)
        if count > _LARGEST_GAP * somewhere
    ]


def _grid_warnings(volumes: Mapping[str, sitk.Image], reference: str) -> list[str]:
    warnings = []
    for name, image in volumes.items():
        difference = grid_difference_voxels(volumes[reference], image)
        if difference < SAME_GRID_VOXELS:
            continue
        by = "" if np.isinf(difference) else f", displaced by up to {difference:.2f} voxels"
        warnings.append(
            f"{name} lies on another grid ({describe_grid(image)}{by}) than {reference} "
            f"({describe_grid(volumes[reference])}): it was resampled onto {reference}."
        )
    return warnings


def _placement_warnings(grid: WorkingGrid, spec: InputSpec, reference: str) -> list[str]:
    warnings = []
    _, rows, columns = grid.shape
    if (rows, columns) != spec.size:
        warnings.append(
            f"{reference} is larger in plane than the bundle's {spec.size[0]} x {spec.size[1]} pixels: the working "
            f"size grew to {rows} x {columns}, and the cost with it."
        )
    native_mm = np.array(grid.native.GetSpacing())
    between_mm = grid.spacing_mm[0]
    if between_mm < 0.5 * native_mm.max():
        warnings.append(
            f"{reference} was not acquired in {spec.slice_axis} slices (voxels "
            f"{' x '.join(f'{mm:.2f}' for mm in native_mm)} mm): slices cut across thick ones; expect less accuracy."
        )
    return warnings


def _sample_into(
    values: NDArray[np.float32],
    name: str,
    volumes: Mapping[str, sitk.Image],
    grid: WorkingGrid,
    reference: str,
    stripped: bool,
) -> None:
    grid.sample_into(values, volumes[name], zero_is_outside=stripped)
    if not values.any():
        raise InputError(
            f"{name} and {reference} share no space (origins {_point(volumes[name])} and "
            f"{_point(volumes[reference])} mm): co-register the volumes first."
        )


def _point(image: sitk.Image) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in image.GetOrigin()) + ")"


def _foreground(image: sitk.Image) -> NDArray[np.bool_]:
    """Roughly the head: non-zero voxels of a stripped scan, above Otsu's threshold elsewhere."""
    values = sitk.GetArrayViewFromImage(image)
    inside = values != 0
    if inside.mean() < 1 - STRIPPED_ZERO_SHARE:
        return np.asarray(inside)
    return np.asarray(np.greater(values, _otsu_threshold(values), out=inside))


def _otsu_threshold(values: NDArray[Any]) -> float:
    """Otsu's threshold of an evenly spaced sample of the voxels; more of them would not move it."""
    steps = tuple(slice(None, None, max(1, n // _OTSU_SAMPLES)) for n in values.shape)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(sitk.GetImageFromArray(np.ascontiguousarray(values[steps])))
    return float(otsu.GetThreshold())


def _looks_stripped(stack: NDArray[np.float32]) -> bool:
    """Whether the volumes are zero in many voxels, and in the same ones. Counted slice by slice."""
    union, own = 0, np.zeros(len(stack), np.int64)
    for index in range(stack.shape[1]):
        inside = stack[:, index] != 0
        union += int(np.count_nonzero(inside.any(axis=0)))
        own += np.count_nonzero(inside, axis=(1, 2))
    if union > (1 - STRIPPED_ZERO_SHARE) * stack[0].size:
        return False
    return bool(np.median(own / max(1, union)) >= STRIPPED_MASK_AGREEMENT)


def _mask_on(reference: sitk.Image, mask: sitk.Image) -> NDArray[np.bool_]:
    if mask.GetDimension() != 3 or mask.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"The mask is {mask.GetDimension()}D: expected one 3D label volume.")
    if grid_difference_voxels(reference, mask) >= SAME_GRID_VOXELS:
        mask = sitk.Resample(mask, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
    inside = sitk.GetArrayViewFromImage(mask) != 0
    if not inside.any():
        raise InputError("The mask is empty on the reference volume: check that it belongs to this patient.")
    return np.asarray(inside)


def _apply_mask(stack: NDArray[np.float32], grid: WorkingGrid, brain: NDArray[np.bool_], reference: sitk.Image) -> None:
    image = sitk.GetImageFromArray(brain.view(np.uint8))
    image.CopyInformation(reference)
    stack *= grid.sample(image, sitk.sitkNearestNeighbor) > 0
    if not stack.any():
        raise InputError("Nothing is left inside the mask: check that it belongs to this patient.")
