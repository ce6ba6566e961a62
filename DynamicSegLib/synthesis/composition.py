"""From fields to voxels: the share of each tissue, the brain's mask and the labels, on the image's grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.synthesis.anatomy import COARSE, Anatomy, cortex_depth
from DynamicSegLib.synthesis.fields import Field, Grid, beyond, membership, resampled, smooth_noise
from DynamicSegLib.synthesis.head import Head
from DynamicSegLib.synthesis.tumour import ENHANCING, NECROSIS, OEDEMA, Tumour


@dataclass(frozen=True)
class Tissue:
    """What is where, all `[slice, row, column]`.

    shares: tissue -> share of the voxel, 0 to 1, in drawing order (later covers earlier; white matter is what is left).
    brain: where the skull-stripped image is not zero. labels: uint8, 0, 1, 2 and 4.
    """

    shares: dict[str, Field]
    brain: NDArray[np.bool_]
    labels: NDArray[np.uint8]


def compose(rng: np.random.Generator, head: Head, grid: Grid) -> Tissue:
    """`head` on the image's `grid`, with the detail that is finer than its own."""
    anatomy = Anatomy(**{name: resampled(field, COARSE, grid) for name, field in vars(head.anatomy).items()})
    brain = anatomy.hull > 0
    shares = _healthy(rng, anatomy, head.size, grid)
    labels = _lesions(rng, shares, head.tumour, grid)
    labels[~brain] = 0
    return Tissue(shares, brain, labels)


def _healthy(rng: np.random.Generator, anatomy: Anatomy, size: float, grid: Grid) -> dict[str, Field]:
    elsewhere = np.maximum(membership(anatomy.cerebellum), membership(anatomy.stem, 2.0))
    depth = cortex_depth(anatomy)
    detail = smooth_noise(rng, grid, 6.0)
    thickness = np.float32(3.7) + np.float32(0.6) * detail
    cortex = membership(thickness - depth, 1.6) * (1 - elsewhere)
    width = np.float32(0.5 * size) + np.float32(0.4) * smooth_noise(rng, grid, 13.0)
    csf = membership(width - depth, 1.3) * (1 - elsewhere)
    caps = membership(anatomy.ventricles + 2 + detail, 3.0)
    return {
        "caps": caps * np.float32(0.6),
        "nuclei": np.maximum(membership(anatomy.nuclei, 2.0), np.float32(0.6) * membership(anatomy.thalami, 3.0)),
        "stem": membership(anatomy.stem, 2.0),
        "grey": np.maximum(cortex, _cerebellar_grey(rng, anatomy, grid)),
        "csf": np.maximum(csf, membership(anatomy.ventricles, 1.6)),
        "dura": membership(np.float32(0.8) + detail - anatomy.hull, 1.5),
        "vessel": _vessels(detail, anatomy, csf) * (1 - membership(anatomy.stem, 2.0)),
    }


def _cerebellar_grey(rng: np.random.Generator, anatomy: Anatomy, grid: Grid) -> Field:
    """Folia: thin leaves, mostly grey, around a core of white matter."""
    leaves = smooth_noise(rng, grid, (1.8, 3.0, 12.0))
    core = membership(anatomy.cerebellum - 10 - 2 * leaves, 5.0)
    grey: Field = membership(anatomy.cerebellum) * np.clip(np.float32(0.8) + np.float32(0.25) * leaves - core, 0, 1)
    return grey


def _vessels(detail: Field, anatomy: Anatomy, csf: Field) -> Field:
    """What takes up contrast without being tumour: veins in the sulci, the great sinus, the choroid plexus."""
    veins = csf * np.clip(detail - np.float32(0.5), 0, 1)
    edge = np.sqrt(anatomy.midline**2 + beyond(anatomy.surface) ** 2)
    sinus = membership(np.float32(1.8) + detail - edge, 2.0) * membership(4 - anatomy.surface, 3.0)
    plexus = np.float32(0.7) * membership(anatomy.plexus + detail, 2.0) * membership(anatomy.ventricles, 2.0)
    vessels: Field = np.maximum(np.maximum(veins, sinus), plexus)
    return vessels


def _lesions(rng: np.random.Generator, shares: dict[str, Field], tumour: Tumour, grid: Grid) -> NDArray[np.uint8]:
    """Add the tumour's tissues to `shares`; the labels are where its surfaces are."""
    core, interior, whole = (resampled(field, COARSE, grid) for field in (tumour.core, tumour.interior, tumour.whole))
    # Water thins out towards the edge of the oedema; the expert's line lies where it is still seen.
    water = np.float32(0.65) + np.float32(0.03) * whole + np.float32(0.13) * smooth_noise(rng, grid, 9.0)
    shares["oedema"] = membership(whole, 3.5) * np.clip(water, 0.3, 1)
    labels = np.zeros(grid.shape, np.uint8)
    labels[whole > 0] = OEDEMA
    if tumour.plan.rim_mm > 0:
        shares["enhancing"] = membership(core, 1.8)
        shares["necrosis"] = membership(np.minimum(core, interior), 1.8)
        labels[core > 0] = ENHANCING
        labels[(core > 0) & (interior > 0)] = NECROSIS
    else:
        shares["tumour"] = membership(core, 3.0)
        labels[core > 0] = NECROSIS
    return labels
