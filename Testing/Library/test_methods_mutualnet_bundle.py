"""A whole MutualNet bundle: one weights file, segmented slice by slice and by its query table."""

from pathlib import Path

import numpy as np
import pytest
import torch

from DynamicSegLib.budget import Budget
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import load_bundle, write_bundle
from DynamicSegLib.errors import BundleError
from DynamicSegLib.methods import mutualnet
from DynamicSegLib.methods.med_danet import build_decision_network
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.study import Study, build_study
from DynamicSegLib.weights import Storage
from Testing.tiny import COLUMNS, MODALITIES, ROWS, head_images
from Testing.tiny_methods import CONFIGURATIONS, tiny_slimmable, write_tiny_mutual_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_mutual_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def study(bundle: Bundle) -> Study:
    return build_study(head_images(), bundle.input)


def test_one_file_serves_every_configuration(bundle: Bundle) -> None:
    files = {candidate.weights for candidate in bundle.bank.candidates}

    assert {path.name for path in files if path is not None} == {"0.50x-120.safetensors"}


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

    plan = run.plan(pins=mutualnet.one_for_all(bundle, budget, study.slices))

    costs = [cost.macs for cost in bundle.bank.costs((ROWS, COLUMNS))]
    # Half the width costs a quarter or so, the whole width more than half the budget.
    assert set(plan.options.tolist()) == {2}
    assert plan.cost == costs[2] * study.slices <= budget.macs(study.slices, max(costs))


def test_a_file_without_the_statistics_of_a_candidate_is_a_clear_error(tmp_path: Path, bundle: Bundle) -> None:
    shared = tiny_slimmable().shared_state(CONFIGURATIONS[:2])
    states = {candidate.name: shared for candidate in bundle.bank.candidates}
    router = build_decision_network(bundle).state_dict()
    write_bundle(tmp_path / "slim", bundle, states, router, "# Slim\n", Storage.FLOAT32)

    damaged = load_bundle(tmp_path / "slim")

    with pytest.raises(BundleError, match=r"1\.00x-whole"):
        damaged.bank.candidates[2].build()
