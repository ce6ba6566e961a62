"""Learning rate, detachment, averaged weights, the log and the loss."""

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from DynamicSegLib.training.averaging import RunningAverage
from DynamicSegLib.training.losses import SegmentationLoss
from DynamicSegLib.training.progress import RunLog
from DynamicSegLib.training.schedule import Detachment, Schedule


def test_the_rate_warms_up_and_decays_to_zero() -> None:
    schedule = Schedule(steps=100, learning_rate=1.0, warm_up_steps=9, power=0.9)
    assert schedule.rate(0) == pytest.approx(0.1)
    assert schedule.rate(50) == pytest.approx(0.5**0.9)
    assert schedule.rate(100) == 0.0
    assert schedule.rate(200) == 0.0


def test_small_candidates_learn_for_three_quarters() -> None:
    detachment = Detachment(("M1", "M2"), 0.75)
    assert detachment.learning(["M1", "M2", "M4"], 74, 100) == ["M1", "M2", "M4"]
    assert detachment.learning(["M1", "M2", "M4"], 75, 100) == ["M4"]


def test_the_average_forgets_its_start_and_follows_the_weights() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 100.0)
    average = RunningAverage(layer, 0.9)
    nn.init.constant_(layer.weight, 1.0)
    average.update(layer)
    # The first update keeps a tenth: 0.1 x 100 + 0.9 x 1.
    assert average.state["weight"].item() == pytest.approx(10.9)
    for _ in range(200):
        average.update(layer)
    assert average.state["weight"].item() == pytest.approx(1.0, abs=1e-4)


def test_counters_of_batch_norm_are_copied_not_averaged() -> None:
    norm = nn.BatchNorm1d(2)
    average = RunningAverage(norm, 0.9)
    norm(torch.randn(4, 2))
    average.update(norm)
    assert average.state["num_batches_tracked"].item() == 1


def test_a_perfect_answer_costs_nothing_and_an_absent_class_does_not_hurt() -> None:
    classes = torch.zeros(1, 8, 8, dtype=torch.int64)
    classes[0, 2:6, 2:6] = 1
    logits = torch.stack([(classes == c).float() * 50 for c in range(4)], dim=1)
    assert SegmentationLoss()(logits, classes).item() == pytest.approx(0.0, abs=1e-4)
    assert SegmentationLoss(1.0)(-logits, classes).item() > 1.0


def test_cross_entropy_is_added_with_its_weight() -> None:
    logits, classes = torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    difference = SegmentationLoss(0.5)(logits, classes) - SegmentationLoss(0.0)(logits, classes)
    assert difference.item() == pytest.approx(0.5 * torch.tensor(4.0).log().item())


def test_regions_are_learned_as_they_are_judged() -> None:
    classes = torch.tensor([[[0, 1, 2, 2, 3, 3, 3, 0]]])
    mixed_up = torch.tensor([[[0, 3, 2, 2, 1, 1, 3, 0]]])  # classes 1 and 3, which are one region
    logits = torch.stack([(mixed_up == c).float() * 50 for c in range(4)], dim=1)
    # Smoothed by 1 above and below the line: class 1 has no hit among 1 + 2 pixels, class 3 one among 2 + 3.
    single = [1 - 1 / 4, 1 - 5 / 5, 1 - 3 / 6]
    assert SegmentationLoss()(logits, classes).item() == pytest.approx(sum(single) / 3, abs=1e-4)
    regions = SegmentationLoss(regions=[[1, 2, 3], [1, 3], [3]])
    assert regions(logits, classes).item() == pytest.approx((1 - 3 / 6) / 3, abs=1e-4)


def test_the_log_estimates_the_time_left_from_its_own_pace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = RunLog(tmp_path / "log.csv", start=100, steps=200)
    log.begun -= 60.0
    log.write(150, {"loss": 0.5})
    log.write(200, {"loss": 0.25})
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["left_seconds"] == "60"
    assert rows[1]["left_seconds"] == "0"
    assert "150/200  loss 0.5  1 min left" in capsys.readouterr().err
