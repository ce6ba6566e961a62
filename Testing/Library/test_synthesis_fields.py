"""Fields: noise, distances and resampling, against what can be worked out by hand."""

import numpy as np
import pytest

from DynamicSegLib.synthesis.fields import (
    Axis,
    Grid,
    beyond,
    ellipsoid_depth,
    membership,
    resampled,
    sampled,
    smooth_noise,
    soft_union,
)

GRID = Grid(z=Axis(-4.0, 2.0, 10), y=Axis(10.0, 2.0, 12), x=Axis(0.0, 2.0, 14))


def linear_field(grid: Grid) -> np.ndarray:
    z, y, x = grid.points()
    return 2 * z - 3 * y + 0.5 * x + 7


def test_resampling_a_linear_field_gives_it_exactly_at_every_point_inside() -> None:
    fine = Grid(z=Axis(-3.5, 0.7, 20), y=Axis(11.0, 1.0, 20), x=Axis(0.25, 0.5, 50))
    assert np.allclose(resampled(linear_field(GRID), GRID, fine), linear_field(fine), atol=1e-3)


def test_resampling_holds_the_border_value_beyond_the_grid() -> None:
    beyond_the_end = Grid(z=Axis(40.0, 1.0, 2), y=Axis(12.0, 1.0, 2), x=Axis(4.0, 1.0, 2))
    at_the_end = Grid(z=Axis(14.0, 0.0, 2), y=beyond_the_end.y, x=beyond_the_end.x)
    values = resampled(linear_field(GRID), GRID, beyond_the_end)
    assert np.allclose(values, resampled(linear_field(GRID), GRID, at_the_end), atol=1e-3)


def test_reading_at_scattered_points_is_linear_between_grid_points() -> None:
    rng = np.random.default_rng(3)
    z, y, x = (rng.uniform(low, high, 50).astype(np.float32) for low, high in ((-4, 13), (10, 31), (0, 25)))
    assert np.allclose(sampled(linear_field(GRID), GRID, z, y, x), 2 * z - 3 * y + 0.5 * x + 7, atol=2e-3)


@pytest.mark.parametrize("scale", [3.0, 6.0, (2.0, 4.0, 8.0)])
def test_noise_has_mean_0_and_deviation_1(scale: float | tuple[float, float, float]) -> None:
    grid = Grid(*(Axis(0.0, 1.0, 72) for _ in "zyx"))
    noise = smooth_noise(np.random.default_rng(0), grid, scale)
    assert noise.dtype == np.float32
    assert abs(noise.mean()) < 0.15
    assert noise.std() == pytest.approx(1, abs=0.1)


def test_noise_of_a_larger_scale_changes_less_from_voxel_to_voxel() -> None:
    grid = Grid(*(Axis(0.0, 1.0, 48) for _ in "zyx"))
    steps = [np.abs(np.diff(smooth_noise(np.random.default_rng(0), grid, scale))).mean() for scale in (2.0, 4.0, 8.0)]
    assert steps[0] > 1.5 * steps[1] > 2.25 * steps[2]


def test_depth_in_a_sphere_is_its_radius_minus_the_distance() -> None:
    distance = np.array([1.0, 5.0, 9.0, 10.0, 13.0], np.float32)
    zero = np.zeros_like(distance)
    assert np.allclose(ellipsoid_depth(zero, distance, zero, (10, 10, 10)), 10 - distance, atol=2e-3)


def test_a_soft_union_equals_the_union_away_from_the_corner_and_fills_the_corner() -> None:
    first, second = np.array([5.0, 2.0], np.float32), np.array([-5.0, 2.0], np.float32)
    assert soft_union(first, second, 4.0).tolist() == [5.0, 3.0]


def test_membership_is_half_on_the_surface_and_whole_half_an_edge_inside() -> None:
    assert membership(np.array([-1.0, 0.0, 0.5, 1.0, 4.0], np.float32), 2.0).tolist() == [0.0, 0.5, 0.75, 1.0, 1.0]


def test_beyond_keeps_the_positive_part() -> None:
    assert beyond(np.array([-2.0, 0.0, 3.0], np.float32)).tolist() == [0.0, 0.0, 3.0]
