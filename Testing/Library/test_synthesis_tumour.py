"""Tumours: what is drawn, and that what grows respects its barriers."""

from dataclasses import replace

import numpy as np
import pytest

from DynamicSegLib.synthesis.fields import Axis, Field, Grid, Points
from DynamicSegLib.synthesis.tumour import Tumour, TumourPlan, grow, plan_tumour, pushed_aside

GRID = Grid(z=Axis(50.0, 2.0, 30), y=Axis(80.0, 2.0, 40), x=Axis(120.0, 2.0, 36))
PLAN = TumourPlan(
    side=1,
    centre=(80.0, 120.0, 155.0),
    semi_axes=(16.0, 18.0, 15.0),
    rim_mm=4.0,
    oedema_mm=10.0,
    lobulation=0.2,
    islands=1.5,
)


def grown(plan: TumourPlan, barrier: Field | None = None) -> Tumour:
    points = GRID.points()
    nothing = np.zeros(GRID.shape, np.float32)
    deep = np.full(GRID.shape, 20, np.float32)
    return grow(np.random.default_rng(5), plan, GRID, points, nothing if barrier is None else barrier, deep)


def moved_by(plan: TumourPlan, points: Points, depth_mm: float) -> Field:
    depth = np.full(points[0].shape, depth_mm, np.float32)
    origins = pushed_aside(plan, points, depth)
    shifts = [(now - origin) ** 2 for now, origin in zip(points, origins, strict=True)]
    return np.sqrt(shifts[0] + shifts[1] + shifts[2])


def test_drawn_tumours_are_of_every_kind_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    plans = [plan_tumour(rng) for _ in range(200)]
    assert {plan.side for plan in plans} == {-1, 1}
    silent = sum(plan.rim_mm == 0 for plan in plans) / len(plans)
    solid = sum(plan.rim_mm > 2 * plan.radius for plan in plans) / len(plans)
    assert 0.1 < silent < 0.3
    assert 0.05 < solid < 0.2
    assert all(5 < plan.radius < 45 for plan in plans)


def test_the_core_lies_in_the_whole() -> None:
    tumour = grown(PLAN)
    assert np.all(tumour.whole >= tumour.core)


def test_a_core_without_lobes_has_the_planned_volume() -> None:
    tumour = grown(replace(PLAN, lobulation=0.0))
    planned_ml = 4 / 3 * np.pi * PLAN.radius**3 / 1000
    assert (tumour.core > 0).sum() * 8 / 1000 == pytest.approx(planned_ml, rel=0.15)


def test_a_wider_rim_leaves_less_interior() -> None:
    interiors = [(grown(replace(PLAN, rim_mm=rim)).interior > 0).sum() for rim in (2.0, 5.0, 9.0)]
    assert interiors[0] > interiors[1] > interiors[2]


def test_no_tumour_grows_far_beyond_a_barrier() -> None:
    x = GRID.points()[2]
    wall = np.maximum(150 - x, 0).astype(np.float32) * 3
    assert np.any(grown(PLAN).whole[x < 140] > 0)
    assert not np.any(grown(PLAN, wall).whole[x < 140] > 0)


def test_the_whole_tumour_hangs_together_with_its_core() -> None:
    tumour = grown(replace(PLAN, oedema_mm=18.0))
    filled = tumour.core > 0
    inside = tumour.whole > 0
    for _ in range(sum(GRID.shape)):
        spread = filled.copy()
        for axis in range(3):
            for step in (-1, 1):
                neighbour = np.roll(filled, step, axis)
                edge = [slice(None)] * 3
                edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
                neighbour[tuple(edge)] = False
                spread |= neighbour
        filled = spread & inside
    assert np.array_equal(filled, inside)


def test_tissue_near_the_core_is_pushed_and_the_surface_of_the_brain_stays() -> None:
    near = tuple(np.array([value], np.float32) for value in (80.0, 120.0, 135.0))
    far = tuple(np.array([value], np.float32) for value in (80.0, 120.0, 60.0))
    points: Points = (near[0], near[1], near[2])
    away: Points = (far[0], far[1], far[2])
    assert moved_by(PLAN, points, 20.0) > 2
    assert moved_by(PLAN, points, 20.0) > 3 * moved_by(PLAN, away, 20.0)
    assert moved_by(PLAN, points, 0.0) == 0
