"""Rules that spend the same budget: each stays within it, and the better informed reaches more."""

import numpy as np
import pytest

from DynamicSegLib.cost import Cost
from DynamicSegLib.evaluation.budget_rules import SHARES, HeldOut, compare_rules, rules_markdown, structures_of
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.evaluation.policies import Prices
from DynamicSegLib.routing import Prediction

PRICES = Prices((Cost(), Cost(100, 100_000_000), Cost(200, 200_000_000)), Cost(1, 1))


def case(seed: int) -> HeldOut:
    """Sixty slices, tumour on the middle third; M2 overlaps more of it than M1; the router sees it all, blurred."""
    rng = np.random.default_rng(seed)
    area = np.zeros(60, np.int64)
    area[20:40] = rng.integers(50, 900, 20)
    predicted = np.stack([area, area], axis=1)[:, :, None]
    common = np.stack([(0.7 * area).astype(int), (0.9 * area).astype(int)], axis=1)[:, :, None]
    overlaps = Overlaps(("WT",), area[:, None], predicted, common, area)
    quality = np.tile(np.array([[0.0, 0.7, 0.9]], np.float32), (60, 1))
    seen = (area * rng.uniform(0.8, 1.2, 60)).astype(np.float32)
    return HeldOut(Prediction(quality, seen, np.where(area > 0, 2, 0)), overlaps)


@pytest.fixture(scope="module")
def table() -> dict[str, list[float | None]]:
    rows = compare_rules([case(seed) for seed in range(3)], PRICES, ["M1", "M2"])
    assert structures_of(rows) == ["WT"]
    return {row.rule: [None if dice is None else dice["WT"] for dice in row.dice] for row in rows}


def test_every_rule_is_there(table: dict[str, list[float | None]]) -> None:
    assert list(table) == ["plan", "alpha", "M1 everywhere", "M2 everywhere", "random", "oracle"]


def test_a_rule_that_cannot_stay_within_a_budget_has_no_score_there(table: dict[str, list[float | None]]) -> None:
    affordable = [value is not None for value in table["M1 everywhere"]]
    assert affordable == [share >= 0.5 for share in SHARES]
    assert [value is not None for value in table["M2 everywhere"]] == [share >= 1.0 for share in SHARES]
    assert [value is not None for value in table["alpha"]] == [share >= 0.2 for share in SHARES]


def test_scores_are_those_worked_out_by_hand(table: dict[str, list[float | None]]) -> None:
    # Everything by one candidate: 2 x 0.7 a / 2 a, rounded pixels aside.
    assert table["M1 everywhere"][-1] == pytest.approx(0.7, abs=0.01)
    assert table["M2 everywhere"][-1] == pytest.approx(0.9, abs=0.01)
    assert table["plan"][-1] == pytest.approx(0.9, abs=0.01)


def test_the_plan_beats_chance_and_the_oracle_is_never_beaten(table: dict[str, list[float | None]]) -> None:
    for plan, random, oracle in zip(table["plan"], table["random"], table["oracle"], strict=True):
        assert plan is not None and random is not None and oracle is not None
        assert random < plan <= oracle + 1e-6


def test_the_table_leaves_what_is_impossible_empty() -> None:
    rows = compare_rules([case(0)], PRICES, ["M1", "M2"])
    lines = rules_markdown(rows, "WT").splitlines()
    assert lines[0] == "| rule | 5 % | 10 % | 20 % | 40 % | 60 % | 100 % |"
    assert lines[5].startswith("| M2 everywhere |  |  |  |  |  | 0.")
