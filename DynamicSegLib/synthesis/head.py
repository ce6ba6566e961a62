"""One head: its anatomy, bent by its tumour, and the tumour, kept within what tumours respect."""

from dataclasses import dataclass

import numpy as np

from DynamicSegLib.synthesis.anatomy import COARSE, MIDLINE, Anatomy, build_anatomy, cortex_depth, outline
from DynamicSegLib.synthesis.fields import Field, Points, beyond
from DynamicSegLib.synthesis.tumour import Tumour, TumourPlan, grow, plan_tumour, pushed_aside


@dataclass(frozen=True)
class Head:
    """Anatomy and tumour as fields on the `COARSE` grid. `size` of ventricles and sulci: 1 is usual."""

    anatomy: Anatomy
    tumour: Tumour
    size: float


def build_head(rng: np.random.Generator) -> Head:
    """Draw a tumour and the head it grows in."""
    points = COARSE.points()
    plan = plan_tumour(rng)
    size = float(np.exp(rng.normal(0, 0.25)))
    anatomy = build_anatomy(rng, pushed_aside(plan, points, outline(points)), size)
    tumour = grow(rng, plan, COARSE, points, _barrier(plan, points, anatomy), cortex_depth(anatomy))
    return Head(anatomy, tumour, size)


def _barrier(plan: TumourPlan, points: Points, anatomy: Anatomy) -> Field:
    """How far each point lies beyond what a tumour crosses: skull, ventricles, falx, tentorium; mm."""
    across = beyond(-plan.side * (points[2] - MIDLINE))
    falx = across * np.where(anatomy.bridge > 3, np.float32(0.4), np.float32(2.0))
    skull = beyond(np.float32(1.5) - anatomy.hull)
    ventricles = beyond(anatomy.ventricles + 1)
    tentorium = beyond(np.maximum(anatomy.cerebellum, anatomy.stem) + 1)
    return np.maximum.reduce((falx, skull, ventricles, tentorium))
