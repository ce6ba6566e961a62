"""Phantoms: four modalities of a skull-stripped head with a glioma whose labels are known, made in seconds."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DynamicSegLib.errors import InputError
from DynamicSegLib.files import written_together
from DynamicSegLib.synthesis.anatomy import COARSE
from DynamicSegLib.synthesis.composition import compose
from DynamicSegLib.synthesis.contrast import MODALITIES, expose
from DynamicSegLib.synthesis.fields import Axis, Grid
from DynamicSegLib.synthesis.head import Head, build_head

FULL_SLICES = 155
SMALL_SLICES = 48
SAMPLE_SEED = 0
"""The sample that is shown to users; training uses other seeds."""

_SIZE = 240
_EXPOSED_AT_ONCE = 2
"""Modalities computed at the same time; more would want memory rather than save time."""


@dataclass(frozen=True)
class Phantom:
    """A case of our own making, in BraTS's manner.

    images: modality -> int16 volume, 240 x 240 pixels of 1 mm, axes to left, posterior, superior, 0 outside the brain.
    labels: uint8 volume on the same grid: 1 necrotic or non-enhancing core, 2 oedema, 4 enhancing tumour.
    """

    images: dict[str, sitk.Image]
    labels: sitk.Image


def make_phantom(seed: int, slices: int = FULL_SLICES) -> Phantom:
    """The phantom of `seed`: the same on every call.

    `slices` below 155 cover the same head in thicker slices (48: 3 mm), as far as whole millimetres go.
    """
    volumes, labels = phantom_arrays(seed, slices)
    axis = _slice_axis(slices)
    images = {name: _image(volume, axis) for name, volume in zip(MODALITIES, volumes, strict=True)}
    return Phantom(images, _image(labels, axis))


def phantom_arrays(seed: int, slices: int = FULL_SLICES) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """The same as arrays: int16 `[modality, slice, row, column]` in the order of `MODALITIES`, and uint8 labels."""
    if not 1 <= slices <= FULL_SLICES:
        raise InputError(f"A phantom of {slices} slices cannot be made: choose from 1 to {FULL_SLICES}.")
    if seed < 0:
        raise InputError(f"Seed {seed} is negative: choose 0 or a positive whole number.")
    streams = [np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(2 + len(MODALITIES))]
    head = build_head(streams[0])
    grid = _brain_box(head, slices)
    tissue = compose(streams[1], head, grid)
    volumes = np.zeros((len(MODALITIES), slices, _SIZE, _SIZE), np.int16)
    labels = np.zeros((slices, _SIZE, _SIZE), np.uint8)
    rows, columns = (slice(int(axis.start), int(axis.start) + axis.count) for axis in (grid.y, grid.x))

    def fill(volume: NDArray[np.int16], modality: str, stream: np.random.Generator) -> None:
        volume[:, rows, columns] = expose(stream, modality, tissue.shares, tissue.inside, grid)

    with ThreadPoolExecutor(_EXPOSED_AT_ONCE) as pool:
        list(pool.map(fill, volumes, MODALITIES, streams[2:]))
    boxed = np.zeros(grid.shape, np.uint8)
    boxed.ravel()[tissue.inside] = tissue.labels
    labels[:, rows, columns] = boxed
    return volumes, labels


def write_phantom(folder: Path | str, name: str, phantom: Phantom) -> Path:
    """Write `<folder>/<name>/<name>_<modality>.nii.gz` and `<name>_seg.nii.gz`; returns the case's folder."""
    case = Path(folder) / name
    with written_together(case) as scratch:
        for suffix, image in (*phantom.images.items(), ("seg", phantom.labels)):
            # Noise hardly compresses, so the fastest level costs little space.
            sitk.WriteImage(image, str(scratch / f"{name}_{suffix}.nii.gz"), useCompression=True, compressionLevel=1)
    return case


def _brain_box(head: Head, slices: int) -> Grid:
    """All slices, and the rows and columns that the brain reaches: nothing is computed beyond them."""
    holds_brain = head.anatomy.hull > -COARSE.x.step_mm
    row_axis = _reached(COARSE.y, np.any(holds_brain, axis=(0, 2)))
    column_axis = _reached(COARSE.x, np.any(holds_brain, axis=(0, 1)))
    return Grid(_slice_axis(slices), row_axis, column_axis)


def _reached(axis: Axis, holds_brain: NDArray[np.bool_]) -> Axis:
    reached = axis.coordinates[holds_brain]
    first, last = max(int(reached[0]) - 2, 0), min(int(reached[-1]) + 2, _SIZE - 1)
    return Axis(float(first), 1.0, last - first + 1)


def _slice_axis(slices: int) -> Axis:
    thickness = FULL_SLICES // slices
    return Axis((FULL_SLICES - slices * thickness + thickness - 1) / 2, float(thickness), slices)


def _image(array: NDArray[np.int16] | NDArray[np.uint8], slice_axis: Axis) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, slice_axis.step_mm))
    image.SetOrigin((0.0, -239.0, slice_axis.start))
    return image
