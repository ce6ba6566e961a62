"""MutualNet on tiny data: slimmable networks, query table, comparison, decision networks, bundle."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.methods import mutualnet
from DynamicSegLib.methods.registry import method_of
from DynamicSegLib.training import decision_run, mutual_run, mutual_stages
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.export import read_bank
from DynamicSegLib.training.mutual_config import MutualFoldsConfig
from DynamicSegLib.training.mutual_folds import MutualFolds
from Testing.Library.test_training_folds import TASK, run_command, write
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")


def write_configs(folder: Path) -> str:
    """Configurations of a run of seconds below `folder`; returns that of the folds."""
    tiny_cache(folder)
    data = {"cache": str(folder / "cache"), "cases": str(folder / "cases.csv")}
    task = write(folder / "task.yaml", TASK)
    common = {"data": data, "steps": 2, "batch": 4, "precision": "fp32", "log_every": 2, "average": 0.5, "task": task}
    mutual = {
        **common,
        "output": "unused",
        "base": 4,
        "widths": [0.5, 1.0],
        "resolutions": [120],
        "size": [16, 16],
        "recalibration_slices": 4,
        "optimiser": {"kind": "adam", "learning_rate": 0.01},
    }
    decision = {**common, "output": "unused", "banks": [], "overlaps": "unused", "size": [24, 24]}
    bundle = {
        **data,
        "output": str(folder / "bundles"),
        "name": "squares",
        "method": "mutualnet",
        "banks": [],
        "decision": "unused",
        "folds": [],
        "validation": "unused",
        "task": task,
        "facts": {"title": "Squares"},
    }
    folds = {
        **data,
        "output": str(folder / "run"),
        "mutual": write(folder / "mutual.yaml", mutual),
        "decision": write(folder / "decision.yaml", decision),
        "bundle": write(folder / "bundle.yaml", bundle),
        "alone": [0.5],
        "narrowed": True,
        "candidates": 2,
        "distances": True,
        "backend": "torch",
    }
    return write(folder / "folds.yaml", folds)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished cross-validation."""
    folder: Path = tmp_path_factory.mktemp("mutual")
    assert run_command("mutual-folds", "--config", write_configs(folder), "--device", "cpu") == 0
    return folder


def test_one_command_goes_from_a_cache_to_a_bundle_with_one_file_for_all_candidates(finished: Path) -> None:
    folder = finished / "bundles" / "squares"
    bundle = load_bundle(folder)

    assert bundle.method == "mutualnet"
    files = {candidate.weights for candidate in bundle.bank.candidates}
    assert len(files) == 1
    assert {file.name for file in folder.glob("*.safetensors")} == {"router.safetensors", *(f.name for f in files if f)}
    rows = mutualnet.query_table(bundle)
    assert {row.name for row in rows} == {"0.50x-120", "0.50x-whole", "1.00x-120", "1.00x-whole"}
    assert all(set(row.dice) == {"WT", "TC"} == set(row.hd95_mm) for row in rows)
    assert all(row.milliseconds is not None and row.milliseconds > 0 for row in rows)
    assert set(bundle.bank.options[1:]) <= {row.name for row in rows}
    assert bundle.curve
    assert "learned from 3 cases: case0, case1, case2." in bundle.card


def test_mutual_learning_is_compared_with_separate_training_and_with_narrowing(finished: Path) -> None:
    text = (finished / "run" / "comparison.md").read_text(encoding="utf-8")
    by_rule = text.split("\n\n")[1]

    heads, _, half, full = (line.strip("| ").split(" | ") for line in by_rule.splitlines())

    assert heads[2:5] == ["mutual learning", "trained alone", "narrowed only"]
    assert half[0] == "0.50"
    # At full width the network that was narrowed is the one that was trained alone.
    assert full[3] == full[4]
    assert (finished / "run" / "comparison.png").stat().st_size > 1000


def test_what_is_finished_is_not_done_again(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((mutual_run, "MutualRun"), (decision_run, "DecisionRun")):
        monkeypatch.setattr(getattr(module, name), "one_step", lambda _, __: pytest.fail("trained again"))
    monkeypatch.setattr(mutual_stages, "milliseconds_a_slice", lambda *_: pytest.fail("timed again"))

    assert run_command("mutual-folds", "--config", str(finished / "folds.yaml"), "--device", "cpu") == 0


def test_every_candidate_of_the_bundle_gives_what_the_run_left_behind(finished: Path) -> None:
    bundle = load_bundle(finished / "bundles" / "squares")
    left = read_bank(finished / "run" / "all" / "bank")
    x = np.random.default_rng(0).standard_normal((2, 2, 24, 24)).astype(np.float32)
    backend = choose_backend("torch", "cpu")

    execution = method_of(bundle).make_execution(bundle, backend, (24, 24), "whole")

    assert left.options == bundle.bank.options
    for option, candidate in enumerate(left.candidates, start=1):
        (logits,) = backend.compile(candidate.build(), 2, (24, 24))(x)
        outcome = execution.run(option, x)
        # The bundle keeps weights at 16 bits.
        assert (outcome.classes == logits.argmax(axis=1)).mean() > 0.98
        assert outcome.extras[0]["width"] == candidate.arguments["width"]


def test_the_slimmable_network_can_be_fine_tuned_from_its_bundle(finished: Path, tmp_path: Path) -> None:
    tuned = tmp_path / "tuned"
    bundle, config = str(finished / "bundles" / "squares"), str(finished / "mutual.yaml")
    options = ["--set", f"output={tuned}", "--set", "steps=1", "--set", "optimiser.learning_rate=0"]

    assert run_command("mutual", "--config", config, "--device", "cpu", "--from", bundle, *options) == 0

    before, after = (
        mutual_run.load_weights(path)
        for path in (load_bundle(bundle).bank.candidates[0].weights, tuned / mutual_run.WEIGHTS_FILE)
        if path is not None
    )
    for name, tensor in before.items():
        if not name.startswith("statistics/"):
            np.testing.assert_allclose(after[name], tensor, atol=1e-3)
    rows = json.loads((tuned / "bank.json").read_text(encoding="utf-8"))["candidates"]
    assert len(rows) == 4


def test_each_run_goes_on_from_the_run_of_its_name_in_an_earlier_cross_validation(
    finished: Path, tmp_path: Path
) -> None:
    still = yaml.safe_load((finished / "mutual.yaml").read_text(encoding="utf-8"))
    still |= {"steps": 1, "seed": 2, "optimiser": {"kind": "adam", "learning_rate": 0.0}}
    settings = [f"output={tmp_path}", f"start={finished / 'run'}", f"mutual={write(tmp_path / 'mutual.yaml', still)}"]
    run = MutualFolds(read_config(finished / "folds.yaml", MutualFoldsConfig, settings), CPU, lambda text: None)
    alone = replace(run.mutual, width=0.5, students=None)
    for label, config in (("mutual", run.mutual), ("alone-0.50", alone)):
        run.table(label, config)
        after, before = (
            mutual_run.load_weights(output / "fold0" / label / mutual_run.WEIGHTS_FILE)
            for output in (tmp_path, finished / "run")
        )
        name = "network.encoder.stem.weight"
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)


def test_the_query_table_of_finished_runs_is_one_command(tmp_path: Path) -> None:
    path = write_configs(tmp_path)
    run = tmp_path / "run"
    for fold in (0, 1):
        options = ["--set", f"output={run / str(fold)}", "--set", f"data.folds=[{1 - fold}]"]
        assert run_command("mutual", "--config", str(tmp_path / "mutual.yaml"), "--device", "cpu", *options) == 0
    folds = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    table = {
        "output": str(tmp_path / "table"),
        "banks": [str(run / "0"), str(run / "1")],
        "folds": [0, 1],
        "cache": folds["cache"],
        "cases": folds["cases"],
        "task": str(tmp_path / "task.yaml"),
        "distances": False,
        "backend": "torch",
        "candidates": 2,
    }

    assert run_command("query-table", "--config", write(tmp_path / "table.yaml", table), "--device", "cpu") == 0

    text = (tmp_path / "table" / "table.md").read_text(encoding="utf-8")
    keep = json.loads((tmp_path / "table" / "front.json").read_text(encoding="utf-8"))["keep"]
    assert "Rank correlation of milliseconds and macs over 4 configurations" in text
    assert 1 <= len(keep) <= 2
    assert sorted(path.stem for path in (tmp_path / "table").glob("fold*/*.json")) == ["case0", "case1"]
