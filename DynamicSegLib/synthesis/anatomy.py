"""The head without its tumour: hull, hemispheres, folded cortex, ventricles, deep grey nuclei, cerebellum, stem."""

from dataclasses import dataclass

import numpy as np

from DynamicSegLib.synthesis.fields import (
    Axis,
    Field,
    Grid,
    Points,
    beyond,
    ellipsoid_depth,
    sampled,
    smooth_noise,
    soft_union,
)

COARSE = Grid(z=Axis(-2.0, 2.0, 80), y=Axis(26.0, 2.0, 100), x=Axis(42.0, 2.0, 78))
"""The grid on which anatomy is made; smooth fields need no finer one."""

MIDLINE = 119.5
BRIDGE = ((66.0, 130.0, 24.0, 46.0, 26.0), (48.0, 132.0, 20.0, 22.0, 26.0))
"""Where the hemispheres are joined (callosum and thalami, midbrain): centre z, y and semi-axes z, y, x."""


@dataclass(frozen=True)
class Anatomy:
    """Fields on the `COARSE` grid, in mm. Depths are positive inside.

    hull: below the outline of the skull-stripped image.
    surface: below the outline of the brain itself, cisterns and the gap above the cerebellum cut out.
    sulci: signed distance to the sheets of the sulci; they end where `sulcus_end` is positive.
    midline: signed distance to the plane between the hemispheres; `bridge`: depth inside what joins them.
    insula: signed distance to the sheet of the lateral fissure; `insula_end`: distance to the sheet's edge.
    ventricles, plexus, nuclei, thalami, cerebellum, stem: depths.
    """

    hull: Field
    surface: Field
    sulci: Field
    sulcus_end: Field
    midline: Field
    bridge: Field
    insula: Field
    insula_end: Field
    ventricles: Field
    plexus: Field
    nuclei: Field
    thalami: Field
    cerebellum: Field
    stem: Field


def outline(points: Points) -> Field:
    """Depth below the unperturbed outline of the cerebrum, mm; good enough to place things in it."""
    z, y, x = points
    return ellipsoid_depth(z - 72, y - 128, x - MIDLINE, (66, 84, 67))


def build_anatomy(rng: np.random.Generator, points: Points, size: float) -> Anatomy:
    """Draw one head.

    Parameters
    ----------
    points: z, y, x on the `COARSE` grid, already warped by what pushes tissue aside.
    size: of the ventricles and sulci; 1 is usual, 1.6 an old brain.
    """
    z, y, x = _deformed(rng, points)
    midline = x - MIDLINE + np.float32(1.2) * smooth_noise(rng, COARSE, 22.0)
    lateral = np.abs(midline)
    cerebrum = _cerebrum(z, y, lateral)
    cerebellum = _cerebellum(z, y, lateral)
    stem = _stem(z, y, lateral)
    rough = np.float32(0.8) * smooth_noise(rng, COARSE, 6.0)
    hull = soft_union(soft_union(cerebrum, cerebellum, 10.0), stem, 14.0) + rough
    gap = np.where(cerebellum > 0, cerebellum, np.maximum(cerebrum, stem))
    surface = np.where(cerebellum > 0, gap, np.minimum(gap, np.maximum(-cerebellum, stem - 3)))
    bridge = _bridge(z, y, lateral)
    sulci, sulcus_limit = _sulci(rng, (z, y, x), size)
    insula, insula_end = _insula(z, y, lateral)
    wavy = np.float32(0.9) * smooth_noise(rng, COARSE, 9.0)
    return Anatomy(
        hull=hull,
        surface=surface,
        sulci=sulci,
        sulcus_end=np.maximum(cerebrum - sulcus_limit, bridge),
        midline=midline,
        bridge=bridge + wavy,
        insula=insula + np.float32(1.5) * smooth_noise(rng, COARSE, 12.0),
        insula_end=insula_end,
        ventricles=_ventricles(z, y, lateral, size) + wavy,
        plexus=ellipsoid_depth(z - 72, y - 154, lateral - 21, (6, 9, 4)),
        nuclei=_nuclei(z, y, lateral) + wavy,
        thalami=ellipsoid_depth(z - 67, y - 131, lateral - 9, (9, 13, 8)) + wavy,
        cerebellum=cerebellum,
        stem=stem,
    )


def cortex_depth(anatomy: Anatomy) -> Field:
    """Depth below the nearest surface of the cerebral cortex, sulci and fissures included, mm."""
    sulcus = np.sqrt(anatomy.sulci**2 + beyond(anatomy.sulcus_end) ** 2)
    fissure = np.sqrt(anatomy.midline**2 + beyond(anatomy.bridge) ** 2)
    insula = np.sqrt(anatomy.insula**2 + anatomy.insula_end**2)
    return np.minimum(np.minimum(anatomy.surface, sulcus), np.minimum(fissure, insula))


def _deformed(rng: np.random.Generator, points: Points) -> Points:
    scale = np.exp(rng.normal(0, 0.025, 3)).astype(np.float32)
    centre = (72.0, 128.0, MIDLINE)
    bends = [np.float32(2.2) * smooth_noise(rng, COARSE, 34.0) for _ in range(3)]
    z, y, x = (
        (point - np.float32(c)) * s + np.float32(c) + bend
        for point, c, s, bend in zip(points, centre, scale, bends, strict=True)
    )
    return z, y, x


def _cerebrum(z: Field, y: Field, lateral: Field) -> Field:
    upper = ellipsoid_depth(z - 72, y - 128, lateral, (66, 83, 66))
    # Flat base under the frontal and occipital lobes: the lower half of the ellipsoid is cut by two planes.
    base = z - np.where(y < 100, np.float32(55), np.float32(55) - (y - 100) * np.float32(0.16))
    hemisphere = np.minimum(upper, base)
    temporal = ellipsoid_depth(z - 49, y - 117, lateral - 43, (24, 43, 23))
    return soft_union(hemisphere, temporal, 8.0)


def _cerebellum(z: Field, y: Field, lateral: Field) -> Field:
    lobe = ellipsoid_depth(z - 31, y - 164, lateral - 17, (25, 30, 32))
    vermis = ellipsoid_depth(z - 36, y - 160, lateral, (22, 26, 20))
    return soft_union(lobe, vermis, 5.0)


def _stem(z: Field, y: Field, lateral: Field) -> Field:
    axis_y = 134 + (40 - z) * np.float32(0.14)
    radius = np.where(z < 20, np.float32(8), np.float32(13))
    column = radius - np.sqrt((y - axis_y) ** 2 + (lateral * np.float32(0.9)) ** 2)
    pons = ellipsoid_depth(z - 35, y - 130, lateral, (14, 15, 18))
    return soft_union(np.minimum(column, 66 - z), pons, 6.0)


def _sulci(rng: np.random.Generator, points: Points, size: float) -> tuple[Field, Field]:
    """Distance to sheets that stand upright on the surface, and how deep they go.

    The sheets are the zero level of noise drawn out along the radius.
    """
    bends = [np.float32(2.5) * smooth_noise(rng, COARSE, 8.0) for _ in range(3)]
    dz, dy, dx = (p - np.float32(c) + bend for p, c, bend in zip(points, (72, 130, MIDLINE), bends, strict=True))
    radius = np.sqrt((dz / 66) ** 2 + (dy / 84) ** 2 + (dx / 67) ** 2)
    stretch = np.maximum(radius, np.float32(0.3)) ** np.float32(-0.65)
    pattern = smooth_noise(rng, COARSE, 5.2)
    folds = sampled(pattern, COARSE, 72 + dz * stretch, 130 + dy * stretch, MIDLINE + dx * stretch)
    slopes = np.gradient(folds, COARSE.x.step_mm)
    slope = np.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2)
    depth = 17 + 4 * size + 6 * smooth_noise(rng, COARSE, 13.0)
    return folds / (slope + np.float32(0.02)), depth


def _bridge(z: Field, y: Field, lateral: Field) -> Field:
    upper, lower = (
        ellipsoid_depth(z - at_z, y - at_y, lateral, (height, length, width))
        for at_z, at_y, height, length, width in BRIDGE
    )
    return soft_union(upper, lower, 6.0)


def _insula(z: Field, y: Field, lateral: Field) -> tuple[Field, Field]:
    sheet = z - 62 - (y - 110) * np.float32(0.22)
    edge = np.sqrt(beyond(37 - lateral) ** 2 + beyond(y - 150) ** 2 + beyond(78 - y) ** 2)
    return sheet, edge


def _ventricles(z: Field, y: Field, lateral: Field, size: float) -> Field:
    horn = ellipsoid_depth(z - 76, y - 101, lateral - 8 - (101 - y) * np.float32(0.25), (9, 17, 5))
    body = ellipsoid_depth(z - 82, y - 128, lateral - 9, (6, 29, 7))
    trigone = ellipsoid_depth(z - 73, y - 160, lateral - 24 + (160 - y) * np.float32(0.45), (9, 20, 5))
    temporal = ellipsoid_depth(z - 50, y - 128, lateral - 33, (3, 15, 3))
    third = ellipsoid_depth(z - 62, y - 122, lateral, (9, 12, 2.2))
    fourth = ellipsoid_depth(z - 36, y - 148, lateral, (9, 5, 7))
    lateral_ventricle = soft_union(soft_union(horn, body, 6.0), trigone, 6.0)
    rest = np.maximum(np.maximum(temporal, third), fourth)
    ventricles: Field = np.maximum(
        lateral_ventricle + np.float32(3.0 * (size - 1)), rest + np.float32(1.0 * (size - 1))
    )
    return ventricles


def _nuclei(z: Field, y: Field, lateral: Field) -> Field:
    caudate = ellipsoid_depth(z - 75, y - 104, lateral - 15, (10, 12, 4.5))
    tail = ellipsoid_depth(z - 84, y - 125, lateral - 18, (3, 18, 3))
    lentiform = ellipsoid_depth(z - 66, y - 113, lateral - 25, (10, 17, 6.5))
    return np.maximum(np.maximum(caudate, tail), lentiform)
