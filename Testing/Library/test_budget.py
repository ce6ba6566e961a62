"""The budget: read right, never exceeded, and spent where it helps most."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DynamicSegLib.budget import Budget, Unit, plan_by_alpha, plan_within, predicted_quality, upgrades
from DynamicSegLib.errors import BudgetError
from DynamicSegLib.routing import Prediction


def prediction(quality: list[list[float]], area: list[float], choice: list[int] | None = None) -> Prediction:
    chosen = choice or [1] * len(area)
    return Prediction(np.array(quality, np.float32), np.array(area, np.float32), np.array(chosen, np.int64))


@st.composite
def problems(draw: st.DrawFn, most_slices: int = 40, most_options: int = 8) -> tuple[Prediction, list[int]]:
    slices = draw(st.integers(1, most_slices))
    options = draw(st.integers(2, most_options))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    costs = [0, *sorted(int(c) for c in rng.integers(1, 1000, options - 1))]
    quality = rng.uniform(0, 1, (slices, options))
    area = np.where(rng.uniform(size=slices) < 0.3, 0, rng.uniform(0, 3000, slices))
    return prediction(quality.tolist(), area.tolist()), costs


@settings(max_examples=200, deadline=None)
@given(problem=problems(), share=st.floats(0, 1.2))
def test_a_plan_never_costs_more_than_its_budget(problem: tuple[Prediction, list[int]], share: float) -> None:
    given_prediction, costs = problem
    budget = int(share * max(costs) * given_prediction.slices)
    plan = plan_within(given_prediction, costs, budget)
    assert plan.cost == sum(costs[option] for option in plan.options) <= budget


@settings(max_examples=200, deadline=None)
@given(problem=problems(), shares=st.tuples(st.floats(0, 1.1), st.floats(0, 1.1)))
def test_more_budget_is_never_predicted_worse(
    problem: tuple[Prediction, list[int]], shares: tuple[float, float]
) -> None:
    given_prediction, costs = problem
    full = max(costs) * given_prediction.slices
    less, more = (plan_within(given_prediction, costs, int(share * full)) for share in sorted(shares))
    assert more.quality >= less.quality - 1e-6


@settings(max_examples=60, deadline=None)
@given(problem=problems(most_slices=7, most_options=5), share=st.floats(0, 1))
def test_small_plans_are_as_good_as_trying_everything(problem: tuple[Prediction, list[int]], share: float) -> None:
    given_prediction, costs = problem
    budget = int(share * max(costs) * given_prediction.slices)
    worth = np.where(given_prediction.area >= 4, given_prediction.area, 0)[:, None] * given_prediction.quality
    worth[:, 0] = 0
    best = max(
        sum(float(worth[i, option]) for i, option in enumerate(options))
        for options in product(range(len(costs)), repeat=given_prediction.slices)
        if sum(costs[option] for option in options) <= budget
    )
    plan = plan_within(given_prediction, costs, budget)
    reached = float(worth[np.arange(given_prediction.slices), plan.options].sum())
    assert reached == pytest.approx(best, rel=1e-6, abs=1e-6)
    assert plan.gap == 0


@settings(max_examples=100, deadline=None)
@given(problem=problems(most_slices=60), share=st.floats(0, 1))
def test_the_stated_gap_holds_against_the_relaxed_optimum(problem: tuple[Prediction, list[int]], share: float) -> None:
    """Checked against another route to the bound: the best Lagrangian multiplier of many."""
    given_prediction, costs = problem
    budget = int(share * max(costs) * given_prediction.slices)
    area = np.where(given_prediction.area >= 4, given_prediction.area, 0).astype(float)
    worth = area[:, None] * given_prediction.quality
    worth[:, 0] = 0
    total = float(given_prediction.area.sum())
    if total == 0:
        return
    multipliers = np.concatenate([[0], np.geomspace(1e-4, 1e4, 400)])
    bound = min((worth - m * np.array(costs)).max(axis=1).sum() + m * budget for m in multipliers)
    plan = plan_within(given_prediction, costs, budget)
    # The sampled multipliers miss the best one by a little, so the bound is loose by at most a few per cent.
    assert plan.quality + plan.gap <= bound / total + 1e-6
    if len(costs) ** given_prediction.slices > 100_000:  # smaller ones are solved exactly and beat the bound
        assert bound / total <= (plan.quality + plan.gap) * 1.05 + 1e-6


@settings(max_examples=50, deadline=None)
@given(problem=problems(), seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_permuted_slices_get_the_same_options(problem: tuple[Prediction, list[int]], seed: int, share: float) -> None:
    given_prediction, costs = problem
    order = np.random.default_rng(seed).permutation(given_prediction.slices)
    budget = int(share * max(costs) * given_prediction.slices)
    plain = plan_within(given_prediction, costs, budget)
    mixed = plan_within(given_prediction.only(order), costs, budget)
    np.testing.assert_array_equal(mixed.options, plain.options[order])


def test_the_smallest_budget_skips_everything() -> None:
    plan = plan_within(prediction([[0.1, 0.8, 0.9]] * 30, [500.0] * 30), [0, 10, 20], 0)
    assert (plan.options == 0).all() and plan.cost == 0 and plan.quality == 0


def test_a_slice_without_anything_at_stake_gets_nothing_however_large_the_budget() -> None:
    plan = plan_within(prediction([[0.1, 0.8, 0.9]] * 3, [500.0, 0.0, 2.0]), [0, 10, 20], 10**9)
    assert plan.options.tolist() == [2, 0, 0]


def test_money_goes_first_to_the_largest_area() -> None:
    plan = plan_within(prediction([[0.1, 0.8]] * 20, [float(a) for a in range(10, 30)]), [0, 10], 50)
    assert np.flatnonzero(plan.options).tolist() == [15, 16, 17, 18, 19]


def test_an_option_that_costs_more_and_gives_less_is_never_taken() -> None:
    plan = plan_within(prediction([[0.0, 0.9, 0.5]] * 30, [100.0] * 30), [0, 10, 20], 10**6)
    assert set(plan.options.tolist()) == {1}


def test_pinned_slices_keep_their_option_and_the_rest_shares_what_is_left() -> None:
    plan = plan_within(prediction([[0.0, 0.5, 0.9]] * 4, [100.0] * 4), [0, 10, 30], 50, pins={3: 2, 0: 0})
    assert plan.options.tolist() == [0, 1, 1, 2] and plan.pinned == {0, 3}


def test_pins_that_cost_more_than_the_budget_are_refused() -> None:
    with pytest.raises(BudgetError, match=r"pinned slices alone cost \(30\)"):
        plan_within(prediction([[0.0, 0.5, 0.9]] * 2, [100.0] * 2), [0, 10, 30], 20, pins={0: 2})


def test_a_pin_outside_the_study_is_refused() -> None:
    with pytest.raises(BudgetError, match="Option 1 cannot be pinned to slice 7"):
        plan_within(prediction([[0.0, 0.5]], [100.0]), [0, 10], 20, pins={7: 1})
    with pytest.raises(BudgetError, match="Option 1 cannot be pinned to slice -1"):
        plan_by_alpha(prediction([[0.0, 0.5]], [100.0]), [0, 10], None, [0, 10], pins={-1: 1})


READABLE = [
    ("300G", Budget(300e9, Unit.MACS)),
    ("1.5T", Budget(1.5e12, Unit.MACS)),
    ("1000", Budget(1000, Unit.MACS)),
    ("40%", Budget(0.4, Unit.SHARE)),
    (" 12.5 % ", Budget(0.125, Unit.SHARE)),
    ("5s", Budget(5, Unit.SECONDS)),
    ("0.5 s", Budget(0.5, Unit.SECONDS)),
]


@pytest.mark.parametrize(("text", "budget"), READABLE)
def test_budgets_are_read_in_three_units(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize("text", ["-5G", "", "much", "5 hours", "nan%", "1e999", "40%%", "5sG", "%"])
def test_nonsense_is_refused_with_the_three_forms(text: str) -> None:
    with pytest.raises(BudgetError, match=r"300G.*40%.*5s"):
        Budget.parse(text)


def test_a_share_is_of_the_costliest_candidate_on_every_slice() -> None:
    assert Budget.parse("40%").macs(155, 1000) == 62_000


def test_predicted_quality_weighs_slices_by_area() -> None:
    given_prediction = prediction([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]], [300.0, 100.0])
    assert predicted_quality(given_prediction, np.array([2, 1])) == pytest.approx((300 + 50) / 400)
    assert predicted_quality(given_prediction, np.array([2, 0])) == pytest.approx(300 / 400)


def test_nothing_at_stake_is_perfect_whatever_is_done() -> None:
    assert predicted_quality(prediction([[0.9, 0.1]], [0.0]), np.array([0])) == 1.0


def test_without_a_budget_the_decision_networks_choice_stands() -> None:
    plan = plan_by_alpha(prediction([[0.1, 0.8, 0.9]] * 3, [9.0] * 3, [0, 2, 1]), [0, 10, 20], None, [0, 10, 20])
    assert plan.options.tolist() == [0, 2, 1] and plan.cost == 30


def test_alpha_trades_quality_for_cost_as_equation_four_does() -> None:
    # S = 0.80, 0.84; F = 1 G, 2 G: softmax(1 / F) = 0.6225, 0.3775. M1 wins where 0.04 (1 - a) < 0.245 a: a > 0.1404.
    given_prediction = prediction([[0.0, 0.80, 0.84]], [100.0])
    flops = [0, 1_000_000_000, 2_000_000_000]
    assert plan_by_alpha(given_prediction, flops, 0.13, [0, 1, 2]).options.tolist() == [2]
    assert plan_by_alpha(given_prediction, flops, 0.15, [0, 1, 2]).options.tolist() == [1]


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_an_alpha_outside_zero_to_one_is_refused(alpha: float) -> None:
    with pytest.raises(BudgetError, match="not between 0 and 1"):
        plan_by_alpha(prediction([[0.0, 0.8]], [9.0]), [0, 10], alpha, [0, 10])


def test_upgrades_come_in_the_order_of_gain_per_cost() -> None:
    given_prediction = prediction([[0.0, 0.5, 0.6], [0.0, 0.5, 0.6]], [100.0, 1000.0])
    steps = upgrades(given_prediction, [0, 10, 20])
    assert [(step.slice, step.option, step.first) for step in steps] == [
        (1, 1, True),
        (1, 2, False),
        (0, 1, True),
        (0, 2, False),
    ]
    assert [step.gain for step in steps] == pytest.approx([500, 100, 50, 10], rel=1e-5)
