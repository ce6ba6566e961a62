"""Phantoms: four modalities of a skull-stripped head with a glioma whose labels are known, made in seconds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from DynamicSegLib.errors import InputError
from DynamicSegLib.synthesis.anatomy import COARSE, MIDLINE, Anatomy, build_anatomy, outline
from DynamicSegLib.synthesis.contrast import MODALITIES, expose, image_grid
from DynamicSegLib.synthesis.fields import Axis, Field, Grid, beyond, membership, resampled, smooth_noise
from DynamicSegLib.synthesis.tumour import ENHANCING, NECROSIS, OEDEMA, Tumour, grow, plan_tumour, pushed_aside

FULL_SLICES = 155
SMALL_SLICES = 48
SAMPLE_SEED = 0
"""The sample that is shown to users; training uses other seeds."""


@dataclass(frozen=True)
class Phantom:
    """A case of our own making, in BraTS's manner.

    images: modality -> int16 volume, 240 x 240 pixels of 1 mm, axes to left, posterior, superior, 0 outside the brain.
    labels: uint8 volume on the same grid: 1 necrotic or non-enhancing core, 2 oedema, 4 enhancing tumour.
    """

    images: dict[str, sitk.Image]
    labels: sitk.Image


def make_phantom(seed: int, slices: int = FULL_SLICES) -> Phantom:
    """The phantom of `seed`; `slices` of them cover the same head, thicker where they are fewer."""
    volumes, labels = phantom_arrays(seed, slices)
    grid = image_grid(slices)
    images = {name: _image(volume, grid) for name, volume in zip(MODALITIES, volumes, strict=True)}
    return Phantom(images, _image(labels, grid))


def phantom_arrays(seed: int, slices: int = FULL_SLICES) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """The same as arrays: int16 `[modality, slice, row, column]` in the order of `MODALITIES`, uint8 labels."""
    if not 1 <= slices <= FULL_SLICES:
        raise InputError(f"A phantom of {slices} slices cannot be made: choose from 1 to {FULL_SLICES}.")
    if seed < 0:
        raise InputError(f"Seed {seed} is negative: choose 0 or a positive whole number.")
    streams = [np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(2 + len(MODALITIES))]
    anatomy, tumour = _head(streams[0])
    full = image_grid(slices)
    grid = Grid(full.z, Axis(26.0, 1.0, 199), Axis(42.0, 1.0, 155))
    shares, brain, labels = _composed(streams[1], anatomy, tumour, grid)
    box = (slice(None), slice(26, 26 + grid.y.count), slice(42, 42 + grid.x.count))
    volumes = np.zeros((len(MODALITIES), *full.shape), np.int16)
    for volume, modality, stream in zip(volumes, MODALITIES, streams[2:], strict=True):
        volume[box] = expose(stream, modality, shares, brain, grid)
    whole = np.zeros(full.shape, np.uint8)
    whole[box] = labels
    return volumes, whole


def write_phantom(folder: Path | str, name: str, phantom: Phantom) -> Path:
    """Write `<folder>/<name>/<name>_<modality>.nii.gz` and `_seg.nii.gz`; returns the case's folder."""
    case = Path(folder) / name
    case.mkdir(parents=True, exist_ok=True)
    for suffix, image in (*phantom.images.items(), ("seg", phantom.labels)):
        sitk.WriteImage(image, str(case / f"{name}_{suffix}.nii.gz"), useCompression=True, compressionLevel=1)
    return case


def _head(rng: np.random.Generator) -> tuple[Anatomy, Tumour]:
    points = COARSE.points()
    plan = plan_tumour(rng)
    origins = pushed_aside(plan, *points, outline(points))
    anatomy = build_anatomy(rng, origins, size=float(np.exp(rng.normal(0, 0.25))))
    across = beyond(-plan.side * (points[2] - MIDLINE))
    barrier = np.maximum(beyond(np.float32(1.5) - anatomy.hull), beyond(anatomy.ventricles + 1))
    barrier = np.maximum(barrier, across * np.where(anatomy.bridge > 3, np.float32(0.4), np.float32(2.0)))
    barrier = np.maximum(barrier, beyond(np.maximum(anatomy.cerebellum, anatomy.stem) + 1))
    return anatomy, grow(rng, plan, COARSE, points, barrier, _cortex_depth(anatomy))


def _cortex_depth(anatomy: Anatomy) -> Field:
    """Depth below the nearest surface of the cerebral cortex, sulci and fissures included, mm."""
    sulcus = np.sqrt(anatomy.sulci**2 + beyond(anatomy.sulcus_end) ** 2)
    fissure = np.sqrt(anatomy.midline**2 + beyond(anatomy.bridge) ** 2)
    insula = np.sqrt(anatomy.insula**2 + anatomy.insula_end**2)
    depth: Field = np.minimum(np.minimum(anatomy.surface, sulcus), np.minimum(fissure, insula))
    return depth


def _composed(
    rng: np.random.Generator, coarse: Anatomy, tumour: Tumour, grid: Grid
) -> tuple[dict[str, Field], NDArray[np.bool_], NDArray[np.uint8]]:
    """Tissue shares in drawing order, the brain mask and the labels, on the image grid."""
    head = Anatomy(**{name: resampled(field, COARSE, grid) for name, field in vars(coarse).items()})
    core, interior, whole = (resampled(f, COARSE, grid) for f in (tumour.core, tumour.interior, tumour.whole))
    shares = _tissues(rng, head, grid)
    enhances = tumour.plan.rim_mm > 0
    shares["oedema"] = membership(whole, 3.0)
    shares["enhancing" if enhances else "tumour"] = membership(core, 1.6 if enhances else 3.0)
    if enhances:
        shares["necrosis"] = membership(np.minimum(core, interior), 1.6)
    brain = head.hull > 0
    labels = np.zeros(grid.shape, np.uint8)
    labels[brain & (whole > 0)] = OEDEMA
    labels[brain & (core > 0)] = ENHANCING if enhances else NECROSIS
    labels[brain & (core > 0) & (interior > 0)] = NECROSIS
    return shares, brain, labels


def _tissues(rng: np.random.Generator, head: Anatomy, grid: Grid) -> dict[str, Field]:
    depth = _cortex_depth(head)
    width = np.float32(0.7) + np.float32(0.5) * smooth_noise(rng, grid, 16.0)
    in_cerebellum = membership(head.cerebellum)
    in_stem = membership(head.stem, 2.0)
    cortex = membership(np.float32(3.4) - depth, 1.4) * (1 - in_cerebellum) * (1 - in_stem)
    csf = membership(width - depth, 1.2) * (1 - in_cerebellum) * (1 - in_stem)
    folia = in_cerebellum * np.clip(
        np.float32(0.75) + np.float32(0.35) * head.folia - head.cerebellum * np.float32(0.04), 0, 1
    )
    vessels = csf * np.clip(smooth_noise(rng, grid, 7.0) - np.float32(1.1), 0, 1)
    return {
        "nuclei": np.maximum(membership(head.nuclei, 2.0), np.float32(0.6) * membership(head.thalami, 3.0)),
        "stem": in_stem,
        "grey": np.maximum(cortex, folia),
        "csf": np.maximum(csf, membership(head.ventricles, 1.6)),
        "vessel": vessels,
    }


def _image(array: NDArray[np.int16] | NDArray[np.uint8], grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, grid.z.step_mm))
    image.SetOrigin((0.0, -239.0, grid.z.start))
    return image
