"""Cross-validation of some folds only, and runs that start from the first method's networks of the same fold."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.networks.slimmable import FULL
from DynamicSegLib.networks.slimmable_network import shared_from_plain
from DynamicSegLib.networks.slimmable_unet import slimmable_unet2d
from DynamicSegLib.training import precisions
from DynamicSegLib.training.config import CandidateConfig, FoldsConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.export import export_bank
from DynamicSegLib.training.fold_runs import Folds, fold_folder, start_of_fold
from DynamicSegLib.training.folds import CrossValidation
from DynamicSegLib.training.mutual_config import MutualFoldsConfig
from DynamicSegLib.training.mutual_folds import cross_validate_mutual
from DynamicSegLib.training.v2_config import V2FoldsConfig
from DynamicSegLib.training.v2_folds import V2Folds
from Testing.Library import test_training_mutual_folds, test_training_v2_folds
from Testing.Library.test_training_folds import write, write_configs

CPU = torch.device("cpu")
UNET = {"in_channels": 2, "out_channels": 3, "base": 4}


def cases(folder: Path, *folds: int) -> Path:
    path = folder / "cases.csv"
    path.write_text("case,fold\n" + "".join(f"c{i},{fold}\n" for i, fold in enumerate(folds)), encoding="utf-8")
    return path


def leave_bank(output: Path, held_out: int | None) -> dict[str, torch.Tensor]:
    """A finished bank of one UNet where `train folds` leaves it; returns its weights."""
    torch.manual_seed(7 if held_out is None else held_out)
    state = build_network("unet2d", UNET).state_dict()
    candidate = CandidateConfig("M", "unet2d", UNET)
    export_bank(fold_folder(output, held_out) / "bank-M", (candidate,), {"M": state}, 2)
    return state


def test_folds_are_of_the_cases_and_all_are_held_out_by_default(tmp_path: Path) -> None:
    folds = Folds.of(tmp_path, cases(tmp_path, 2, 0, 1, 1))
    assert folds.every == folds.held_out == (0, 1, 2)
    assert folds.others(1) == (0, 2)
    assert folds.others(None) == (0, 1, 2)
    assert [folds.judge_of(fold) for fold in folds.every] == [0, 1, 2]


def test_a_fold_that_is_not_held_out_is_judged_by_the_first_run_there_is(tmp_path: Path) -> None:
    folds = Folds.of(tmp_path, cases(tmp_path, 0, 1, 2), (2, 1))
    assert folds.held_out == (1, 2)
    assert [folds.judge_of(fold) for fold in folds.every] == [1, 1, 2]


def test_an_unknown_fold_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"fold 7; its folds are \(0, 1\)"):
        Folds.of(tmp_path, cases(tmp_path, 0, 1), (7,))


def test_a_cross_validation_of_one_fold_trains_one_bank_and_validates_its_cases_only(tmp_path: Path) -> None:
    path = write_configs(tmp_path)
    config = read_config(path, FoldsConfig, ["held_out=[1]"])
    bundle = CrossValidation(config, CPU, lambda text: None).bundle()
    runs = {folder.name for folder in config.output.glob("*/bank")}
    assert runs == {"bank"}
    assert {folder.parent.name for folder in config.output.glob("*/bank")} == {"fold1", "all"}
    validated = {json.loads(file.read_text())["case"] for file in config.output.glob("fold1/validation-*/**/*.json")}
    listed = [line.split(",") for line in config.cases.read_text().splitlines()[1:]]
    assert validated == {case for case, fold, *_ in listed if fold == "1"}
    assert bundle.curve


def test_runs_start_from_the_plain_network_of_the_same_fold(tmp_path: Path) -> None:
    states = {held_out: leave_bank(tmp_path, held_out) for held_out in (0, 1, None)}
    for held_out, state in states.items():
        found = start_of_fold(tmp_path, held_out, "unet2d", {"base": 4})
        assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_what_cannot_be_started_from_is_named(tmp_path: Path) -> None:
    leave_bank(tmp_path, 0)
    with pytest.raises(TrainingError, match="fold1 holds no finished bank"):
        start_of_fold(tmp_path, 1, "unet2d", {"base": 4})
    with pytest.raises(TrainingError, match=r"fold0 has no unet2d with .*'base': 16"):
        start_of_fold(tmp_path, 0, "unet2d", {})


def test_a_slimmable_network_started_from_a_plain_one_computes_the_same() -> None:
    plain = build_network("unet2d", {**UNET, "dropout": 0.0}).train()
    slimmable = slimmable_unet2d(2, 3, 4, 0.0)
    slimmable.load_shared(shared_from_plain(plain.state_dict()))
    x = torch.randn(3, 2, 24, 24)
    # Both normalise by the batch in training mode.
    torch.testing.assert_close(slimmable.train()(x, FULL), plain(x))


def test_the_second_method_starts_its_folds_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from DynamicSegLib.training import v2_folds

    runs = tmp_path / "first"
    state = leave_bank(runs, 0)
    path = test_training_v2_folds.write_configs(tmp_path)
    config = read_config(path, V2FoldsConfig, [f"start={runs}", "held_out=[0]", "ablations=[]"])
    started = []

    def stop(_: object, __: object, base: dict[str, torch.Tensor]) -> None:
        started.append(base)
        raise KeyboardInterrupt

    monkeypatch.setattr(v2_folds, "train_v2", stop)
    with pytest.raises(KeyboardInterrupt):
        V2Folds(config, CPU, lambda text: None).run()
    assert all(torch.equal(started[0][name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("method", ["v2", "mutual"])
def test_a_package_that_the_bundle_needs_is_missed_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    module = {"v2": test_training_v2_folds, "mutual": test_training_mutual_folds}[method]
    path = Path(module.write_configs(tmp_path))
    bundle = tmp_path / "bundle.yaml"
    write(bundle, {**yaml.safe_load(bundle.read_text(encoding="utf-8")), "judge_precisions": True})
    monkeypatch.setattr(precisions, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match=r"openvino, .* is not installed"):
        if method == "v2":
            V2Folds(read_config(path, V2FoldsConfig), CPU, lambda text: None).run()
        else:
            cross_validate_mutual(read_config(path, MutualFoldsConfig), CPU, lambda text: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["v2", "mutual"])
def test_another_alpha_of_the_bundle_is_refused_before_anything_is_trained(tmp_path: Path, method: str) -> None:
    module = {"v2": test_training_v2_folds, "mutual": test_training_mutual_folds}[method]
    path = Path(module.write_configs(tmp_path))
    bundle = tmp_path / "bundle.yaml"
    write(bundle, {**yaml.safe_load(bundle.read_text(encoding="utf-8")), "alpha": 0.5})
    with pytest.raises(TrainingError, match=r"alpha is 0\.001 .* and 0\.5 in that of the bundle"):
        if method == "v2":
            V2Folds(read_config(path, V2FoldsConfig), CPU, lambda text: None).run()
        else:
            cross_validate_mutual(read_config(path, MutualFoldsConfig), CPU, lambda text: None)
    assert not (tmp_path / "run").exists()
