"""The training run of the slimmable network, and what it leaves behind."""

import csv
import json
from pathlib import Path

import pytest
import torch

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_unet import SlimmableUNet2DConfiguration
from DynamicSegLib.training.config import DataConfig
from DynamicSegLib.training.export import read_bank
from DynamicSegLib.training.mutual_config import Decay, MutualConfig, MutualOptimiserConfig, Optimiser
from DynamicSegLib.training.mutual_run import WEIGHTS_FILE, MutualRun, export_mutual, export_part
from DynamicSegLib.weights import load_weights
from Testing.Library.test_training_folds import TASK, run_command, write
from Testing.Library.training_cases import CLASSES, MODALITIES, tiny_cache

CPU = torch.device("cpu")
NEIGHBOURS = (-1.0, 1.0)
KEEP = (Configuration(0.25, 120), Configuration(0.5), Configuration(1.0))


def config_of(folder: Path, **changes: object) -> MutualConfig:
    values: dict[str, object] = {
        "output": folder / "run",
        "data": DataConfig(folder / "cache", folder / "cases.csv", (0, 1)),
        "steps": 4,
        "base": 8,
        "widths": (0.25, 0.5, 1.0),
        "resolutions": (120,),
        "keep": KEEP,
        "size": (16, 16),
        "batch": 4,
        "optimiser": MutualOptimiserConfig(Optimiser.ADAM, 1e-2, decay=Decay.POLY),
        "cross_entropy": 1.0,
        "average": 0.5,
        "precision": "fp32",
        "recalibration_slices": 8,
        "checkpoint_every": 2,
        "log_every": 2,
    }
    return MutualConfig(**{**values, **changes})  # type: ignore[arg-type]


def test_training_lowers_the_losses_of_the_full_network_and_of_its_students(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    MutualRun(config_of(tmp_path, steps=60, log_every=20, checkpoint_every=60), CPU).train()
    with (tmp_path / "run" / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert [row["step"] for row in rows] == ["20", "40", "60"]
    assert float(rows[-1]["loss_full"]) < 0.8 * float(rows[0]["loss_full"])
    assert {"loss_smallest", "loss_others"} < set(rows[0])


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    unbroken = MutualRun(config_of(tmp_path, output=tmp_path / "unbroken"), CPU).train()
    first = MutualRun(config_of(tmp_path), CPU)
    for _ in range(2):
        first.advance()
    first.save()

    second = MutualRun(config_of(tmp_path), CPU)

    assert second.step == 2
    resumed = second.train().shared_state(KEEP)
    for name, value in unbroken.shared_state(KEEP).items():
        assert torch.equal(value, resumed[name]), name


def test_one_width_alone_leaves_the_other_channels_as_they_were(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    optimiser = MutualOptimiserConfig(Optimiser.ADAM, 1e-2, weight_decay=0.0)
    changes = {"width": 0.5, "students": None, "keep": (Configuration(0.5),), "optimiser": optimiser}
    run = MutualRun(config_of(tmp_path, **changes), CPU)
    before = run.network.network.encoder.stem.weight.detach().clone()

    losses = run.advance()

    after = run.network.network.encoder.stem.weight.detach()
    assert set(losses) == {"loss_full"}
    assert not torch.equal(before[:4], after[:4])
    assert torch.equal(before[4:], after[4:])


def test_sgd_with_nesterov_momentum_is_the_papers_optimiser(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    run = MutualRun(config_of(tmp_path, optimiser=MutualOptimiserConfig()), CPU)

    group = run.optimiser.param_groups[0]

    assert isinstance(run.optimiser, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (0.5, 0.9, 1e-4, True)


def test_a_loss_that_is_not_a_number_ends_the_run_with_a_clear_error(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    run = MutualRun(config_of(tmp_path), CPU)
    with torch.no_grad():
        run.network.network.encoder.stem.weight.fill_(float("nan"))

    with pytest.raises(TrainingError, match="not a number at step 0"):
        run.train()


def test_too_little_memory_says_what_to_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_cache(tmp_path)
    run = MutualRun(config_of(tmp_path), CPU)

    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(run, "one_step", fail)
    with pytest.raises(TrainingError, match="lower batch"):
        run.train()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    MutualRun(config_of(tmp_path), CPU).save()

    with pytest.raises(TrainingError, match="remove the checkpoint"):
        MutualRun(config_of(tmp_path, base=12), CPU)


def test_all_candidates_share_one_file_from_which_each_is_the_trained_network(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    config = config_of(tmp_path)
    run = MutualRun(config, CPU)
    network = run.train()

    export_mutual(config, network, run.pool.modalities, run.classes, (24, 24))

    bank = json.loads((config.output / "bank.json").read_text(encoding="utf-8"))
    assert bank["modalities"] == len(MODALITIES)
    assert [row["name"] for row in bank["candidates"]] == ["0.25x-120", "0.50x-whole", "1.00x-whole"]
    assert {row["weights"] for row in bank["candidates"]} == {WEIGHTS_FILE}
    shared, x = load_weights(config.output / WEIGHTS_FILE), torch.randn(2, len(MODALITIES), 24, 24)
    for row, configuration in zip(bank["candidates"], KEEP, strict=True):
        plain = SlimmableUNet2DConfiguration(**row["arguments"])
        plain.load_state_dict(plain.weights_from(shared))
        with torch.no_grad():
            reached = plain.eval()(x)
            torch.testing.assert_close(reached, network(x, configuration), atol=1e-4, rtol=1e-3)
        assert reached.shape == (2, CLASSES, 24, 24)


def test_neighbours_are_shown_and_exported_and_a_plain_start_does_not_heed_them(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    alone = MutualRun(config_of(tmp_path, output=tmp_path / "alone", dropout=0.0), CPU)
    config = config_of(tmp_path, dropout=0.0, neighbours_mm=NEIGHBOURS, regions=((1, 2), (2,)))
    run = MutualRun(config, CPU, alone.network.shared_state(()))
    x = torch.randn(2, 3 * len(MODALITIES), 24, 24)
    torch.testing.assert_close(run.network(x), alone.network(x[:, : len(MODALITIES)]))

    seen: list[torch.Tensor] = []
    handle = run.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network = run.train()
    handle.remove()
    assert {image.shape[1] for image in seen} == {6}
    assert not torch.equal(seen[0][:, :2], seen[0][:, 2:4])
    assert network.network.encoder.stem.weight[:, 2:].abs().max() > 0, "they are heeded after learning"

    export_mutual(config, network, run.pool.modalities, run.classes, (24, 24))
    bank = read_bank(config.output)
    assert [c.context.neighbours_mm for c in bank.candidates] == [NEIGHBOURS] * 3
    assert bank.modalities == len(MODALITIES)
    narrow, full = (bank.candidates[index].build().eval() for index in (0, -1))
    for plain, configuration in ((narrow, KEEP[0]), (full, KEEP[-1])):
        with torch.no_grad():
            torch.testing.assert_close(plain(x), network(x, configuration), atol=1e-4, rtol=1e-3)


def test_regions_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    with pytest.raises(TrainingError, match=r"regions \[\[3\]\]: expected class indices from 1 to 2"):
        MutualRun(config_of(tmp_path, regions=((3,),)), CPU)


def test_the_command_trains_and_exports_and_a_finished_run_exports_other_configurations(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    config = {
        "output": str(tmp_path / "run"),
        "data": {"cache": str(tmp_path / "cache"), "cases": str(tmp_path / "cases.csv")},
        "steps": 1,
        "task": write(tmp_path / "task.yaml", TASK),
        "base": 4,
        "widths": [0.5, 1.0],
        "resolutions": [120],
        "size": [16, 16],
        "batch": 2,
        "recalibration_slices": 2,
        "optimiser": {"kind": "adam", "learning_rate": 0.01},
    }
    command = ("mutual", "--config", write(tmp_path / "mutual.yaml", config), "--device", "cpu")

    def names() -> list[str]:
        content = json.loads((tmp_path / "run" / "bank.json").read_text(encoding="utf-8"))
        return [row["name"] for row in content["candidates"]]

    assert run_command(*command) == 0
    assert names() == ["0.50x-120", "0.50x-whole", "1.00x-120", "1.00x-whole"]
    trained = load_weights(tmp_path / "run" / WEIGHTS_FILE)
    assert run_command(*command, "--set", "keep=[{width: 0.75}]") == 0
    assert names() == ["0.75x-whole"]
    again = load_weights(tmp_path / "run" / WEIGHTS_FILE)
    assert all(torch.equal(again[name], tensor) for name, tensor in trained.items() if "statistics/" not in name)


def test_a_part_of_a_bank_has_the_weights_and_only_its_own_statistics(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    config = config_of(tmp_path)
    run = MutualRun(config, CPU)
    export_mutual(config, run.train(), run.pool.modalities, run.classes, (24, 24))

    export_part(config.output, tmp_path / "part", ["0.25x-120", "1.00x-whole"])

    whole, part = (load_weights(folder / WEIGHTS_FILE) for folder in (config.output, tmp_path / "part"))
    bank = json.loads((tmp_path / "part" / "bank.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in bank["candidates"]] == ["0.25x-120", "1.00x-whole"]
    assert {name for name in whole if name not in part} == {
        name for name in whole if name.startswith("statistics/0.50x-whole/")
    }
    assert all(torch.equal(tensor, whole[name]) for name, tensor in part.items())


def test_a_part_that_was_not_exported_is_a_clear_error(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    config = config_of(tmp_path, keep=KEEP[1:2])
    run = MutualRun(config, CPU)
    export_mutual(config, run.train(), run.pool.modalities, run.classes, (24, 24))

    with pytest.raises(TrainingError, match="lacks"):
        export_part(config.output, tmp_path / "part", ["0.25x-120"])
