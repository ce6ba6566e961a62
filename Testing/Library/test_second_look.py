"""A skipped slice beside a large finding is run after all: which, with what, and never beyond the budget."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DynamicSegLib.anytime import improve
from DynamicSegLib.api import segment
from DynamicSegLib.budget import Budget, Plan
from DynamicSegLib.bundle import Bundle, read_bundle
from DynamicSegLib.engine import Run, Step
from DynamicSegLib.errors import BundleError, DynamicSegError
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.second_look import second_looks, with_second_looks
from DynamicSegLib.study import Study, build_study
from DynamicSegLib.training import config
from DynamicSegLib.training.config_reading import read_config
from Testing.tiny import SLICES, head_images, write_tiny_bundle

COSTS = [0, 10, 30]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    # The tiny networks find something on every slice, so any slice that is run is a finding.
    return replace(write_tiny_bundle(tmp_path_factory.mktemp("bundles")), second_look_mm2=1.0)


@pytest.fixture(scope="module")
def study(bundle: Bundle) -> Study:
    return build_study(head_images(), bundle.input)


def started(study: Study, bundle: Bundle, batch: int = 4) -> Run:
    return start_run(study, bundle, device="cpu", backend="torch", batch=batch)


def executed(run: Run, options: list[int], **of_plan: object) -> list[Step]:
    run.route()
    plan = Plan(np.array(options, np.int64), 0.0, 0, **of_plan)  # type: ignore[arg-type]
    return list(run.execute(plan))


def options_of(run: Run) -> list[int]:
    return [decision.option for decision in run.segmentation().decisions]


def looks(options: list[int], found: list[float], smallest: float = 100, left: float = np.inf) -> dict[int, int]:
    return second_looks(np.array(options), np.array(found, np.float64), smallest, COSTS, left)


def test_skipped_slices_beside_a_finding_get_what_it_got() -> None:
    assert looks([0, 0, 1, 0, 0, 2, 0], [0, 0, 100, 0, 0, 300, 0]) == {4: 2, 6: 2, 1: 1, 3: 1}


def test_a_small_finding_and_the_ends_of_the_volume_ask_for_nothing() -> None:
    assert looks([0, 1, 0], [0, 99, 0]) == {}
    assert looks([1, 1, 2], [500, 500, 500]) == {}
    assert looks([0, 0], [0, 0]) == {}


def test_between_two_findings_the_larger_one_says_what_is_run() -> None:
    assert looks([1, 0, 2], [500, 0, 400]) == {1: 1}
    assert looks([1, 0, 2], [300, 0, 400]) == {1: 2}


def test_slices_that_stay_skipped_take_nothing_of_what_is_left() -> None:
    options, found = np.array([0, 1, 0]), np.array([0, 200.0, 0])
    assert second_looks(options, found, 100, COSTS, left=10, fixed={0}) == {2: 1}
    assert second_looks(options, found, 100, COSTS, left=10) == {0: 1}


def test_a_configuration_with_a_wrong_area_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    path = Path(config.__file__).parent / "configs" / "shipped-glioma-bundle.yaml"
    assert read_config(path, config.BundleConfig).second_look_mm2 == 200
    with pytest.raises(DynamicSegError, match="second_look_mm2 is -5"):
        read_config(path, config.BundleConfig, ["second_look_mm2=-5"])


def test_what_cannot_be_paid_stays_skipped_and_large_findings_come_first() -> None:
    options, found = [0, 1, 0, 0, 0, 2, 0], [0, 200, 0, 0, 0, 900, 0]
    assert looks(options, found, left=29) == {0: 1, 2: 1}
    assert looks(options, found, left=45) == {4: 2, 0: 1}
    assert looks(options, found, left=9) == {}


def test_a_plan_is_followed_until_nothing_more_is_found() -> None:
    found = np.array([[0, 0], [150, 90], [150, 90], [500, 500], [40, 40], [500, 500]], np.float64)
    options = np.array([0, 0, 0, 1, 0, 0])
    # Slice 4 shows little, so that slice 5 beyond it stays skipped.
    assert with_second_looks(options, found, 100, COSTS).tolist() == [1, 1, 1, 1, 1, 0]
    assert with_second_looks(options, found, 100, COSTS, left=20).tolist() == [0, 0, 1, 1, 1, 0]
    assert options.tolist() == [0, 0, 0, 1, 0, 0]


def test_the_engine_runs_them_after_the_plan_and_says_so(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    steps = executed(run, [0] * 5 + [2] + [0] * 6)
    assert options_of(run) == [0] + [2] * (SLICES - 1)  # the first slice is empty
    assert {step.done for step in steps[1:]} == {SLICES} and steps[2].slices == (4, 6)
    result = run.segmentation()
    np.testing.assert_array_equal(result.labels[3], segmented(study, bundle, 3))
    assert result.second_looks == (1, 2, 3, 4, 6, 7, 8, 9, 10, 11)
    assert result.summary()["second_looks"] == list(result.second_looks)
    assert result.notes[0].startswith("10 slices that the decision network skipped were run after all")
    assert result.spent.macs == run.smallest_budget_macs + (SLICES - 1) * run.costs[2].macs == run.macs_spent


def segmented(study: Study, bundle: Bundle, index: int) -> np.ndarray:
    run = started(study, replace(bundle, second_look_mm2=None))
    executed(run, [2] * SLICES)
    return run.segmentation().labels[index]


def test_without_the_rule_and_with_a_larger_area_every_skip_stands(study: Study, bundle: Bundle) -> None:
    for area in (None, 1e6):
        run = started(study, replace(bundle, second_look_mm2=area))
        executed(run, [0] * 5 + [2] + [0] * 6)
        assert sum(options_of(run)) == 2
        assert run.segmentation().second_looks == () and run.segmentation().notes == ()


def test_a_pinned_slice_stays_as_the_user_wants_it(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    executed(run, [0] * 5 + [2] + [0] * 6, pinned=frozenset({4, 7}))
    assert options_of(run) == [0] * 5 + [2, 2] + [0] * 5


def test_empty_slices_are_not_looked_at(study: Study, bundle: Bundle) -> None:
    volumes = study.volumes.copy()
    volumes[:, 7] = 0
    run = started(replace(study, volumes=volumes), bundle)
    executed(run, [0] * 5 + [2] + [0] * 6)
    assert options_of(run) == [0] + [2] * 6 + [0] * 5


@pytest.mark.parametrize("share", ["20%", "45%", "80%", "130%"])
def test_a_budget_is_never_exceeded(study: Study, bundle: Bundle, share: str) -> None:
    run = started(study, bundle)
    plan = run.plan(Budget.parse(share))
    assert plan.budget is not None
    for _ in run.execute(plan):
        pass
    result = run.segmentation()
    assert result.asked_macs is not None and result.spent.macs <= result.asked_macs
    again = started(study, bundle)
    for step in improve(again, Budget.parse(share)):
        assert step.macs_spent <= result.asked_macs


def test_what_is_left_of_a_budget_is_spent(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    small = run.costs[1].macs
    executed(run, [0] * 5 + [1] + [0] * 6, budget=4 * small - 1)
    assert sum(options_of(run)) == 3 and run.macs_spent == run.smallest_budget_macs + 3 * small
    assert options_of(run)[4:7] == [1, 1, 1]


def test_no_time_left_means_no_second_look(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    run.predicted_seconds(run.plan())
    executed(run, [0] * 5 + [2] + [0] * 6, seconds=0.0, pinned=frozenset({5}))
    assert sum(options_of(run)) == 2


def test_the_same_plan_again_runs_nothing_anew(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    executed(run, [0] * 5 + [2] + [0] * 6)
    spent, labels = run.macs_spent, run.segmentation().labels
    executed(run, [0] * 5 + [2] + [0] * 6)
    assert run.macs_spent == spent
    np.testing.assert_array_equal(run.segmentation().labels, labels)
    executed(run, [0] * SLICES)
    assert run.segmentation().second_looks == () and not run.segmentation().labels.any()


def test_the_short_way_can_do_without(study: Study, bundle: Bundle) -> None:
    options = {"device": "cpu", "backend": "torch", "budget": "60%"}
    assert segment(study, bundle, second_look=False, **options).second_looks == ()  # type: ignore[arg-type]


def test_the_area_is_part_of_the_bundle_and_checked(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path).folder
    assert folder is not None
    path = folder / "bundle.json"
    description = json.loads(path.read_text())
    assert description["second_look_mm2"] is None
    path.write_text(json.dumps({**description, "second_look_mm2": 150}))
    assert read_bundle(folder).second_look_mm2 == 150.0
    for wrong in (0, -1, True, "200", float("inf")):
        path.write_text(json.dumps({**description, "second_look_mm2": wrong}))
        with pytest.raises(BundleError, match="where an area above 0 mm2, or null, was expected"):
            read_bundle(folder)
