"""Training of Med-DANet V2 in three phases."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from DynamicSegLib.bundle import Bundle, RouterSpec
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.methods.med_danet_v2 import METHOD
from DynamicSegLib.networks.decision import DecisionOutput
from DynamicSegLib.networks.unet import UNet2D
from DynamicSegLib.training import v2_run
from DynamicSegLib.training.config import DataConfig, OptimiserConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.export import read_bank
from DynamicSegLib.training.task import GLIOMA
from DynamicSegLib.training.v2_bits import settled
from DynamicSegLib.training.v2_config import V2Config
from DynamicSegLib.training.v2_model import Options, Prices, V2Loss, foreground_centre, mix, slice_dice
from DynamicSegLib.training.v2_run import V2Run, base_state, export_v2
from DynamicSegLib.weights import load_weights
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")
NEIGHBOURS = (-1.0, 1.0)
CONFIGS = Path(__file__).resolve().parents[2] / "DynamicSegLib" / "training" / "configs"


def config_of(folder: Path, **changes: object) -> V2Config:
    values: dict[str, object] = {
        "output": folder / "run",
        "data": DataConfig(folder / "cache", folder / "cases.csv", (0, 1)),
        "steps": 6,
        "phases": (2, 2, 2),
        "crops": (16,),
        "arguments": {"width": 4, "dropout": 0.0},
        "size": (24, 24),
        "batch": 4,
        "optimiser": OptimiserConfig(1e-2),
        "every_option": 0.5,
        "guidance": 0.5,
        "average": 0.9,
        "precision": "fp32",
        "checkpoint_every": 3,
        "log_every": 2,
    }
    return V2Config(**{**values, **changes})  # type: ignore[arg-type]


def changed(before: dict[str, torch.Tensor], run: V2Run) -> set[str]:
    """Parts of the model whose parameters moved."""
    moved = {n for n, p in run.model.named_parameters() if not torch.equal(before[n], p)}
    parts = ("policy", "network.position", "network.segmentation.selectors", "network.segmentation.network")
    return {part for part in parts if any(name.startswith(part + ".") for name in moved)}


def test_phases_follow_the_papers_epochs() -> None:
    config = V2Config(output=Path("x"), data=DataConfig(Path("c"), Path("l")), steps=350)
    phases = [config.phase(step) for step in range(350)]
    assert [phases.count(phase) for phase in (1, 2, 3)] == [200, 100, 50]
    assert phases == sorted(phases)


def test_each_phase_trains_its_own_parts(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    run = V2Run(config_of(tmp_path), CPU)
    network, selectors = "network.segmentation.network", "network.segmentation.selectors"
    expected = [
        {"policy", network},
        {network, selectors, "network.position"},
        {"policy", network, selectors, "network.position"},
    ]
    for step, parts in ((0, expected[0]), (2, expected[1]), (4, expected[2])):
        run.step = step
        before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
        losses = run.advance()
        assert changed(before, run) == parts
        assert losses["gflops"] > 0
        assert (losses["area"] > 0) == ("policy" in parts)


def test_decision_networks_may_learn_faster_than_the_segmentation(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    moved = {}
    for rate in (1.0, 4.0):
        run = V2Run(config_of(tmp_path, output=tmp_path / str(rate), decision_rate=rate), CPU)
        before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
        run.advance()
        moved[rate] = {name: float((p.detach() - before[name]).abs().max()) for name, p in run.model.named_parameters()}
    policy, head = "policy.backbone.classifier.weight", "network.segmentation.network.decoder.head.weight"
    assert moved[4.0][policy] == pytest.approx(4 * moved[1.0][policy], rel=1e-2)
    assert moved[4.0][head] == pytest.approx(moved[1.0][head], rel=1e-2)


def test_training_lowers_the_loss_and_logs_every_phase(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    V2Run(config_of(tmp_path, steps=60, log_every=20, checkpoint_every=60), CPU).train()
    with (tmp_path / "run" / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == ["1.0", "2.0", "3.0"]
    assert float(rows[-1]["options"]) < 0.8 * float(rows[0]["options"])


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    unbroken = V2Run(config_of(tmp_path, output=tmp_path / "unbroken"), CPU).train()
    first = V2Run(config_of(tmp_path), CPU)
    for _ in range(3):
        first.advance()
    first.save()
    second = V2Run(config_of(tmp_path), CPU)
    assert second.step == 3
    resumed = second.train()
    for name, value in unbroken.items():
        assert torch.equal(value, resumed[name]), name


def test_selectors_that_always_say_the_same_are_taken_out(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    plain = config_of(tmp_path)
    run = V2Run(plain, CPU)
    state = run.train()
    selectors = "network.segmentation.selectors."
    for index, bits in enumerate(((0.0, 50.0), (50.0, 0.0), (0.0, 50.0))):
        state[f"{selectors}{index}.second.bias"] = torch.tensor(bits)
    export_v2(plain, run, state)
    fixed = replace(plain, output=tmp_path / "fixed", fix_bits=1.0)
    export_v2(fixed, run, state)

    before, after = (read_bank(config.output).candidates[0] for config in (plain, fixed))

    assert before.arguments["bits"] == [8, 16]
    assert after.arguments["bits"][:3] == [[16], [8], [16]]
    x = torch.randn(3, 2, 32, 32)
    torch.testing.assert_close(after.build().eval()(x), before.build().eval()(x))


def test_bits_are_fixed_from_the_share_that_is_asked_for() -> None:
    chosen = np.array([[8, 16, 8, 8]] * 9 + [[16, 16, 8, 16]])
    spaces = ((8, 16),) * 4
    assert settled(spaces, chosen, 0.9) == ((8,), (16,), (8,), (8,))
    assert settled(spaces, chosen, 0.95) == ((8, 16), (16,), (8,), (8, 16))
    with pytest.raises(TrainingError, match="fix_bits"):
        config_of(Path("x"), fix_bits=0.4)


@pytest.mark.parametrize(("spatial", "quantised"), [(False, False), (True, False), (False, True)])
def test_the_ablations_train_and_leave_a_bank(tmp_path: Path, spatial: bool, quantised: bool) -> None:
    tiny_cache(tmp_path)
    config = config_of(tmp_path, spatial=spatial, quantised=quantised, steps=3, phases=(1, 1, 1))
    run = V2Run(config, CPU)
    export_v2(config, run, run.train())
    bank = read_bank(config.output)
    assert bank.options == (("skip", "crop16", "whole") if spatial else ("skip", "whole"))
    assert bank.candidates[-1].arguments["bits"] == ([8, 16] if quantised else [32])
    assert (config.output / "router.safetensors").is_file() == spatial
    assert bank.candidates[-1].build()(torch.randn(1, 2, 24, 24)).shape == (1, 3, 24, 24)


def test_what_is_left_behind_gives_what_was_trained(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    config = config_of(tmp_path)
    run = V2Run(config, CPU)
    state = run.train()
    export_v2(config, run, state)
    bank = read_bank(config.output)
    assert len({candidate.weights for candidate in bank.candidates}) == 1
    run.model.load_state_dict(state)
    x = torch.randn(2, 2, 24, 24)
    run.model.eval()
    logits, _ = run.model.network.dense(x, 0)
    torch.testing.assert_close(bank.candidates[-1].build().eval()(x), logits, atol=1e-4, rtol=1e-4)
    assert load_weights(config.output / "router.safetensors").keys() == run.model.policy.state_dict().keys()


def test_a_run_may_start_from_the_plain_base_network(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    base = UNet2D(2, 3, 4)
    run = V2Run(config_of(tmp_path), CPU, base.state_dict())
    x = torch.randn(1, 2, 24, 24)
    found = run.model.eval().network.dense(x, 0, quantised=False)[0]
    torch.testing.assert_close(found, base.eval()(x))


def bundle_of(run: V2Run, folder: Path, **changes: object) -> Bundle:
    """What a run leaves behind, as a bundle."""
    config = replace(run.config, output=folder / "exported", **changes)  # type: ignore[arg-type]
    export_v2(config, run, run.model.state_dict())
    router = RouterSpec("shufflenetv2-m", {}, config.output / "router.safetensors")
    return Bundle("v2", METHOD, GLIOMA.input, (), read_bank(config.output), router)


def test_a_run_may_start_from_all_networks_of_a_bundle_of_its_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_cache(tmp_path)
    first = V2Run(config_of(tmp_path, output=tmp_path / "first"), CPU)
    bundle = bundle_of(first, tmp_path)
    monkeypatch.setattr(v2_run, "load_bundle", lambda name: bundle)
    config = config_of(tmp_path, seed=2)
    started = V2Run(config, CPU, base_state("v2", config)).model.state_dict()
    for name, value in first.model.state_dict().items():
        assert torch.equal(started[name], value), name


def test_a_run_starts_from_a_bundle_as_far_as_it_has_the_same_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_cache(tmp_path)
    first = V2Run(config_of(tmp_path, output=tmp_path / "first"), CPU)
    monkeypatch.setattr(v2_run, "settled", lambda spaces, *_: tuple((8,) for _ in spaces))
    bundle = bundle_of(first, tmp_path, fix_bits=0.9)
    monkeypatch.setattr(v2_run, "load_bundle", lambda name: bundle)
    config = config_of(tmp_path, seed=2, crops=(8, 16), neighbours_mm=NEIGHBOURS)
    fresh = V2Run(config, CPU).model.state_dict()
    started, given = V2Run(config, CPU, base_state("v2", config)).model.state_dict(), first.model.state_dict()
    selectors = [name for name in fresh if ".selectors." in name]
    assert selectors and all(torch.equal(started[name], fresh[name]) for name in selectors), "they were taken out"
    stems = [name for name in given if started[name].ndim == 4 and started[name].shape[1] == 6]
    assert len(stems) == 2 and all(torch.equal(started[name][:, :2], given[name]) for name in stems)
    alike = [name for name in given if name not in selectors and started[name].shape == given[name].shape]
    assert any(name.startswith("policy.") for name in alike)
    assert any(name.startswith("network.position.") for name in alike)
    assert all(torch.equal(started[name], given[name]) for name in alike)


def test_a_base_network_that_sees_more_or_less_gives_what_both_see(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    x = torch.randn(1, 6, 24, 24)
    for own, base in ((NEIGHBOURS, UNet2D(2, 3, 4)), ((), UNet2D(6, 3, 4))):
        run = V2Run(config_of(tmp_path, neighbours_mm=own), CPU, base.state_dict())
        seen, given = run.model.network.segmentation.network.encoder.stem.weight, base.encoder.stem.weight
        assert torch.equal(seen[:, :2], given[:, :2])
        if own:
            found = run.model.eval().network.dense(x, 0, quantised=False)[0]
            torch.testing.assert_close(found, base.eval()(x[:, :2]))
        else:
            assert seen.shape[1] == 2


def test_a_run_with_neighbours_shows_them_to_all_but_the_policy_network(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    config = config_of(tmp_path, neighbours_mm=NEIGHBOURS, regions=((1, 2), (2,)), steps=3, phases=(1, 1, 1))
    run = V2Run(config, CPU)
    seen: dict[str, torch.Tensor] = {}
    policy = run.model.policy.register_forward_pre_hook(lambda _, inputs: seen.update(policy=inputs[0]))
    model = run.model.register_forward_pre_hook(lambda _, inputs: seen.update(model=inputs[0]))
    export_v2(config, run, run.train())
    policy.remove()
    model.remove()
    assert seen["model"].shape[1] == 6
    assert torch.equal(seen["policy"], seen["model"][:, :2])
    assert not torch.equal(seen["model"][:, :2], seen["model"][:, 2:4])

    bank = read_bank(config.output)
    assert [c.context.neighbours_mm for c in bank.candidates] == [NEIGHBOURS] * 2
    assert bank.modalities == 2
    case = run.pool.cases[0]
    x = bank.seen(2, case.volumes(), [2], case.record.spacing_mm[0])
    assert bank.candidates[-1].build().eval()(torch.from_numpy(x)).shape == (1, 3, 24, 24)


@pytest.mark.parametrize("regions", [((3,),), ((),)])
def test_regions_that_are_no_classes_are_refused(tmp_path: Path, regions: tuple[tuple[int, ...], ...]) -> None:
    tiny_cache(tmp_path)
    with pytest.raises(TrainingError, match="expected class indices from 1 to 2"):
        V2Run(config_of(tmp_path, regions=regions), CPU)


def test_crops_as_large_as_the_training_size_are_refused(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    with pytest.raises(TrainingError, match="smaller than the size"):
        V2Run(config_of(tmp_path, crops=(24,)), CPU)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    V2Run(config_of(tmp_path), CPU).save()
    with pytest.raises(TrainingError, match="is of another run"):
        V2Run(config_of(tmp_path, spatial=False), CPU)


def test_prices_are_those_of_the_paper_in_g() -> None:
    config = V2Config(output=Path("x"), data=DataConfig(Path("c"), Path("l")), steps=1)
    prices = Prices.of(config, GLIOMA, 4, 4)
    assert prices.stages[0] == pytest.approx((0.05308416, 0.095551488, 0.095551488, 0.169869312))
    assert prices.stages[1] == pytest.approx((0.09437184, 0.169869312, 0.169869312, 0.301989888))
    full = [torch.full((1, 4), 32.0), torch.full((1, 4), 32.0)]
    selectors = 4032e-9 + 1e-9 * sum((16 << i) * (128 >> i) ** 2 for i in range(4)) * 0
    whole = float(prices.of_options(full)[0, 1])
    assert whole == pytest.approx(1.067319296 + selectors, rel=2e-3)


def test_the_cost_falls_with_the_bits_and_its_gradient_is_the_stages_share() -> None:
    prices = Prices((0.1,), ((0.2, 0.4, 0.0, 0.0),))
    bits = torch.tensor([[8.0, 16.0, 8.0, 8.0]], requires_grad=True)
    cost = prices.of_options([bits])
    assert float(cost.detach()) == pytest.approx(0.1 + 0.05 + 0.2)
    cost.sum().backward()
    assert bits.grad is not None
    assert bits.grad[0].tolist() == pytest.approx([0.2 / 32, 0.4 / 32, 0.0, 0.0])


def test_skip_is_background_everywhere_and_probabilities_are_not_normalised_twice() -> None:
    logits = torch.randn(3, 4, 5, 5)
    share = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    mixed = mix(share, [logits])
    assert torch.equal(mixed[0, 0], torch.ones(5, 5))
    assert torch.equal(mixed[0, 1:], torch.zeros(3, 5, 5))
    torch.testing.assert_close(mixed[1:], torch.softmax(logits[1:], dim=1))


def policy_gradient(tmp_path: Path, price: float, tumour: bool) -> torch.Tensor:
    """Gradient of the loss into the choice of one slice, of which `whole` is a perfect segmentation."""
    torch.manual_seed(0)
    classes = torch.zeros(1, 8, 8, dtype=torch.long)
    classes[0, 2:6, 2:6] = int(tumour)
    logits = torch.nn.functional.one_hot(classes, 2).permute(0, 3, 1, 2).float() * 20
    choice = torch.zeros(1, 2, requires_grad=True)
    policy = DecisionOutput(choice, torch.zeros(1, 1), torch.zeros(1))
    config = config_of(tmp_path, price=price, every_option=0.0, guidance=0.0)
    loss = V2Loss(config, Prices((1.0,), ((0.0,) * 4,)), 2)
    losses = loss(Options([logits], [torch.full((1, 4), 32.0)], policy, None), classes, foreground_centre(classes), 3)
    (losses["dice"] + losses["gflops"]).backward()
    assert choice.grad is not None
    return choice.grad[0]


def test_the_policy_is_drawn_to_what_segments_and_to_what_is_cheap(tmp_path: Path) -> None:
    with_tumour = policy_gradient(tmp_path, 0.06, tumour=True)
    without = policy_gradient(tmp_path, 0.06, tumour=False)
    # Descent raises the option with the negative gradient: whole where there is tumour, skip where there is none.
    assert with_tumour[1] < 0 < with_tumour[0]
    assert without[0] < 0 < without[1]


def test_the_dice_of_a_slice_is_the_mean_over_the_classes_on_it() -> None:
    classes = torch.zeros(2, 4, 4, dtype=torch.long)
    classes[0, 0, :2] = 1
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 0] = 1
    logits[0, 1, 0, :1] = 5
    logits[0, 2, 3, 3] = 5
    assert slice_dice(logits, classes).tolist() == pytest.approx([(2 / 3 + 0) / 2, 1.0])


def test_the_foreground_centre_is_that_of_its_box() -> None:
    classes = torch.zeros(2, 10, 20, dtype=torch.long)
    classes[0, 2:6, 11:14] = 1
    assert foreground_centre(classes).tolist() == [[4.0, 12.5], [5.0, 10.0]]


@pytest.mark.parametrize("name", ["paper-v2.yaml", "small-v2.yaml", "gpu-v2.yaml"])
def test_the_shipped_configurations_are_read(name: str) -> None:
    config = read_config(CONFIGS / name, V2Config)
    assert config.bits == (8, 16)
    assert max(config.crops) < min(config.size)
