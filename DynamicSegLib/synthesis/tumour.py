"""A glioma grown into the head: where it sits, its core, its enhancing rim and its oedema."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from DynamicSegLib.synthesis.fields import Field, Grid, Points, beyond, ellipsoid_depth, smooth_noise

NECROSIS, OEDEMA, ENHANCING = 1, 2, 4


@dataclass(frozen=True)
class TumourPlan:
    """The numbers of one tumour. Coordinates and lengths in mm of the head; `side` is +1 left, -1 right.

    `rim_mm` is 0 where nothing enhances (as in most low-grade gliomas) and larger than the core where all of it does.
    """

    side: int
    centre: tuple[float, float, float]
    semi_axes: tuple[float, float, float]
    rim_mm: float
    oedema_mm: float
    lobulation: float
    islands: float

    @property
    def radius(self) -> float:
        return float(np.cbrt(np.prod(self.semi_axes)))


@dataclass(frozen=True)
class Tumour:
    """Signed depth fields in mm, positive inside: of the core, of the non-enhancing part, and of everything."""

    plan: TumourPlan
    core: Field
    interior: Field
    whole: Field


def plan_tumour(rng: np.random.Generator) -> TumourPlan:
    """Draw one tumour: four in five enhance, most of them with a necrotic centre, as adult gliomas do."""
    side = int(rng.choice((-1, 1)))
    lateral = rng.uniform(20, 46)
    centre = (rng.uniform(58, 104), rng.uniform(82, 172), 119.5 + side * lateral)
    radius = np.clip(np.exp(rng.normal(2.95, 0.32)), 10, 34) * (0.85 if lateral < 27 else 1.0)
    semi_axes = tuple(radius * np.exp(rng.normal(0, 0.16, 3)))
    kind = rng.choice(("ring", "solid", "silent"), p=(0.68, 0.12, 0.20))
    rim = {"ring": np.exp(rng.normal(1.5, 0.4)), "solid": 60.0, "silent": 0.0}[str(kind)]
    if kind == "solid":
        semi_axes = tuple(axis * 0.7 for axis in semi_axes)
    oedema = rng.uniform(2, 9) if kind == "silent" else rng.uniform(4, 22)
    return TumourPlan(
        side=side,
        centre=centre,
        semi_axes=(float(semi_axes[0]), float(semi_axes[1]), float(semi_axes[2])),
        rim_mm=rim,
        oedema_mm=oedema,
        lobulation=rng.uniform(0.12, 0.30),
        islands=rng.uniform(0.8, 2.2),
    )


def pushed_aside(plan: TumourPlan, points: Points, depth: Field) -> Points:
    """Where the tissue now at each of `points` came from: the core displaced it, less so near the skull."""
    z, y, x = points
    dz, dy, dx = z - plan.centre[0], y - plan.centre[1], x - plan.centre[2]
    reach = np.float32(1.6 * plan.radius + 8)
    fall = 1 / (1 + (dz**2 + dy**2 + dx**2) / reach**2) ** 2
    pull = np.float32(0.5) * fall * np.clip(depth / 14, 0, 1)
    return z - dz * pull, y - dy * pull, x - dx * pull


def grow(
    rng: np.random.Generator,
    plan: TumourPlan,
    grid: Grid,
    points: Points,
    barrier: Field,
    cortex_depth: Field,
) -> Tumour:
    """Grow the planned tumour on `grid`.

    Parameters
    ----------
    points: z, y, x of the grid.
    barrier: mm by which a point lies beyond what the tumour may cross (skull, ventricles, the other hemisphere).
    cortex_depth: mm below the nearest surface of the cortex; oedema follows the white matter under it.
    """
    z, y, x = (p - np.float32(c) for p, c in zip(points, plan.centre, strict=True))
    radius = plan.radius
    base = ellipsoid_depth(*_turned(rng, z, y, x), plan.semi_axes)
    lobes = smooth_noise(rng, grid, max(radius * 0.65, 6.0)) * np.float32(plan.lobulation * radius)
    ragged = smooth_noise(rng, grid, 4.5) * np.float32(0.9)
    core = base + lobes + ragged - np.float32(1.2) * beyond(barrier)
    thickness = np.float32(plan.rim_mm) * (1 + np.float32(0.45) * smooth_noise(rng, grid, 8.0))
    interior = core - thickness - np.float32(1.0) * smooth_noise(rng, grid, 4.0)
    islands = smooth_noise(rng, grid, 5.0)
    if 0 < plan.rim_mm < radius:
        interior = np.minimum(interior, np.float32(2.5) * (np.float32(plan.islands) - islands))
    fingers = smooth_noise(rng, grid, 13.0) + np.float32(0.45) * smooth_noise(rng, grid, 6.0)
    extent = np.float32(plan.oedema_mm) * (np.float32(0.85) + np.float32(0.55) * fingers)
    cortex_spared = np.float32(1.6) * beyond(np.float32(4.5) - cortex_depth)
    whole = base + lobes + extent - cortex_spared - np.float32(2.5) * beyond(barrier)
    return Tumour(plan, core=core, interior=interior, whole=_in_one_piece(np.maximum(whole, core), core))


def _in_one_piece(whole: Field, core: Field) -> Field:
    """`whole` without the pieces that do not hang together with the core."""
    pieces = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray((whole > 0).astype(np.uint8))))
    holding_core = np.bincount(pieces[core > 0], minlength=2)
    stray = (pieces > 0) & (pieces != holding_core.argmax())
    kept: Field = np.where(stray, np.float32(-4), whole)
    return kept


def _turned(rng: np.random.Generator, z: Field, y: Field, x: Field) -> Points:
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = [a * z + b * y + c * x for a, b, c in axes.astype(np.float32)]
    return turned[0], turned[1], turned[2]
