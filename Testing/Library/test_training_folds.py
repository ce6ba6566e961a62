"""Everything at once on tiny data: cross-validation, final training, bundle, tables."""

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.cli import train
from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.evaluation.choices import Softmax
from DynamicSegLib.training import bank_run, decision_run, paper_tables, validation
from DynamicSegLib.training.config import FoldsConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.folds import CrossValidation, cross_validate
from DynamicSegLib.training.layouts import LAYOUTS
from DynamicSegLib.weights import load_weights
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")
TASK = {
    "name": "squares",
    "input": {"modalities": ["a", "b"], "size": [24, 24]},
    "labels": [
        {"value": 10, "name": "outer", "color": [255, 0, 0]},
        {"value": 20, "name": "inner", "color": [0, 255, 0]},
    ],
    "regions": {"WT": [10, 20], "TC": [20]},
}


def write(path: Path, content: dict[str, object]) -> str:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def write_configs(folder: Path, **of_bundle: object) -> Path:
    """Configurations of a run of seconds below `folder`; returns that of the folds."""
    tiny_cache(folder)
    data = {"cache": str(folder / "cache"), "cases": str(folder / "cases.csv")}
    task = write(folder / "task.yaml", TASK)
    arguments = {"in_channels": 2, "out_channels": 3}
    names = {"S": 2, "L": 4}
    candidates = [{"name": n, "network": "unet2d", "arguments": {**arguments, "base": b}} for n, b in names.items()]
    common = {"data": data, "steps": 4, "batch": 4, "precision": "fp32", "log_every": 2, "average": 0.5}
    bank = {**common, "output": "unused", "candidates": candidates, "size": [16, 16]}
    run = str(folder / "run")
    decision = {**common, "output": "unused", "banks": [], "overlaps": "unused", "size": [24, 24], "task": task}
    bundle = {
        **data,
        "output": str(folder / "bundles"),
        "name": "squares",
        "banks": [],
        "decision": "unused",
        "folds": [],
        "validation": "unused",
        "task": task,
        "facts": {"title": "Squares"},
        "training": {"Training": "A test."},
        **of_bundle,
    }
    folds = {
        **data,
        "output": run,
        "bank": write(folder / "bank.yaml", bank),
        "decision": write(folder / "decision.yaml", decision),
        "bundle": write(folder / "bundle.yaml", bundle),
    }
    write(folder / "folds.yaml", folds)
    return folder / "folds.yaml"


def run_command(*arguments: str) -> int:
    """`dynamicseg train` with `arguments`."""
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    options = parser.parse_args(["train", *arguments])
    return int(options.func(options))


def test_the_command_knows_every_layout() -> None:
    assert tuple(LAYOUTS) == train.LAYOUT_NAMES


def test_the_command_goes_from_a_cache_to_a_bundle_and_does_not_repeat_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_configs(tmp_path, judge_precisions=openvino_models.is_installed())
    assert run_command("folds", "--config", str(path), "--device", "cpu") == 0
    bundle = load_bundle(tmp_path / "bundles" / "squares")
    assert bundle.bank.options == ("skip", "S", "L")
    assert bundle.regions == {"WT": (10, 20), "TC": (20,)}
    assert bundle.curve and set(bundle.curve[-1].measured) == {"WT", "TC"}
    assert bundle.card.startswith("# Squares\n")
    assert "case0" in bundle.card and "Research only" in bundle.card
    assert "- S, L: 4 steps, seed 1, ended on " in bundle.card
    assert "learned from 3 cases: case0, case1, case2." in bundle.card
    assert "each was judged by networks trained in the same way without it" in bundle.card
    if openvino_models.is_installed():
        assert set(bundle.dice_lost) == ({"bf16"} if openvino_models.has_bf16() else set())
        assert "| L, fp32 |" in bundle.card

    def fail(*_: object) -> None:
        raise AssertionError("a finished stage ran again")

    monkeypatch.setattr(bank_run.BankRun, "train", fail)
    monkeypatch.setattr(decision_run.DecisionRun, "train", fail)
    cross_validate(read_config(path, FoldsConfig), CPU, lambda text: None)
    assert run_command("budgets", "--folds", "--config", str(path), "--device", "cpu") == 0
    table = (tmp_path / "run" / "budgets.md").read_text(encoding="utf-8")
    assert "WT Dice" in table and "| L everywhere |" in table
    assert (tmp_path / "run" / "budgets.png").stat().st_size > 0


def test_a_case_is_never_judged_by_networks_that_saw_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[str]] = {}
    original = bank_run.BankRun.train

    def note(run: bank_run.BankRun) -> object:
        seen[run.config.output.parent.name] = {case.record.case for case in run.pool.cases}
        return original(run)

    monkeypatch.setattr(bank_run.BankRun, "train", note)
    run = CrossValidation(read_config(write_configs(tmp_path), FoldsConfig), CPU, lambda text: None)
    _, results = run.validate(run.variant)
    assert sorted(result.case for result in results) == ["case0", "case1", "case2"]
    assert seen == {f"fold{k}": {f"case{i}" for i in range(3) if i != k} for k in range(3)}


def test_each_candidate_may_be_trained_alone(tmp_path: Path) -> None:
    config = replace(read_config(write_configs(tmp_path), FoldsConfig), joint=False)
    bank = CrossValidation(config, CPU, lambda text: None).bank(0)
    assert bank.options == ("skip", "S", "L")
    assert (tmp_path / "run" / "fold0" / "bank-S" / "S.safetensors".lower()).is_file()


def note_first_weights(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The first layer's weights that each candidate is trained from, by name, as trainings start."""
    started: dict[str, torch.Tensor] = {}
    original = bank_run.BankRun.train

    def note(run: bank_run.BankRun) -> object:
        for name, learner in run.learners.items():
            started[name] = learner.network.state_dict()["encoder.stem.weight"].clone()
        return original(run)

    monkeypatch.setattr(bank_run.BankRun, "train", note)
    return started


def test_finished_banks_of_an_earlier_cross_validation_serve_and_are_left_alone(tmp_path: Path) -> None:
    config = replace(read_config(write_configs(tmp_path), FoldsConfig), joint=False)
    first = CrossValidation(config, CPU, lambda text: None)
    small, large = first.bank_config.candidates
    first.bank_config = replace(first.bank_config, candidates=(small,))
    (of_first,) = first.bank(0).candidates
    before = {path: path.stat().st_mtime_ns for path in config.output.rglob("*")}
    later = CrossValidation(replace(config, output=tmp_path / "later", earlier=config.output), CPU, lambda text: None)
    taken, trained = later.bank(0).candidates
    assert taken.weights == of_first.weights
    assert trained.weights is not None and trained.weights.is_relative_to(tmp_path / "later")
    assert {path: path.stat().st_mtime_ns for path in config.output.rglob("*")} == before
    assert (small.name, large.name) == (taken.name, trained.name)


def test_a_candidate_that_sees_other_neighbours_goes_on_from_an_earlier_cross_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(read_config(write_configs(tmp_path), FoldsConfig), joint=False)
    first = CrossValidation(config, CPU, lambda text: None)
    small, large = first.bank_config.candidates
    before = {c.name: load_weights(c.weights)["encoder.stem.weight"] for c in first.bank(0).candidates if c.weights}
    started = note_first_weights(monkeypatch)
    later = CrossValidation(replace(config, output=tmp_path / "later", earlier=config.output), CPU, lambda text: None)
    aware = replace(large, arguments={**large.arguments, "in_channels": 6}, neighbours_mm=(-1.0, 1.0))
    later.bank_config = replace(later.bank_config, candidates=(small, aware))
    bank = later.bank(0)
    assert list(started) == ["L"] and bank.candidates[1].context == Context((-1.0, 1.0))
    assert torch.equal(started["L"][:, :2], before["L"]) and not started["L"][:, 2:].any()
    assert set(later.overlaps()) == {"case0", "case1", "case2"}


def test_a_candidate_trained_alone_starts_as_an_earlier_one_of_its_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = note_first_weights(monkeypatch)
    run = CrossValidation(
        replace(read_config(write_configs(tmp_path), FoldsConfig), joint=False), CPU, lambda text: None
    )
    small, large = run.bank_config.candidates
    large = replace(large, arguments=small.arguments, starts_as=small.name)
    run.bank_config = replace(run.bank_config, candidates=(small, large))
    first, second = run.bank(0).candidates
    assert first.weights is not None
    assert torch.equal(started["L"], load_weights(first.weights)["encoder.stem.weight"])
    assert not torch.equal(started["S"], started["L"])
    assert second.name == "L"


def test_decision_networks_are_trained_and_judged_as_their_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"alpha": 0.01, "softmax": "both", "backbone": "ghostnet-0.5x"}
    config = read_config(write_configs(tmp_path, alpha=0.01, backbone="ghostnet-0.5x"), FoldsConfig, ["held_out=[0]"])
    content = yaml.safe_load(config.decision.read_text(encoding="utf-8"))
    write(config.decision, {**content, **wanted})
    trained = []
    original = decision_run.DecisionRun.train

    def note(run: decision_run.DecisionRun) -> object:
        trained.append({"alpha": run.config.alpha, "softmax": run.config.softmax, "backbone": run.config.backbone})
        return original(run)

    monkeypatch.setattr(decision_run.DecisionRun, "train", note)
    run = CrossValidation(config, CPU, lambda text: None)
    bundle = run.bundle()
    assert trained == [wanted] * 2
    assert bundle.router is not None and (bundle.router.network, bundle.alpha) == ("ghostnet-0.5x", 0.01)
    assert "dynamic, alpha 0.01" in run.validate(run.variant)[1][0].plans


def test_a_finished_decision_network_of_another_choice_is_not_taken_for_this_one(tmp_path: Path) -> None:
    config = read_config(write_configs(tmp_path), FoldsConfig)
    run = CrossValidation(config, CPU, lambda text: None)
    run.decide(0, run.variant)
    run.decide(0, run.variant)
    with pytest.raises(TrainingError, match=r"learned with alpha 0.001, softmax cost, .* where alpha 0.5, .* expected"):
        run.decide(0, replace(run.variant, alpha=0.5))


@pytest.mark.parametrize(("name", "value"), [("alpha", 0.5), ("backbone", "ghostnet-0.5x")])
def test_a_bundle_of_another_alpha_or_backbone_than_its_decision_networks_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    config = read_config(write_configs(tmp_path, **{name: value}), FoldsConfig)
    with pytest.raises(
        TrainingError, match=rf"{name} is .* of the decision network, and {value} in that of the bundle"
    ):
        CrossValidation(config, CPU, lambda text: None)


def test_tables_that_are_asked_for_are_printed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tuple(paper_tables.TABLES) == train.PAPER_TABLES
    monkeypatch.setattr(paper_tables, "ALPHAS", (0.001,))
    monkeypatch.setattr(paper_tables, "METRICS", (Softmax.BOTH, Softmax.NONE))
    trained: list[str] = []
    original = decision_run.DecisionRun.train

    def note(run: decision_run.DecisionRun) -> object:
        trained.append(run.config.output.name)
        return original(run)

    monkeypatch.setattr(decision_run.DecisionRun, "train", note)
    run: list[str] = []
    run_bank = validation.run_bank
    monkeypatch.setattr(validation, "run_bank", lambda *a: (run.append("case"), run_bank(*a))[1])
    options = ("--set", "held_out=[0]", "--device", "cpu", "--only", "4")
    assert run_command("tables", "--config", str(write_configs(tmp_path)), *options) == 0
    text = capsys.readouterr().out
    assert run == ["case"], "what the candidates find does not depend on who decides"
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows[1:4] == ["alpha 0.001", "softmax both", "softmax none"] and "## Table 1" not in text
    assert trained == ["decision-alpha-0.001-softmax-both", "decision-alpha-0.001-softmax-none"], "one twice"


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = write_configs(tmp_path)
    with pytest.raises(TrainingError, match=r"unknown key 'jiont'"):
        read_config(path, FoldsConfig, ["jiont=true"])


def test_a_value_is_replaced_from_the_command_line(tmp_path: Path) -> None:
    config = read_config(write_configs(tmp_path), FoldsConfig, ["joint=false", "extra.phantoms=0.1"])
    assert config.joint is False
    assert config.extra == {"phantoms": 0.1}


def test_a_value_of_the_wrong_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"joint: 'maybe', where bool was expected"):
        read_config(write_configs(tmp_path), FoldsConfig, ["joint=maybe"])
