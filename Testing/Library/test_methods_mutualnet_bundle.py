"""A whole MutualNet bundle: one weights file, segmented slice by slice and by its query table."""

from pathlib import Path

import numpy as np
import pytest
import torch

from DynamicSegLib.api import segment
from DynamicSegLib.budget import Budget
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import load_bundle, write_bundle
from DynamicSegLib.errors import BudgetError, BundleError
from DynamicSegLib.methods import mutualnet
from DynamicSegLib.methods.med_danet import build_decision_network
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.study import Study, build_study
from DynamicSegLib.weights import Storage
from Testing.tiny import COLUMNS, MODALITIES, ROWS, head_images, write_tiny_bundle
from Testing.tiny_methods import CONFIGURATIONS, QUALITY, tiny_slimmable, write_tiny_mutual_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_mutual_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def study(bundle: Bundle) -> Study:
    return build_study(head_images(), bundle.input)


def test_one_file_serves_every_configuration(bundle: Bundle) -> None:
    files = {candidate.weights for candidate in bundle.bank.candidates}

    assert {path.name for path in files if path is not None} == {"shared.safetensors"}


def test_each_candidate_is_the_slimmable_network_at_its_configuration(bundle: Bundle) -> None:
    network, x = tiny_slimmable(), torch.randn(2, len(MODALITIES), ROWS, COLUMNS)

    for candidate, configuration in zip(bundle.bank.candidates, CONFIGURATIONS, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(candidate.build().eval()(x), network(x, configuration), atol=1e-4, rtol=1e-3)


def test_slices_get_their_own_configuration_within_the_budget(bundle: Bundle, study: Study) -> None:
    run = start_run(study, bundle, backend="torch", device="cpu", precision="fp32")
    for _ in run.execute(run.plan(Budget.parse("50%"))):
        pass

    segmentation = run.segmentation()

    assert segmentation.asked_macs is not None
    assert segmentation.spent.macs <= segmentation.asked_macs
    for decision in segmentation.decisions:
        if decision.option:
            assert decision.candidate == f"{decision.extra['width']:.2f}x-{decision.extra['resolution']}"


def test_by_the_table_all_slices_of_the_head_get_the_best_and_empty_ones_nothing(bundle: Bundle, study: Study) -> None:
    run = start_run(study, mutualnet.per_volume(bundle), backend="torch", device="cpu", precision="fp32")

    options = run.plan().options

    empty = ~study.volumes.any(axis=(0, 2, 3))
    assert empty.any()
    np.testing.assert_array_equal(options, np.where(empty, 0, 3))
    assert run.smallest_budget_macs == 0


def test_one_configuration_for_a_whole_volume_keeps_its_budget(bundle: Bundle, study: Study) -> None:
    run = start_run(study, mutualnet.per_volume(bundle), backend="torch", device="cpu", precision="fp32")
    budget = Budget.parse("50%")

    plan = run.plan(budget, pins=mutualnet.one_for_all(run, budget))

    empty = ~study.volumes.any(axis=(0, 2, 3))
    # Half the width costs a quarter or so, the whole width more than half the budget.
    np.testing.assert_array_equal(plan.options, np.where(empty, 0, 2))
    costs = [cost.macs for cost in run.costs]
    assert plan.cost == costs[2] * int((~empty).sum()) <= budget.macs(study.slices, max(costs))


def test_without_a_budget_the_whole_volume_gets_the_best_configuration(bundle: Bundle, study: Study) -> None:
    run = start_run(study, mutualnet.per_volume(bundle), backend="torch", device="cpu", precision="fp32")

    assert set(mutualnet.one_for_all(run).values()) == {3}


def test_seconds_are_those_of_this_machine(bundle: Bundle, study: Study) -> None:
    run = start_run(study, mutualnet.per_volume(bundle), backend="torch", device="cpu", precision="fp32")
    run.calibration.milliseconds = [10.0, 20.0, 1000.0]
    head = len(mutualnet.one_for_all(run))
    routing = run.predicted_seconds(run.plan(pins=dict.fromkeys(range(study.slices), 0)))

    def chosen(seconds: float) -> set[int]:
        return set(mutualnet.one_for_all(run, Budget.parse(f"{routing + seconds:.4f}s")).values())

    assert chosen(head * 0.021) == {2}
    assert chosen(head * 0.011) == {1}
    with pytest.raises(BudgetError, match="smallest budget possible"):
        chosen(head * 0.009)


def test_the_python_way_runs_one_configuration_and_says_what_was_asked(bundle: Bundle, study: Study) -> None:
    result = segment(study, bundle, "50%", backend="torch", device="cpu", per_volume=True)

    assert {d.candidate for d in result.decisions} == {"skip", "0.50x-whole"}
    assert result.asked_macs is not None
    assert result.spent.macs <= result.asked_macs
    assert result.router.macs == 0


def test_a_bundle_without_a_query_table_says_so(tmp_path: Path, study: Study) -> None:
    with pytest.raises(BundleError, match=r"'tiny' has no query table.*--per-volume"):
        segment(study, write_tiny_bundle(tmp_path), "50%", per_volume=True)


def test_the_front_is_a_curve_that_ends_at_the_full_effort(bundle: Bundle) -> None:
    points = mutualnet.front_curve(bundle)

    assert [point.predicted for point in points] == list(QUALITY)
    assert points[-1].share == 1.0
    assert all(0 < point.share <= 1 for point in points)


def test_a_file_without_the_statistics_of_a_candidate_is_a_clear_error(tmp_path: Path, bundle: Bundle) -> None:
    shared = tiny_slimmable().shared_state(CONFIGURATIONS[:2])
    states = {candidate.name: shared for candidate in bundle.bank.candidates}
    router = build_decision_network(bundle).state_dict()
    write_bundle(tmp_path / "slim", bundle, states, router, "# Slim\n", Storage.FLOAT32)

    damaged = load_bundle(tmp_path / "slim")

    with pytest.raises(BundleError, match=r"1\.00x-whole"):
        damaged.bank.candidates[2].build()
