"""Crop positions of Med-DANet V2 that go on learning on whole slices."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.config import DataConfig, OptimiserConfig
from DynamicSegLib.training.export import ROUTER_FILE, read_bank
from DynamicSegLib.training.position_run import PositionRun, train_position
from DynamicSegLib.training.v2_config import PositionConfig
from DynamicSegLib.training.v2_model import guidance_loss
from DynamicSegLib.training.v2_run import WEIGHTS_FILE, train_v2
from DynamicSegLib.weights import load_weights
from Testing.Library.test_training_v2 import config_of
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")


@pytest.fixture()
def config(tmp_path: Path) -> PositionConfig:
    """After a run of the three phases on slices of 24 pixels, crops of 16."""
    tiny_cache(tmp_path)
    trained = config_of(tmp_path)
    train_v2(trained, CPU)
    data = DataConfig(tmp_path / "cache", tmp_path / "cases.csv", (0, 1), tumour_share=1.0)
    return PositionConfig(
        output=tmp_path / "position", bank=trained.output, data=data, steps=80, size=(24, 24), batch=4,
        precision="fp32", optimiser=OptimiserConfig(1e-2), log_every=40, checkpoint_every=20,
    )  # fmt: skip


def test_positions_come_nearer_and_nothing_else_changes(config: PositionConfig) -> None:
    train_position(config, CPU)

    first, last = (config.output / "log.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert float(last.split(",")[-1]) < 0.8 * float(first.split(",")[-1])
    before, after = (load_weights(folder / WEIGHTS_FILE) for folder in (config.bank, config.output))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("position.") for name in moved)
    assert (config.output / ROUTER_FILE).read_bytes() == (config.bank / ROUTER_FILE).read_bytes()
    assert [c.name for c in read_bank(config.output).candidates] == ["crop16", "whole"]


def test_a_stopped_run_goes_on(config: PositionConfig) -> None:
    run = PositionRun(config, CPU)
    for _ in range(20):
        run.advance()
    run.save()

    again = PositionRun(config, CPU)

    assert again.step == 20
    for one, other in zip(run.position.parameters(), again.position.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_bank_without_crops_is_a_clear_error(config: PositionConfig, tmp_path: Path) -> None:
    train_v2(config_of(tmp_path, output=tmp_path / "whole", spatial=False), CPU)

    with pytest.raises(TrainingError, match="no network with crop positions"):
        PositionRun(PositionConfig(output=tmp_path / "out", bank=tmp_path / "whole", data=config.data, steps=1), CPU)


def test_a_slice_that_cannot_hold_the_crop_and_the_banks_own_folder_are_refused(config: PositionConfig) -> None:
    with pytest.raises(TrainingError, match="does not hold the bank's crops of 16"):
        PositionRun(replace(config, size=(24, 8)), CPU)
    with pytest.raises(TrainingError, match="the bank's own folder"):
        PositionRun(replace(config, output=config.bank), CPU)
    assert not config.output.exists()


def test_the_distance_counts_slices_with_foreground_and_crops_inside_the_slice() -> None:
    classes = torch.zeros(2, 24, 24, dtype=torch.long)
    classes[0, :4, 10:14] = 1
    guide = torch.tensor([[2.0, 12.0], [12.0, 12.0]])

    # A crop of 16 cannot lie higher than around row 8; the second slice has nothing on it.
    exact = guidance_loss(torch.tensor([[[8.0, 12.0]], [[0.0, 0.0]]]), classes, guide, (16,))
    off = guidance_loss(torch.tensor([[[8.0, 16.0]], [[0.0, 0.0]]]), classes, guide, (16,))

    assert (float(exact), float(off)) == (0.0, pytest.approx((4 / 16) ** 2))
