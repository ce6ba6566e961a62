"""The engine: runs what the plan says, counts what it spends, and never runs a thing twice."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from DynamicSegLib.api import segment
from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.budget import Budget, Plan
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cleaning import Cleaning, SmallLabel, changes, clean
from DynamicSegLib.engine import Run, Step
from DynamicSegLib.errors import BackendError, BudgetError, BundleError, InputError
from DynamicSegLib.extent import Extent
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.study import Study, build_study
from Testing.tiny import COLUMNS, ROWS, SLICES, head_images, write_tiny_bundle


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def study(bundle: Bundle) -> Study:
    return build_study(head_images(), bundle.input)


def started(study: Study, bundle: Bundle, **options: object) -> Run:
    return start_run(study, bundle, device="cpu", backend="torch", **options)  # type: ignore[arg-type]


def plan_of(run: Run, options: list[int]) -> Plan:
    return Plan(np.array(options, np.int64), 0.0, 0)


def finish(run: Run, plan: Plan) -> list[Step]:
    return list(run.execute(plan))


def test_labels_are_those_of_the_chosen_network(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    finish(run, plan_of(run, [0, 1, 2] * 4))
    labels = run.segmentation().labels
    values = np.array([0, 1, 2, 4], np.uint8)
    for index in range(SLICES):
        option = index % 3
        if option == 0:
            assert not labels[index].any()
            continue
        network = bundle.bank.candidates[option - 1].build().eval()
        with torch.no_grad():
            logits = network(torch.from_numpy(study.volumes[:, index])[None])
        np.testing.assert_array_equal(labels[index], values[logits.argmax(1)[0].numpy()])
    assert set(np.unique(labels)) - {0}, "the tiny networks should find something"


def test_what_is_spent_is_the_router_and_the_chosen_options(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    plan = run.plan(Budget.parse("50%"))
    finish(run, plan)
    result = run.segmentation()
    small, large = (candidate.cost((40, 32), 4) for candidate in bundle.bank.candidates)
    counts = np.bincount(plan.options, minlength=3)
    router = run.router_cost.macs * SLICES
    assert router > 0
    assert result.spent.macs == router + counts[1] * small.macs + counts[2] * large.macs == run.macs_spent
    assert result.spent.paper_flops == sum(decision.paper_flops for decision in result.decisions)
    assert result.asked_macs == int(0.5 * SLICES * large.macs)
    assert result.spent.macs <= result.asked_macs
    assert result.router.macs == router


def test_skipped_slices_cost_the_routers_look_and_nothing_else(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    finish(run, plan_of(run, [0] * SLICES))
    decisions = run.segmentation().decisions
    assert {decision.macs for decision in decisions} == {run.router_cost.macs}
    assert {decision.candidate for decision in decisions} == {"skip"}


@pytest.mark.parametrize("batch", [1, 3, 5, 12])
def test_the_batch_size_does_not_change_the_labels(study: Study, bundle: Bundle, batch: int) -> None:
    runs = [started(study, bundle, batch=size) for size in (4, batch)]
    for run in runs:
        finish(run, plan_of(run, [1, 2] * 6))
    first, second = (run.segmentation().labels for run in runs)
    assert (first == second).mean() > 0.9999


def test_short_steps_are_as_many_slices_as_run_side_by_side(
    study: Study, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert started(study, bundle, short_steps=True).batch == 1
    if openvino_models.is_installed():
        monkeypatch.setattr(openvino_models, "thread_count", lambda: 3)
        run = start_run(study, bundle, device="cpu", backend="openvino", precision="fp32", short_steps=True)
        assert run.batch == 3


def test_steps_tell_slices_option_cost_and_progress(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle, batch=2)
    run.route()
    steps = finish(run, plan_of(run, [0, 0, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0]))
    assert [step.option for step in steps] == [None, 1, 1, 2, 2]
    assert [step.slices for step in steps] == [(0, 1, 9, 10, 11), (2, 3), (4,), (5, 6), (7, 8)]
    assert [step.done for step in steps] == [5, 7, 8, 10, 12]
    assert {step.total for step in steps} == {SLICES}
    spent = [step.macs_spent for step in steps]
    assert spent == sorted(spent) and spent[0] == run.smallest_budget_macs and spent[-1] == run.macs_spent


def test_stopping_half_way_leaves_a_valid_segmentation(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle, batch=2)
    for step in run.execute(plan_of(run, [2] * SLICES)):
        if step.done >= 4:
            break
    result = run.segmentation()
    assert [decision.option for decision in result.decisions] == [2] * 4 + [0] * 8
    assert not result.labels[4:].any()


def test_a_second_plan_runs_only_slices_whose_option_changed(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle, batch=4)
    run.route()
    finish(run, plan_of(run, [1] * SLICES))
    before = run.macs_spent
    kept = run.segmentation().labels.copy()
    steps = finish(run, plan_of(run, [1] * 10 + [2, 2]))
    assert [step.slices for step in steps] == [tuple(range(10)), (10, 11)]
    assert run.macs_spent - before == 2 * run.costs[2].macs
    np.testing.assert_array_equal(run.segmentation().labels[:10], kept[:10])
    # And back: everything is there already.
    steps = finish(run, plan_of(run, [1] * SLICES))
    assert [step.option for step in steps] == [None]
    np.testing.assert_array_equal(run.segmentation().labels, kept)


def test_a_pinned_slice_keeps_its_option_through_every_budget(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    for budget in ("20%", "90%"):
        assert run.plan(Budget.parse(budget), pins={3: 1, 5: 0}).options[[3, 5]].tolist() == [1, 0]


def test_a_budget_below_the_router_names_the_smallest_possible(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    with pytest.raises(BudgetError, match=f"smallest budget possible .* is {run.smallest_budget_macs:,}"):
        run.plan(Budget.parse("1"))
    smallest = run.plan(Budget.parse(str(run.smallest_budget_macs)))
    assert (smallest.options == 0).all()


def test_the_smallest_budget_that_an_error_names_is_accepted(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    for budget, unit in (("0.001%", "%"), ("0.000001s", "s")):
        with pytest.raises(BudgetError) as refused:
            run.plan(Budget.parse(budget))
        named = re.findall(rf"([0-9.]+) ?{unit}", str(refused.value))[-1]
        assert run.plan(Budget.parse(f"{named}{unit}")).cost >= 0


def test_a_budget_in_seconds_buys_what_its_calibration_allows(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    run.route()
    run._seconds["route"] = 0.1
    run.calibration.milliseconds = [100.0, 300.0]
    plan = run.plan(Budget.parse("1.3s"))
    assert np.array([0, 0.1, 0.3])[plan.options].sum() <= 1.2 + 1e-9
    assert run.predicted_seconds(plan) <= 1.3 + 1e-9
    assert (plan.options == 1).all()  # 12 slices of S for 1.2 s; nothing is left for L
    with pytest.raises(BudgetError, match="below what routing alone takes"):
        run.plan(Budget.parse("0.05s"))


def test_a_plan_in_seconds_is_cut_short_where_the_machine_turns_out_slower(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle, batch=1)
    run.route()
    run._seconds["route"] = 0.0
    run.calibration.milliseconds = [1.0, 3.0]
    finish(run, plan_of(run, [1] * SLICES))  # an earlier result must not stand in for a slice that is cut
    run.calibration.milliseconds = [1.0, 3.0]
    plan = run.plan(Budget.parse("0.036s"))
    assert (plan.options == 2).all()
    real = run._compute

    def slow(batch: list[int], option: int) -> None:
        real(batch, option)
        run._seconds["run"] += 0.05

    run._compute = slow  # type: ignore[method-assign]
    finish(run, plan)
    assert [decision.option for decision in run.segmentation().decisions] == [2] + [0] * (SLICES - 1)


def test_what_earlier_plans_took_is_not_taken_from_the_seconds_of_a_later_one(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle, batch=1)
    run.route()
    finish(run, plan_of(run, [2] * SLICES))
    run._seconds = {"route": 0.0, "run": 1000.0}
    run.calibration.milliseconds = [1000.0, 1001.0]
    plan = run.plan(Budget.parse("30s"))
    assert (plan.options > 0).all()
    finish(run, replace(plan, options=np.ones(SLICES, np.int64)))
    assert all(decision.option > 0 for decision in run.segmentation().decisions)


def test_seconds_learn_from_what_really_ran(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    run.calibration.milliseconds = [1e6, 1e6]
    finish(run, plan_of(run, [1] * SLICES))
    assert run.calibration.milliseconds[0] < 1e6 and run.calibration.milliseconds[1] == 1e6
    assert started(study, bundle).calibration.milliseconds == run.calibration.milliseconds


PART = Extent((8, 0), (24, 24), (ROWS, COLUMNS))


def test_candidates_run_on_the_extent_and_their_labels_return_to_their_place(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle, extent=PART)
    finish(run, plan_of(run, [0, 1] * 6))
    result = run.segmentation()
    network = bundle.bank.candidates[0].build().eval()
    values = np.array([0, 1, 2, 4], np.uint8)
    for index in range(SLICES):
        expected = np.zeros((ROWS, COLUMNS), np.uint8)
        if index % 2:
            with torch.no_grad():
                logits = network(torch.from_numpy(study.volumes[None, :, index, 8:32, :24].copy()))
            expected[8:32, :24] = values[logits.argmax(1)[0].numpy()]
        np.testing.assert_array_equal(result.labels[index], expected)
    assert result.labels.any()


def test_costs_are_those_of_the_extent_and_the_router_sees_whole_slices(study: Study, bundle: Bundle) -> None:
    part, whole = started(study, bundle, extent=PART), started(study, bundle)
    assert part.costs == bundle.bank.costs((24, 24)) and part.costs[1].macs < whole.costs[1].macs
    assert part.router_cost == whole.router_cost
    np.testing.assert_array_equal(part.route().quality, whole.route().quality)
    plan = part.plan(Budget.parse("100%"))
    assert part.smallest_budget_macs + plan.cost <= SLICES * part.costs[2].macs
    assert part.segmentation().summary()["extent"] == {"row": 8, "column": 0, "rows": 24, "columns": 24}


def test_a_small_head_on_a_large_slice_is_run_around_the_head(bundle: Bundle) -> None:
    roomy = replace(bundle, input=replace(bundle.input, size=(200, 160)))
    study = build_study(head_images(), roomy.input)
    run = started(study, roomy)
    # The head is 29 x 23 pixels around (100, 80): 128 pixels at least, on the networks' grid of 8.
    assert run.extent == Extent((32, 16), (128, 128), (200, 160))
    finish(run, plan_of(run, [1] * SLICES))
    assert run.segmentation().labels.shape == (SLICES, 200, 160)


def test_crop_boxes_are_counted_from_the_slice_s_own_corner(study: Study, tmp_path: Path) -> None:
    from Testing.tiny_methods import write_tiny_v2_bundle

    run = started(study, write_tiny_v2_bundle(tmp_path), extent=PART)
    finish(run, plan_of(run, [1] * SLICES))
    inside = run.execution.run(1, study.volumes[:, 3:5, 8:32, :24].swapaxes(0, 1)).extras
    for own, decision in zip(inside, run.segmentation().decisions[3:5], strict=True):
        assert decision.extra["crop_row"] == own["crop_row"] + 8
        assert decision.extra["crop_column"] == own["crop_column"]
        assert decision.extra["crop_rows"] == own["crop_rows"] == 16


def test_windows_are_counted_and_run_as_windows(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle, setting="window")
    assert run.costs[1].macs > started(study, bundle).costs[1].macs  # 40 x 32 padded to one window of 128
    finish(run, plan_of(run, [1] * SLICES))
    assert run.segmentation().labels.shape == study.grid.shape


def test_a_study_of_another_bundle_and_an_unknown_setting_are_refused(study: Study, bundle: Bundle) -> None:
    coronal = replace(bundle, input=replace(bundle.input, slice_axis="coronal"))
    with pytest.raises(InputError, match=r"prepared for other input .*axial.* takes .*coronal"):
        started(study, coronal)
    with pytest.raises(InputError, match=r"Setting 'windows' is unknown: expected whole or window"):
        started(study, bundle, setting="windows")


def test_a_budget_and_alpha_exclude_each_other(study: Study, bundle: Bundle) -> None:
    with pytest.raises(BudgetError, match="give only one"):
        started(study, bundle).plan(Budget.parse("40%"), alpha=0.1)


def test_a_bundle_of_an_unknown_method_is_refused(study: Study, bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="method 'magic'"):
        start_run(study, replace(bundle, method="magic"))


def test_cuda_is_refused_with_a_reason_where_there_is_none(study: Study, bundle: Bundle) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(BackendError, match="no CUDA device"):
        TorchBackend("cuda", "fp32", "asked for")


@pytest.mark.parametrize("device", ["cuda:2", "cuda:x", "cuda:"])
def test_a_cuda_device_that_is_not_there_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BackendError, match=rf"Device '{device}' was asked for, but torch sees 2 CUDA devices"):
        TorchBackend(device, "fp32", "asked for")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_finds_what_the_cpu_finds(study: Study, bundle: Bundle, precision: str) -> None:
    plan, labels = [1, 2] * (SLICES // 2), []
    for device in ("cpu", "cuda"):
        run = start_run(study, bundle, device=device, backend="torch", precision=precision, batch=2)
        finish(run, plan_of(run, plan))
        labels.append(run.segmentation().labels)
    assert np.mean(labels[0] == labels[1]) > (0.999 if precision == "fp32" else 0.97)


CLEANING = Cleaning(5.0, {4: SmallLabel(1e6, 1)})
# The skipped slice cuts off a part of 3.8 mL.
DIVIDED = [1, 0, 2, *[1] * (SLICES - 3)]


def test_the_result_is_cleaned_as_the_bundle_says(study: Study, bundle: Bundle) -> None:
    raw, cleaned = started(study, bundle), started(study, replace(bundle, cleaning=CLEANING))
    for run in (raw, cleaned):
        finish(run, plan_of(run, DIVIDED))
    found, result = raw.segmentation(), cleaned.segmentation()
    np.testing.assert_array_equal(result.labels, clean(found.labels, study.spacing_mm, CLEANING))
    assert result.cleaned == changes(found.labels, result.labels, study.spacing_mm)
    assert result.cleaned is not None and result.cleaned.removed_ml > 0 and list(result.cleaned.relabelled_ml) == [4]
    assert found.cleaned is None and found.notes == ()


def test_volumes_are_those_after_cleaning_and_the_summary_says_what_went(study: Study, bundle: Bundle) -> None:
    run = started(study, replace(bundle, cleaning=CLEANING))
    finish(run, plan_of(run, DIVIDED))
    result = run.segmentation()
    summary = result.summary()
    assert summary["volumes_ml"]["Enhancing tumor"] == 0
    assert sum(summary["volumes_ml"].values()) == pytest.approx(np.count_nonzero(result.labels) * 3 / 1000)
    assert summary["cleaning"]["removed_ml"] > 0 and summary["cleaning"]["relabelled_ml"]["Enhancing tumor"] > 0
    assert re.match(r"3\.\d+ mL in small islands were removed", summary["notes"][0])
    assert re.match(r"Enhancing tumor: \d+\.\d+ mL were too little, and were relabelled", summary["notes"][1])


def test_a_run_that_was_stopped_is_cleaned_too(study: Study, bundle: Bundle) -> None:
    run = started(study, replace(bundle, cleaning=CLEANING), batch=2)
    for step in run.execute(plan_of(run, [2] * SLICES)):
        if step.done >= 4:
            break
    found = np.stack([run.labels_of(index) for index in range(SLICES)])
    result = run.segmentation()
    assert found[:4].any() and not found[4:].any()
    np.testing.assert_array_equal(result.labels, clean(found, study.spacing_mm, CLEANING))


def test_running_on_after_cleaning_starts_from_what_the_networks_found(study: Study, bundle: Bundle) -> None:
    run = started(study, replace(bundle, cleaning=CLEANING))
    finish(run, plan_of(run, [1] * SLICES))
    first = run.segmentation().labels
    finish(run, plan_of(run, [0] * SLICES))
    assert not run.segmentation().labels.any()
    finish(run, plan_of(run, [1] * SLICES))
    np.testing.assert_array_equal(run.segmentation().labels, first)


def test_the_short_way_can_leave_labels_uncleaned(study: Study, bundle: Bundle) -> None:
    cleans = replace(bundle, cleaning=CLEANING)
    options = {"device": "cpu", "backend": "torch"}
    assert 4 not in segment(study, cleans, **options).labels
    assert 4 in segment(study, cleans, cleaning=False, **options).labels


def test_an_empty_result_says_so(study: Study, bundle: Bundle) -> None:
    run = started(study, bundle)
    finish(run, plan_of(run, [0] * SLICES))
    assert any("0 voxels were found" in warning for warning in run.segmentation().summary()["warnings"])
