"""The router: what a decision network says, in the engine's terms."""

import numpy as np
import pytest

from DynamicSegLib.cost import Cost
from DynamicSegLib.routing import DecisionRouter


def test_logits_become_probabilities_qualities_and_pixels() -> None:
    def network(slices: np.ndarray) -> tuple[np.ndarray, ...]:
        n = len(slices)
        choice = np.tile(np.log(np.array([[0.2, 0.5, 0.3]], np.float32)), (n, 1))
        return choice, np.tile(np.array([[0.0, 2.0]], np.float32), (n, 1)), np.full(n, np.log1p(400.0), np.float32)

    router = DecisionRouter(network, lambda size: Cost(size[0] * size[1]))
    prediction = router.predict(np.zeros((3, 4, 8, 8), np.float32))
    np.testing.assert_allclose(prediction.quality, np.tile([[0.2, 0.5, 1 / (1 + np.exp(-2.0))]], (3, 1)), rtol=1e-5)
    np.testing.assert_allclose(prediction.area, 400.0, rtol=1e-4)
    assert prediction.choice.tolist() == [1, 1, 1]
    assert router.cost((8, 8)).macs == 64


@pytest.mark.parametrize(("log_area", "area"), [(-3.0, 0.0), (1000.0, np.expm1(14.0))])
def test_a_wild_area_stays_finite_and_not_negative(log_area: float, area: float) -> None:
    def network(slices: np.ndarray) -> tuple[np.ndarray, ...]:
        return np.zeros((1, 2), np.float32), np.zeros((1, 1), np.float32), np.array([log_area], np.float32)

    prediction = DecisionRouter(network, lambda _: Cost()).predict(np.zeros((1, 4, 8, 8), np.float32))
    assert prediction.area[0] == pytest.approx(area, rel=1e-4)
