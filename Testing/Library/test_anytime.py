"""Anytime mode: an answer at once, then better ones, never above the budget."""

from pathlib import Path

import pytest

from DynamicSegLib.anytime import improve
from DynamicSegLib.budget import Budget
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.engine import Run
from DynamicSegLib.errors import BudgetError
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.study import build_study
from Testing.tiny import SLICES, head_images, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def run(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path))
    return start_run(build_study(head_images(), bundle.input), bundle, device="cpu", backend="torch", batch=4)


def options_now(run: Run) -> list[int]:
    return [decision.option for decision in run.segmentation().decisions]


def test_every_slice_is_answered_cheaply_before_any_is_upgraded(run: Run) -> None:
    states = [options_now(run) for step in improve(run) if step.option is not None]
    assert states[2] == [1] * SLICES
    assert all(max(state) <= 1 for state in states[:3])
    assert states[-1] == [2] * SLICES


def test_each_state_is_at_least_as_good_as_the_one_before(run: Run) -> None:
    totals = [sum(options_now(run)) for _ in improve(run)]
    assert totals == sorted(totals)


@pytest.mark.parametrize("share", ["10%", "40%", "110%", "200%"])
def test_all_work_together_stays_within_the_budget(run: Run, share: str) -> None:
    budget = Budget.parse(share)
    for step in improve(run, budget):
        assert step.macs_spent <= budget.macs(SLICES, run.costs[2].macs)
    if share == "200%":
        assert options_now(run) == [2] * SLICES


def test_seconds_are_refused_with_the_way_out(run: Run) -> None:
    with pytest.raises(BudgetError, match="stop it when the time is over"):
        next(improve(run, Budget.parse("3s")))
