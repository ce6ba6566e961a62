"""MutualNet as a method: its bank, its routers, its table."""

from dataclasses import replace

import numpy as np
import pytest

from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.bank import Bank
from DynamicSegLib.budget import plan_by_alpha, plan_within
from DynamicSegLib.bundle import Bundle, RouterSpec
from DynamicSegLib.cost import Cost
from DynamicSegLib.errors import BundleError
from DynamicSegLib.methods import mutualnet
from DynamicSegLib.methods.mutualnet import TableRouter
from DynamicSegLib.methods.registry import METHODS
from DynamicSegLib.query_table import QueryRow, to_plain
from DynamicSegLib.routing import DecisionRouter


def _bundle() -> Bundle:
    """Two configurations of a narrow network; the table has a third."""
    candidates = tuple(mutualnet.candidate(width, None, 4, 4, base=4) for width in (0.5, 1.0))
    rows = [
        QueryRow("0.50x-whole", 0.5, None, 100, 100, {"WT": 0.6, "ET": 0.4}, milliseconds=1.0),
        QueryRow("0.75x-whole", 0.75, None, 200, 200, {"WT": 0.7, "ET": 0.7}, milliseconds=2.0),
        QueryRow("1.00x-whole", 1.0, None, 300, 300, {"WT": 0.9, "ET": 0.7}, milliseconds=4.0),
    ]
    return replace(mutualnet.reference_bundle(48), bank=Bank(candidates, 4), facts={mutualnet.FACT: to_plain(rows)})


def _slices(covered: list[int]) -> np.ndarray:
    """Slices of 4 x 4 pixels, so many of them not zero, in one of two modalities."""
    slices = np.zeros((len(covered), 2, 16), np.float32)
    for plane, count in zip(slices, covered, strict=True):
        plane[1, :count] = -1.0
    return slices.reshape(-1, 2, 4, 4)


def test_the_reference_bank_is_cheapest_first_and_ends_with_the_whole_network() -> None:
    bundle = METHODS["mutualnet"].reference_bundle(240)
    costs = [cost.macs for cost in bundle.bank.costs((240, 240))]

    assert costs == sorted(costs)
    assert bundle.bank.options[-1] == "1.00x-whole"
    assert costs[-1] == 3_575_808_000


def test_the_table_promises_every_slice_with_something_on_it_the_same() -> None:
    prediction = TableRouter((0.5, 0.8)).predict(_slices([16, 0, 4]))

    np.testing.assert_allclose(prediction.quality, [[0, 0.5, 0.8], [1, 0, 0], [0, 0.5, 0.8]])
    assert prediction.choice.tolist() == [2, 0, 2]
    assert prediction.area[1] == 0
    np.testing.assert_allclose(prediction.area[[0, 2]], 1000, rtol=2e-3)


def test_the_table_costs_nothing() -> None:
    assert TableRouter((0.5, 0.8)).cost((240, 240)) == Cost()


def test_without_a_budget_every_slice_gets_the_best_and_empty_ones_nothing() -> None:
    prediction = TableRouter((0.5, 0.8)).predict(_slices([16, 0, 4]))

    assert plan_by_alpha(prediction, [0, 10, 20], None, [0, 10, 20]).options.tolist() == [2, 0, 2]


def test_a_budget_between_two_configurations_gives_the_fuller_slices_the_better_one() -> None:
    # 20 slices, so that the plan follows the convex hull; 10 on all is 200, each step up costs 10 more
    covered = [1 + place % 16 for place in range(20)]
    prediction = TableRouter((0.5, 0.8)).predict(_slices(covered))

    plan = plan_within(prediction, [0, 10, 20], 200 + 3 * 10)

    assert sorted(plan.options.tolist()) == [1] * 17 + [2] * 3
    assert sorted(covered[index] for index in np.flatnonzero(plan.options == 2)) == [14, 15, 16]


def test_a_bundle_with_a_decision_network_can_be_routed_by_its_table_instead() -> None:
    bundle = _bundle()
    backend = choose_backend("torch", "cpu")

    by_slice = mutualnet.make_router(bundle, backend, (48, 48))
    by_table = mutualnet.make_router(mutualnet.per_volume(bundle), backend, (48, 48))

    assert isinstance(by_slice, DecisionRouter)
    assert by_table == TableRouter((0.5, pytest.approx(0.8)))  # type: ignore[arg-type]
    assert mutualnet.router_cost(bundle, (48, 48)).macs > 0
    assert mutualnet.router_cost(mutualnet.per_volume(bundle), (48, 48)) == Cost()


def test_a_bundle_without_a_table_is_a_clear_error() -> None:
    with pytest.raises(BundleError, match="query table"):
        mutualnet.per_volume(replace(_bundle(), facts={}))


def test_a_table_without_a_row_for_a_candidate_is_a_clear_error() -> None:
    bundle = _bundle()
    rows = bundle.facts[mutualnet.FACT][:2]

    with pytest.raises(BundleError, match=r"1\.00x-whole"):
        mutualnet.per_volume(replace(bundle, facts={mutualnet.FACT: rows}))


@pytest.mark.parametrize("quality", [None, [0.5], [0.5, "high"]])
def test_a_table_router_with_the_wrong_numbers_is_a_clear_error(quality: object) -> None:
    bundle = replace(_bundle(), router=RouterSpec("table", {"quality": quality}))

    with pytest.raises(BundleError, match="2 numbers"):
        mutualnet.make_router(bundle, choose_backend("torch", "cpu"), (48, 48))


def test_each_decision_says_its_width_and_resolution() -> None:
    candidates = (mutualnet.candidate(0.5, 96, 4, 4, base=4), mutualnet.candidate(1.0, None, 4, 4, base=4))
    bundle = replace(_bundle(), bank=Bank(candidates, 4))
    execution = METHODS["mutualnet"].make_execution(bundle, choose_backend("torch", "cpu"), (40, 32), "whole")

    outcome = execution.run(1, np.zeros((3, 4, 40, 32), np.float32))

    assert outcome.classes.shape == (3, 40, 32)
    assert outcome.extras == ({"width": 0.5, "resolution": 96},) * 3
    assert execution.run(2, np.zeros((1, 4, 40, 32), np.float32)).extras == ({"width": 1.0, "resolution": "whole"},)
