"""Training of the decision network."""

from pathlib import Path

import numpy as np
import torch

from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.networks.decision import DecisionOutput
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.config import DataConfig, DecisionConfig, OptimiserConfig
from DynamicSegLib.training.decision_run import DecisionRun, Targets, decision_loss
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")
STRUCTURES = Structures({"whole": (1, 2), "core": (2,)})
FLOPS = (10**9, 2 * 10**9)


def overlaps_of(case: CachedCase) -> Overlaps:
    """Candidate 0 finds half of each structure, candidate 1 all of it."""
    truth = case.classes()
    half = truth.copy()
    half[:, :, ::2] = 0
    return Overlaps.count(truth, np.stack([half, truth]), STRUCTURES)


def config_of(folder: Path, **changes: object) -> DecisionConfig:
    values: dict[str, object] = {
        "output": folder / "decision",
        "data": DataConfig(folder / "cache", folder / "cases.csv", (0, 1), tumour_share=0.5),
        "banks": (),
        "overlaps": folder / "overlaps",
        "steps": 4,
        "size": (32, 32),
        "batch": 16,
        "optimiser": OptimiserConfig(1e-2),
        "precision": "fp32",
        "log_every": 2,
    }
    return DecisionConfig(**{**values, **changes})  # type: ignore[arg-type]


def run_of(folder: Path, **changes: object) -> DecisionRun:
    cases = tiny_cache(folder)
    overlaps = {case.record.case: overlaps_of(case) for case in cases}
    return DecisionRun(config_of(folder, **changes), overlaps, FLOPS, CPU)


def test_targets_say_skip_on_empty_slices_and_the_better_candidate_elsewhere(tmp_path: Path) -> None:
    cases = tiny_cache(tmp_path, 1)
    targets = Targets.of(cases, [overlaps_of(cases[0])], FLOPS, config_of(tmp_path), CPU)
    assert targets.choice.tolist() == [0, 2, 2, 2, 0, 0]
    assert targets.pixels.tolist() == [0, 64, 64, 64, 0, 0]
    torch.testing.assert_close(targets.dice[1], torch.tensor([2 / 3, 1.0]))


def test_a_large_alpha_prefers_the_cheap_candidate(tmp_path: Path) -> None:
    cases = tiny_cache(tmp_path, 1)
    targets = Targets.of(cases, [overlaps_of(cases[0])], FLOPS, config_of(tmp_path, alpha=0.99), CPU)
    assert targets.choice.tolist() == [0, 1, 1, 1, 0, 0]


def test_the_quality_loss_counts_slices_with_foreground_only() -> None:
    output = DecisionOutput(torch.zeros(2, 3), torch.tensor([[0.0, 0.0], [9.0, 9.0]]), torch.zeros(2))
    targets = Targets(torch.tensor([1, 0]), torch.tensor([[0.5, 0.5], [0.0, 0.0]]), torch.tensor([10.0, 0.0]))
    losses = decision_loss(output, targets, skip_weight=0.5)
    torch.testing.assert_close(losses["quality"], torch.tensor(0.5).log().neg())
    # Uniform logits cost log 3 a slice, whatever the weights.
    torch.testing.assert_close(losses["choice"], torch.tensor(3.0).log())


def test_it_learns_which_slices_are_empty(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=60, average=0.9, checkpoint_every=60)
    run.train()
    run.network.eval()
    volumes = run.pool.cases[0].volumes().transpose(1, 0, 2, 3)
    padded = np.pad(volumes, ((0, 0), (0, 0), (4, 4), (4, 4)))
    with torch.inference_mode():
        output = run.network(torch.from_numpy(padded))
    assert (output.choice_logits.argmax(dim=1) == 0).tolist() == [True, False, False, False, True, True]


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = run_of(tmp_path, output=tmp_path / "unbroken").train()
    first = run_of(tmp_path)
    for _ in range(2):
        first.advance()
    first.save()
    resumed = run_of(tmp_path).train()
    for key, value in unbroken.items():
        assert torch.equal(value, resumed[key]), key


def test_blank_slices_are_to_be_skipped(tmp_path: Path) -> None:
    run = run_of(tmp_path, blank_share=1.0)
    images = torch.ones(2, 2, 32, 32)
    targets = Targets(torch.tensor([1, 2]), torch.ones(2, 2), torch.tensor([5.0, 6.0]))
    images, targets = run._with_blanks(images, targets, np.random.default_rng(0))
    assert not images.any() and not targets.choice.any() and not targets.pixels.any()
