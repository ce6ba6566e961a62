"""One step of mutual learning."""

from contextlib import nullcontext
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_unet import slimmable_unet2d
from DynamicSegLib.training.config import DataConfig
from DynamicSegLib.training.losses import SegmentationLoss
from DynamicSegLib.training.mutual_config import DistillationConfig, MutualConfig
from DynamicSegLib.training.mutual_learning import distillation_loss, draw_students, learn_mutually


def _config(**changes: object) -> MutualConfig:
    values: dict[str, object] = {
        "output": Path("run"),
        "data": DataConfig(Path("cache"), Path("cases.csv")),
        "steps": 9,
    }
    return MutualConfig(**{**values, **changes})  # type: ignore[arg-type]


def _pixels(*rows: tuple[float, ...]) -> torch.Tensor:
    """One row of probabilities a pixel, as float `[1, class, 1, pixel]`."""
    return torch.tensor(rows).T[None, :, None, :]


def test_the_divergence_is_the_mean_over_pixels() -> None:
    teacher = _pixels((0.5, 0.5), (1.0, 0.0))
    student = _pixels((0.25, 0.75), (0.5, 0.5))

    loss = distillation_loss(student.log(), teacher, DistillationConfig(kl=2.0))

    first = 0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75)
    assert float(loss) == pytest.approx(2.0 * (first + log(2)) / 2)


def test_the_soft_dice_compares_foreground_classes_by_their_squares() -> None:
    teacher = _pixels((0.0, 1.0), (1.0, 0.0))
    student = _pixels((0.5, 0.5), (0.5, 0.5))

    loss = distillation_loss(student.log(), teacher, DistillationConfig(kl=0.0, soft_dice=1.0))

    # common 2 x 0.5 + 1, total 0.25 + 0.25 + 1 + 1
    assert float(loss) == pytest.approx(1 - 2.0 / 2.5)


@pytest.mark.parametrize(
    "config", [DistillationConfig(1.0, 0.0), DistillationConfig(0.0, 1.0), DistillationConfig(1, 1)]
)
def test_a_student_that_says_what_its_teacher_says_has_no_loss(config: DistillationConfig) -> None:
    logits = torch.randn(2, 3, 4, 4)

    assert float(distillation_loss(logits, logits.softmax(1), config)) == pytest.approx(0.0, abs=1e-6)


def test_the_smallest_width_comes_first_and_the_others_lie_between_the_ends() -> None:
    config = _config(widths=(0.25, 0.5, 1.0), resolutions=(96, 144), students=3)
    generator = np.random.default_rng(0)

    drawn = [draw_students(config, generator) for _ in range(50)]

    assert all(len(students) == 4 and students[0].width == 0.25 for students in drawn)
    widths = np.array([student.width for students in drawn for student in students[1:]])
    assert widths.min() >= 0.25
    assert widths.max() <= 1.0
    assert widths.std() > 0.15
    assert {student.resolution for students in drawn for student in students} == {96, 144, None}


def test_listed_widths_are_learnt_themselves_each_once_in_a_step() -> None:
    config = _config(widths=(1.0, 0.5, 0.25, 0.75), resolutions=(96,), students=2, listed=True)
    generator = np.random.default_rng(0)

    drawn = [draw_students(config, generator) for _ in range(20)]

    assert all(students[0].width == 0.25 for students in drawn)
    assert {tuple(sorted(student.width for student in students[1:])) for students in drawn} == {(0.5, 0.75)}
    one = [draw_students(_config(widths=(0.25, 0.5, 0.75, 1.0), students=1, listed=True), generator) for _ in range(20)]
    assert {students[1].width for students in one} == {0.5, 0.75}


def test_students_see_the_whole_resolution_as_often_as_is_asked() -> None:
    generator = np.random.default_rng(0)

    def share(**settings: object) -> float:
        config = _config(resolutions=(96, 144, 192), students=3, **settings)
        drawn = [student for _ in range(200) for student in draw_students(config, generator)]
        return float(np.mean([student.resolution is None for student in drawn]))

    assert share() == pytest.approx(0.25, abs=0.05)
    assert share(whole_share=0.6) == pytest.approx(0.6, abs=0.05)
    assert share(whole_share=1.0) == 1
    with pytest.raises(TrainingError, match=r"whole_share 1\.5"):
        _config(whole_share=1.5)


def test_training_one_width_alone_has_no_students() -> None:
    assert draw_students(_config(width=0.5, students=None), np.random.default_rng(0)) == ()


@pytest.mark.parametrize("labels", [0.0, 0.5])
def test_the_gradients_of_the_full_network_and_of_all_students_add_up(labels: float) -> None:
    torch.manual_seed(0)
    network = slimmable_unet2d(2, 3, base=4, dropout=0.0).train()
    images, classes = torch.randn(2, 2, 16, 16), torch.randint(0, 3, (2, 16, 16))
    full, narrow = Configuration(), Configuration(0.5, 120)
    loss, distillation = SegmentationLoss(1.0), DistillationConfig(1.0, 1.0, labels)
    batch = (images, classes)

    losses = learn_mutually(network, batch, loss, full, (narrow, narrow), distillation, nullcontext)
    both = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    learn_mutually(network, batch, loss, full, (), distillation, nullcontext)
    labelled = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    teacher = network(images).softmax(1).detach()
    logits = network(images, narrow)
    (distillation_loss(logits, teacher, distillation) + labels * loss(logits, classes)).backward()
    distilled = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]

    assert set(losses) == {"full", "smallest", "others"}
    assert losses["smallest"] == pytest.approx(losses["others"])
    for total, one, two in zip(both, labelled, distilled, strict=True):
        torch.testing.assert_close(total, one + 2 * two, atol=1e-5, rtol=1e-3)
    assert any(float(gradient.abs().max()) > 1e-4 for gradient in distilled)


def test_the_teacher_learns_nothing_from_its_students() -> None:
    network = slimmable_unet2d(2, 3, base=4, dropout=0.0).train()
    images, classes = torch.randn(2, 2, 16, 16), torch.randint(0, 3, (2, 16, 16))
    last = network.network.decoder.head.bias
    stem = network.network.encoder.stem.weight

    def no_loss(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return 0 * logits.sum()

    learn_mutually(
        network, (images, classes), no_loss, Configuration(), (Configuration(0.5),), DistillationConfig(), nullcontext
    )

    # Only the student's half of the channels has a gradient: none came through the teacher.
    assert last.grad is not None
    assert stem.grad is not None
    assert float(stem.grad[:2].abs().max()) > 0
    assert float(stem.grad[2:].abs().max()) == 0
