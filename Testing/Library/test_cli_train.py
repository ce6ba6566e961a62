"""`dynamicseg train` as a user meets it: one clear error."""

import errno
from pathlib import Path

import pytest
import yaml

from DynamicSegLib.cli.main import main
from DynamicSegLib.training.bank_run import BankRun
from DynamicSegLib.training.export import read_bank
from Testing.Library.test_training_stages import write_tiny_bundle
from Testing.Library.training_cases import tiny_cache


def write_config(folder: Path) -> str:
    """The configuration of a bank of one tiny candidate on tiny cases; its path."""
    tiny_cache(folder)
    content = {
        "output": str(folder / "run"),
        "data": {"cache": str(folder / "cache"), "cases": str(folder / "cases.csv")},
        "candidates": [
            {"name": "S", "network": "unet2d", "arguments": {"in_channels": 2, "out_channels": 3, "base": 4}}
        ],
        "steps": 2,
        "size": [16, 16],
        "batch": 2,
        "precision": "fp32",
        "log_every": 1,
    }
    (folder / "bank.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(folder / "bank.yaml")


def bank(config: str, *more: str) -> int:
    return main(["train", "bank", "--config", config, "--device", "cpu", *more])


def test_a_full_disk_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("DynamicSegLib.weights.write_whole", fail)
    assert bank(config) == 2
    assert "`dynamicseg train bank` stopped at a file" in capsys.readouterr().err
    monkeypatch.undo()
    assert bank(config) == 0 and read_bank(tmp_path / "run").options == ("skip", "S")


def test_another_bundle_to_start_from_is_not_ignored_where_a_run_has_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, bundle = write_config(tmp_path), str(write_tiny_bundle(tmp_path).folder)
    assert bank(config, "--from", bundle) == 0
    assert bank(config, "--from", bundle) == 0
    assert "already finished, all 2 steps" in capsys.readouterr().err
    assert bank(config) == 2
    assert "--from changed (--from was tiny " in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["decision", "position", "bundle", "cleaning", "folds", "tables", "query-table"])
def test_stages_that_do_not_share_their_work_refuse_several_processes(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", stage, "--config", str(tmp_path / "absent.yaml")]) == 2
    assert f"`dynamicseg train {stage}` runs in one process, not in 2" in capsys.readouterr().err


def test_a_loss_is_never_reported_of_a_run_that_could_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    monkeypatch.setattr(BankRun, "one_step", lambda *_: pytest.fail("a step was taken"))
    assert bank(config, "--device", "foo") == 2
    assert "Device 'foo' is unknown: expected auto, cpu, cuda or cuda:N" in capsys.readouterr().err
    assert bank(config, "--set", "batch=0") == 2
    assert "batch 0: expected 1 or more" in capsys.readouterr().err


def test_packing_tells_which_folders_have_no_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, label in (("one", "one_seg"), ("two", "W39_Segm")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{label}.nii.gz").touch()
    assert (
        main(["train", "pack", str(tmp_path), "--layout", "brats", "--cache", str(tmp_path / "c"), "--folds", "1"]) == 2
    )
    assert f"{tmp_path / 'two'} is left out: it has no label file" in capsys.readouterr().err
