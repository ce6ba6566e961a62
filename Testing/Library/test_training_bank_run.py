"""Joint training of a bank."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.training.augmentation import Augmentation
from DynamicSegLib.training.bank_run import BankRun
from DynamicSegLib.training.config import BankConfig, CandidateConfig, DataConfig, OptimiserConfig
from DynamicSegLib.training.export import export_bank, read_bank
from DynamicSegLib.training.fold_runs import refitted
from DynamicSegLib.training.schedule import Detachment, ProgressiveResizing
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")


def config_of(folder: Path, **changes: object) -> BankConfig:
    arguments = {"in_channels": 2, "out_channels": 3, "base": 4}
    values: dict[str, object] = {
        "output": folder / "run",
        "data": DataConfig(folder / "cache", folder / "cases.csv", (0, 1)),
        "candidates": (
            CandidateConfig("S", "unet2d", arguments),
            CandidateConfig("L", "unet2d", {**arguments, "base": 6}),
        ),
        "steps": 6,
        "size": (16, 16),
        "batch": 4,
        "optimiser": OptimiserConfig(1e-2),
        "augmentation": Augmentation(rotate_degrees=20, spatial_probability=1.0, noise=0.1, noise_probability=0.5),
        "average": 0.9,
        "precision": "fp32",
        "checkpoint_every": 3,
        "log_every": 2,
    }
    return BankConfig(**{**values, **changes})  # type: ignore[arg-type]


def networks_of(run: BankRun) -> dict[str, torch.nn.Module]:
    return {name: learner.network for name, learner in run.learners.items()}


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    BankRun(config_of(tmp_path, steps=60, log_every=20, checkpoint_every=60), CPU).train()
    with (tmp_path / "run" / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20", "40", "60"]
    assert float(rows[-1]["loss_L"]) < 0.8 * float(rows[0]["loss_L"])


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    unbroken = BankRun(config_of(tmp_path, output=tmp_path / "unbroken"), CPU).train()
    first = BankRun(config_of(tmp_path), CPU)
    for _ in range(3):
        first.advance()
    first.save()
    second = BankRun(config_of(tmp_path), CPU)
    assert second.step == 3
    resumed = second.train()
    for name, state in unbroken.items():
        for key, value in state.items():
            assert torch.equal(value, resumed[name][key]), (name, key)


def test_detached_candidates_stand_still_while_the_others_go_on(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    run = BankRun(config_of(tmp_path, detachment=Detachment(("S",), 0.5)), CPU)
    run.step = 3
    before = {name: network.encoder.stem.weight.clone() for name, network in networks_of(run).items()}  # type: ignore[union-attr,operator]
    losses = run.advance()
    assert set(losses) == {"loss_L"}
    assert torch.equal(before["S"], run.learners["S"].network.encoder.stem.weight)  # type: ignore[union-attr,arg-type]
    assert not torch.equal(before["L"], networks_of(run)["L"].encoder.stem.weight)  # type: ignore[union-attr,arg-type]


def test_small_crops_come_first_and_a_resumed_run_knows_where_it_is(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    early = ProgressiveResizing(0.5, (8, 8), 7)
    run = BankRun(config_of(tmp_path, progressive=early), CPU)
    seen = []

    def notice(network: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.append(tuple(inputs[0].shape))

    networks_of(run)["L"].register_forward_pre_hook(notice)
    for _ in range(4):
        run.advance()
    assert seen == [(7, 2, 8, 8)] * 3 + [(4, 2, 16, 16)]
    run.save()
    assert BankRun(config_of(tmp_path, progressive=early), CPU).shape == (4, (16, 16))


def test_joint_training_gives_each_candidate_what_it_gets_alone(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    both = config_of(tmp_path)
    joint = BankRun(both, CPU)
    start = {name: {k: v.clone() for k, v in n.state_dict().items()} for name, n in networks_of(joint).items()}
    joint.advance()
    alone = BankRun(config_of(tmp_path, candidates=both.candidates[1:], output=tmp_path / "alone"), CPU, start)
    alone.advance()
    image = torch.randn(1, 2, 16, 16)
    results = [networks_of(run)["L"].eval()(image) for run in (joint, alone)]
    # The mean over candidates halves the gradients, to which Adam is blind up to weight decay and its epsilon.
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-3)


def test_a_candidate_starts_as_another_wherever_name_and_shape_agree(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    small = build_network("unet2d", {"in_channels": 2, "out_channels": 3, "base": 4}).state_dict()
    arguments = {"in_channels": 2, "out_channels": 3, "base": 4, "layers": 1, "size": 24}
    large = CandidateConfig("T", "transbts2d", arguments, starts_as="S")
    state = networks_of(BankRun(config_of(tmp_path, candidates=(large,)), CPU, {"S": small}))["T"].state_dict()
    encoder = [name for name in small if name.startswith("encoder.")]
    assert encoder and all(torch.equal(state[name], small[name]) for name in encoder)
    own = {"T": {name: tensor + 1 for name, tensor in state.items()}}
    again = BankRun(config_of(tmp_path, candidates=(large,)), CPU, {"S": small, **own})
    assert torch.equal(networks_of(again)["T"].state_dict()["position"], own["T"]["position"])


def test_candidates_of_one_run_may_see_different_neighbours(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    small, large = config_of(tmp_path).candidates
    near = replace(large, name="N", arguments={**large.arguments, "in_channels": 4}, neighbours_mm=(1.0,))
    both = replace(large, name="B", arguments={**large.arguments, "in_channels": 6}, neighbours_mm=(-1.0, 1.0))
    run = BankRun(config_of(tmp_path, candidates=(small, near, both)), CPU)
    assert run.context == Context((1.0, -1.0))
    seen: dict[str, torch.Tensor] = {}
    for name, network in networks_of(run).items():
        network.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]}))
    run.advance()
    assert {name: image.shape[1] for name, image in seen.items()} == {"S": 2, "N": 4, "B": 6}
    assert torch.equal(seen["B"][:, :2], seen["S"]) and torch.equal(seen["N"][:, :2], seen["S"])
    assert torch.equal(seen["B"][:, 4:], seen["N"][:, 2:]), "the neighbour above comes last, where B wants it"
    assert not torch.equal(seen["B"][:, 2:4], seen["B"][:, 4:])


def test_channels_that_do_not_fit_the_neighbours_are_named(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    small, large = config_of(tmp_path).candidates
    with pytest.raises(
        TrainingError, match=r"L has in_channels 2, but sees 2 modalities of 3 slices: .* in_channels 6"
    ):
        BankRun(config_of(tmp_path, candidates=(small, replace(large, neighbours_mm=(-1.0, 1.0)))), CPU)


def test_classes_that_do_not_fit_the_cases_are_named(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    four = CandidateConfig("S", "unet2d", {"in_channels": 2, "base": 4})
    with pytest.raises(TrainingError, match=r"S has out_channels 4, but the cases have 3 classes.* out_channels 3"):
        BankRun(config_of(tmp_path, candidates=(four,)), CPU)


def test_a_network_that_sees_more_starts_as_it_was(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    before = build_network("unet2d", {"in_channels": 2, "out_channels": 3, "base": 6}).eval()
    arguments = {"in_channels": 6, "out_channels": 3, "base": 6}
    wide = CandidateConfig("L", "unet2d", arguments, neighbours_mm=(-1.0, 1.0))
    run = BankRun(config_of(tmp_path, candidates=(wide,)), CPU, {"L": before.state_dict()})
    image = torch.randn(2, 6, 16, 16)
    aware = networks_of(run)["L"].eval()
    torch.testing.assert_close(aware(image), before(image[:, :2]))
    back = refitted(before, aware.state_dict())
    assert all(torch.equal(tensor, back[name]) for name, tensor in before.state_dict().items())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    other = build_network("unet2d", {"in_channels": 2, "out_channels": 3, "base": 8}).state_dict()
    with pytest.raises(TrainingError, match=r"L cannot go on from weights .* expected unet2d with .*'base': 6"):
        BankRun(config_of(tmp_path), CPU, {"L": other})


@pytest.mark.parametrize("regions", [((1, 2, 4), (4,)), ((0, 1),), ((1,), ())])
def test_regions_are_of_classes_not_of_label_values(tmp_path: Path, regions: tuple[tuple[int, ...], ...]) -> None:
    tiny_cache(tmp_path)
    with pytest.raises(TrainingError, match="expected class indices from 1 to 2"):
        BankRun(config_of(tmp_path, regions=regions), CPU)


def test_a_candidate_that_cannot_start_as_another_says_why(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    arguments = {"in_channels": 2, "out_channels": 3, "base": 4}
    wants = config_of(tmp_path, candidates=(CandidateConfig("L", "unet2d", arguments, starts_as="S"),))
    with pytest.raises(TrainingError, match=r"L starts as S, whose weights are not here.*--from"):
        BankRun(wants, CPU)
    with pytest.raises(TrainingError, match="L starts as S: none of its weights fits UNet2D"):
        BankRun(wants, CPU, {"S": {"other": torch.zeros(1)}})


def test_a_checkpoint_of_another_bank_is_refused(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    BankRun(config_of(tmp_path), CPU).save()
    with pytest.raises(TrainingError, match="of another run: candidates changed"):
        BankRun(config_of(tmp_path, candidates=config_of(tmp_path).candidates[:1]), CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": OptimiserConfig(1e-3)}, r"optimiser\.learning_rate changed \(.* was 0\.01 and is 0\.001 now\)"),
        ({"steps": 7}, r"steps changed \(steps was 6 and is 7 now\)"),
        ({"started_from": "glioma 0123"}, r"--from changed \(--from was None and is glioma 0123 now\)"),
        ({"batch": 5, "seed": 2}, "batch, seed changed"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    tiny_cache(tmp_path)
    BankRun(config_of(tmp_path), CPU).save()
    with pytest.raises(TrainingError, match=f"{message}.*name another output folder, or remove the checkpoint"):
        BankRun(config_of(tmp_path, **change), CPU)


def test_a_checkpoint_of_other_cases_is_refused(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    BankRun(config_of(tmp_path), CPU).save()
    with pytest.raises(TrainingError, match=r"data\.cases changed"):
        BankRun(config_of(tmp_path, data=DataConfig(tmp_path / "cache", tmp_path / "cases.csv")), CPU)


def test_a_run_goes_on_elsewhere_and_with_other_habits(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    run = BankRun(config_of(tmp_path), CPU)
    run.advance()
    run.save()
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "cache").rename(tmp_path / "there")
    data = DataConfig(tmp_path / "there", tmp_path / "cases.csv", (1, 0))
    other = config_of(tmp_path, output=tmp_path / "moved", data=data, log_every=5, checkpoint_every=4)
    assert BankRun(other, CPU).step == 1


def test_checkpoints_of_earlier_versions_are_taken(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    run = BankRun(config_of(tmp_path), CPU)
    run.advance()
    run.save()
    path = tmp_path / "run" / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    torch.save({key: content[key] for key in ("step", "learners")}, path)
    assert BankRun(config_of(tmp_path, seed=9), CPU).step == 1


def test_a_finished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_cache(tmp_path)
    BankRun(config_of(tmp_path), CPU).train()
    assert "already finished" not in capsys.readouterr().err
    BankRun(config_of(tmp_path), CPU).train()
    assert "run: already finished, all 6 steps" in capsys.readouterr().err


def test_the_log_of_a_resumed_run_is_that_of_an_unbroken_one(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    changes: dict[str, object] = {"steps": 8, "checkpoint_every": 3, "detachment": Detachment(("S",), 0.5)}
    logs = []
    for output, stops in (("unbroken", ()), ("broken", (5, 7))):
        for stop in stops:
            _train_until(BankRun(config_of(tmp_path, output=tmp_path / output, **changes), CPU), stop)
        BankRun(config_of(tmp_path, output=tmp_path / output, **changes), CPU).train()
        with (tmp_path / output / "log.csv").open(newline="", encoding="utf-8") as file:
            logs.append([{**row, "seconds": "", "left_seconds": ""} for row in csv.DictReader(file)])
    assert logs[0] == logs[1]
    assert [row["step"] for row in logs[0]] == ["2", "4", "6", "8"]
    assert [bool(row["loss_S"]) for row in logs[0]] == [True, True, False, False]


def _train_until(run: BankRun, stop: int) -> None:
    """Train, and break off, as if killed, after step `stop`."""
    original = run.advance

    def advance() -> dict[str, float]:
        if run.step == stop:
            raise KeyboardInterrupt
        return original()

    run.advance = advance  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.train()


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_cache(tmp_path)
    run = BankRun(config_of(tmp_path), CPU)
    run.save()
    whole = (tmp_path / "run" / "checkpoint.pt").read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(TrainingError, match="previous one is untouched"):
        run.save()
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == whole


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    run = BankRun(config_of(tmp_path), CPU)
    torch.nn.init.constant_(run.learners["S"].network.decoder.head.weight, float("nan"))  # type: ignore[union-attr,arg-type]
    with pytest.raises(TrainingError, match="loss of S is not a number at step 0"):
        run.train()


def test_exported_weights_come_back_as_a_bank(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    config = config_of(tmp_path)
    states = BankRun(config, CPU).train()
    export_bank(config.output, config.candidates, states, 2)
    bank = read_bank(config.output)
    assert bank.options == ("skip", "S", "L")
    network = bank.candidates[0].build().eval()
    for key, value in network.network.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(value, states["S"][key])


def test_an_unfinished_bank_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no finished bank"):
        read_bank(tmp_path)
