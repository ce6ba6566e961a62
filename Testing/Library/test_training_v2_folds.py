"""Cross-validation of Med-DANet V2 on tiny data, from scans to the bundle."""

from pathlib import Path

import pytest
import torch
import yaml

from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.cost import count
from DynamicSegLib.methods.med_danet_v2 import METHOD
from DynamicSegLib.networks.unet import UNet2D
from DynamicSegLib.training import v2_run
from DynamicSegLib.training.config import BundleConfig, DecisionConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.fold_runs import require_alike
from DynamicSegLib.training.v2_config import V2Config, V2FoldsConfig
from DynamicSegLib.training.v2_folds import V2Folds
from DynamicSegLib.training.v2_judging import CaseFigures, table_markdown
from DynamicSegLib.weights import Storage, load_weights, save_weights
from Testing.Library.test_training_folds import TASK, write
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")
CONFIGS = Path(__file__).resolve().parents[2] / "DynamicSegLib" / "training" / "configs"


def write_configs(folder: Path, refit: bool = False) -> Path:
    """Configurations of a run of seconds below `folder`; returns that of the folds."""
    tiny_cache(folder, cases=2)
    data = {"cache": str(folder / "cache"), "cases": str(folder / "cases.csv")}
    task = write(folder / "task.yaml", TASK)
    common = {"output": "unused", "data": data, "steps": 3, "batch": 4, "precision": "fp32", "log_every": 3}
    network = {"crops": [16], "arguments": {"width": 4}, "size": [24, 24], "phases": [1, 1, 1], "task": task}
    # One crop without a foreground choice would leave the policy alone; here every option learns from every slice.
    v2 = {**common, **network, "every_option": 1.0}
    position = {**common, "bank": "unused", "size": [24, 24]}
    decision = {**common, "banks": [], "overlaps": "unused", "size": [24, 24], "task": task}
    bundle = {
        **data, "output": str(folder / "bundles"), "name": "squares-v2", "method": METHOD, "banks": [],
        "decision": "unused", "folds": [], "validation": "unused", "task": task, "facts": {"title": "Squares"},
    }  # fmt: skip
    folds = {
        **data,
        "output": str(folder / "run"),
        "v2": write(folder / "v2.yaml", v2),
        "decision": write(folder / "decision.yaml", decision),
        "bundle": write(folder / "bundle.yaml", bundle),
        "ablations": ["baseline"],
        "refit": refit,
    }
    if refit:
        folds["position"] = write(folder / "position.yaml", position)
    return Path(write(folder / "folds.yaml", folds))


def test_folds_give_the_papers_table_and_a_bundle_and_are_not_run_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_config(write_configs(tmp_path), V2FoldsConfig)
    table = V2Folds(config, CPU, lambda text: None).run()
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["network", "baseline", "S+Q"]
    baseline = float(rows[1].split(" | ")[-2])
    # Whole slices everywhere at 32 bits, and no policy network: the plain base network.
    assert baseline == pytest.approx(count(UNet2D(2, 3, 4), (1, 2, 24, 24)).macs / 1e9, abs=1e-4)
    bundle = load_bundle(tmp_path / "bundles" / "squares-v2")
    assert (bundle.method, bundle.bank.options) == (METHOD, ("skip", "crop16", "whole"))
    assert bundle.router is not None
    assert "learned from 2 cases: case0, case1." in bundle.card
    assert (tmp_path / "bundles" / "squares-v2-calibration.png").read_bytes().startswith(b"\x89PNG")
    trained, kept = (tmp_path / "run" / "all" / each for each in ("bank", "decision-final"))
    assert (trained / "router.safetensors").read_bytes() == (kept / "router.safetensors").read_bytes()

    monkeypatch.setattr(v2_run.V2Run, "one_step", lambda _, __: pytest.fail("a finished run was started again"))
    again = V2Folds(config, CPU, lambda text: None).run()
    # All but the milliseconds.
    assert [row.rpartition(" | ")[0] for row in again.splitlines()] == [
        row.rpartition(" | ")[0] for row in table.splitlines()
    ]

    said: list[str] = []
    router = tmp_path / "run" / "fold0" / "bank" / "router.safetensors"
    weights = load_weights(router)
    save_weights(router, {**weights, "quality.bias": weights["quality.bias"] + 1}, Storage.FLOAT32)
    V2Folds(config, CPU, said.append).figures("S+Q")
    assert [text.rpartition("/")[2] for text in said] == [
        "case0.json: not of these networks and settings, measured again",
        "S+Q case0: validated",
    ]


def test_with_positions_and_router_trained_further_the_table_is_judged_with_these(tmp_path: Path) -> None:
    folds = V2Folds(read_config(write_configs(tmp_path, refit=True), V2FoldsConfig), CPU, lambda text: None)

    folds.run()

    fold = tmp_path / "run" / "fold0"
    weights = [(fold / stage / "dynamic.safetensors").read_bytes() for stage in ("phases", "bank")]
    assert weights[0] != weights[1]
    router = folds._bundle_of("S+Q", 0).router
    assert router is not None and router.weights == fold / "decision-final" / "router.safetensors"
    assert router.weights.read_bytes() != (fold / "phases" / "router.safetensors").read_bytes()
    # Without crops there is no position to train and nothing to choose.
    assert folds._bundle_of("baseline", 0).router is None
    assert not (tmp_path / "run" / "baseline" / "fold0" / "phases").exists()


def test_the_table_shows_means_and_the_ratio_to_its_first_row() -> None:
    rows = table_markdown(
        {
            "baseline": [CaseFigures("a", {"WT": 0.8}, 4e9, 4e9), CaseFigures("b", {"WT": 0.6}, 4e9, 4e9)],
            "S+Q": [CaseFigures("a", {"WT": 0.9}, 2e9, 0.5e9), CaseFigures("b", {"WT": 0.7}, 2e9, 1.5e9)],
        },
        {"baseline": 40.0, "S+Q": 8.5},
        "a machine",
    ).splitlines()
    assert rows[0].endswith("ms a slice (a machine) |")
    assert rows[2] == "| baseline | 0.7000 | 0.7000 | 4.0000 | 1.000 | 4.0000 | 40.00 |"
    assert rows[3] == "| S+Q | 0.8000 | 0.8000 | 1.0000 | 0.250 | 2.0000 | 8.50 |"


def test_the_shipped_configuration_names_files_that_are_there() -> None:
    config = read_config(CONFIGS / "gpu-v2-folds.yaml", V2FoldsConfig)
    for path in (config.v2, config.decision, config.bundle):
        assert (CONFIGS.parents[2] / path).is_file()
    for name in ("gpu-v2-folds", "small-v2-folds"):
        files = read_config(CONFIGS / f"{name}.yaml", V2FoldsConfig)
        decision = read_config(CONFIGS.parents[2] / files.decision, DecisionConfig)
        require_alike(decision, read_config(CONFIGS.parents[2] / files.bundle, BundleConfig))
    assert yaml.safe_load((CONFIGS / "v2-bundle.yaml").read_text(encoding="utf-8"))["method"] == METHOD
    assert read_config(CONFIGS / "gpu-v2.yaml", V2Config).data.resident
