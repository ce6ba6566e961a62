"""From fields to voxels: the share of each tissue and the labels of each voxel of the brain."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.synthesis.anatomy import COARSE, Anatomy, cortex_depth
from DynamicSegLib.synthesis.fields import Field, Grid, beyond, membership, resampled, smooth_noise
from DynamicSegLib.synthesis.head import Head
from DynamicSegLib.synthesis.tumour import ENHANCING, NECROSIS, OEDEMA, Tumour


@dataclass(frozen=True)
class Tissue:
    """What is where in the brain's voxels.

    inside: flat indices of these voxels in an array `[slice, row, column]`; the others are 0 in a stripped image.
    shares: tissue -> share of each voxel, 0 to 1, in drawing order: later covers earlier, white matter is what is left.
    labels: uint8 of each voxel: 0, 1, 2 or 4.
    """

    inside: NDArray[np.intp]
    shares: dict[str, Field]
    labels: NDArray[np.uint8]


def compose(rng: np.random.Generator, head: Head, grid: Grid) -> Tissue:
    """`head` on the image's `grid`, with the detail that is finer than its own."""
    inside = np.flatnonzero(resampled(head.anatomy.hull, COARSE, grid) > 0)

    def noise(scale_mm: float | tuple[float, float, float]) -> Field:
        return smooth_noise(rng, grid, scale_mm).ravel()[inside]

    def refined(field: Field) -> Field:
        return resampled(field, COARSE, grid).ravel()[inside]

    anatomy = Anatomy(**{name: refined(field) for name, field in vars(head.anatomy).items()})
    shares = _healthy(noise, anatomy, head.size)
    tumour = replace(
        head.tumour,
        core=refined(head.tumour.core),
        interior=refined(head.tumour.interior),
        whole=refined(head.tumour.whole),
    )
    shares.update(_lesions(noise, tumour))
    return Tissue(inside, shares, _labels(tumour))


_Noise = Callable[[float | tuple[float, float, float]], Field]


def _healthy(noise: _Noise, anatomy: Anatomy, size: float) -> dict[str, Field]:
    elsewhere = np.maximum(membership(anatomy.cerebellum), membership(anatomy.stem, 2.0))
    depth = cortex_depth(anatomy)
    detail = noise(6.0)
    thickness = np.float32(3.7) + np.float32(0.6) * detail
    cortex = membership(thickness - depth, 1.6) * (1 - elsewhere)
    width = np.float32(0.5 * size) + np.float32(0.4) * noise(13.0)
    csf = membership(width - depth, 1.3) * (1 - elsewhere)
    caps = membership(anatomy.ventricles + 2 + detail, 3.0)
    return {
        "caps": caps * np.float32(0.6),
        "nuclei": np.maximum(membership(anatomy.nuclei, 2.0), np.float32(0.6) * membership(anatomy.thalami, 3.0)),
        "stem": membership(anatomy.stem, 2.0),
        "grey": np.maximum(cortex, _cerebellar_grey(noise, anatomy)),
        "csf": np.maximum(csf, membership(anatomy.ventricles, 1.6)),
        "dura": membership(np.float32(0.8) + detail - anatomy.hull, 1.5),
        "vessel": _vessels(detail, anatomy, csf) * (1 - membership(anatomy.stem, 2.0)),
    }


def _cerebellar_grey(noise: _Noise, anatomy: Anatomy) -> Field:
    """Folia: thin leaves, mostly grey, around a core of white matter."""
    leaves = noise((1.8, 3.0, 12.0))
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


def _lesions(noise: _Noise, tumour: Tumour) -> dict[str, Field]:
    # Water thins out towards the edge of the oedema; the expert's line lies where it is still seen.
    water = np.float32(0.76) + np.float32(0.02) * tumour.whole + np.float32(0.13) * noise(9.0)
    oedema = membership(tumour.whole, 3.5) * np.clip(water, 0.3, 1)
    if tumour.plan.rim_mm == 0:
        return {"oedema": oedema, "tumour": membership(tumour.core, 3.0)}
    return {
        "oedema": oedema,
        "enhancing": membership(tumour.core, 1.8),
        "necrosis": membership(np.minimum(tumour.core, tumour.interior), 1.8),
    }


def _labels(tumour: Tumour) -> NDArray[np.uint8]:
    labels = np.where(tumour.whole > 0, np.uint8(OEDEMA), np.uint8(0))
    labels[tumour.core > 0] = ENHANCING
    # Without a rim the interior is the whole core: tumour that does not enhance shares its label with necrosis.
    labels[(tumour.core > 0) & ((tumour.interior > 0) | (tumour.plan.rim_mm == 0))] = NECROSIS
    return labels
