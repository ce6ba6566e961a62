"""One step of mutual learning: the full network learns from the labels, its narrower selves learn from it.

Source: MutualNet (ECCV 2020), lecture 12: loss = loss of the full network + the losses of three sub-networks.
Deviation: `distillation.labels` lets these learn from the labels too.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_network import Slimmable
from DynamicSegLib.training.mutual_config import DistillationConfig, MutualConfig

Loss = Callable[[Tensor, Tensor], Tensor]
_SMOOTH = 1.0


def draw_students(config: MutualConfig, generator: np.random.Generator) -> tuple[Configuration, ...]:
    """The configurations that learn from the full network in this step: the smallest width, then random ones, each at a
    random resolution.

    Widths are uniform between the ends of `config.widths`, as in the paper, or with `config.listed` of these widths;
    resolutions are of the list, or whole.

    Source: MutualNet (the smallest and two random widths).
    Deviation: `config.whole_share` can favour the whole resolution, on which full networks are compared, and
    `config.listed` learn only what is exported: in a short training no width has to share with its neighbours.
    """
    if config.students is None:
        return ()
    smallest, largest = min(config.widths), min(max(config.widths), config.width)
    if config.listed:
        others = generator.choice(config.between, size=config.students, replace=False).tolist()
    else:
        others = [float(generator.uniform(smallest, largest)) for _ in range(config.students)]
    widths = [smallest, *others]
    resolutions, count = (*config.resolutions, None), len(config.resolutions)
    whole = 1 / (count + 1) if config.whole_share is None else config.whole_share
    chances = [*[(1 - whole) / count] * count, whole] if count else [1.0]
    return tuple(Configuration(width, resolutions[generator.choice(count + 1, p=chances)]) for width in widths)


def distillation_loss(logits: Tensor, teacher: Tensor, config: DistillationConfig) -> Tensor:
    """How far a student is from its teacher.

    Inputs: logits and the teacher's class probabilities, float `[n, class, row, column]`. Output: scalar, 0 if equal.

    Source: MutualNet (Kullback-Leibler divergence of the predictions).
    Deviation: pixel by pixel, since it segments; a soft Dice of the foreground classes can be added.
    """
    log_student = F.log_softmax(logits.float(), dim=1)
    loss = logits.new_zeros((), dtype=torch.float32)
    if config.kl > 0:
        divergence = F.kl_div(log_student, teacher, reduction="none").sum(dim=1).mean()
        loss = loss + config.kl * divergence
    if config.soft_dice > 0:
        student, wanted = log_student.exp()[:, 1:], teacher[:, 1:]
        common = 2 * (student * wanted).sum(dim=(0, 2, 3)) + _SMOOTH
        # Squares, so that the loss is 0 only where both are equal.
        total = (student.square() + wanted.square()).sum(dim=(0, 2, 3)) + _SMOOTH
        loss = loss + config.soft_dice * (1 - common / total).mean()
    return loss


def learn_mutually(
    network: Slimmable,
    batch: tuple[Tensor, Tensor],
    loss: Loss,
    full: Configuration,
    students: Sequence[Configuration],
    distillation: DistillationConfig,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> dict[str, float]:
    """Gradients of the full network's loss and of all students' losses, summed in the parameters.

    Returns the losses: `full`, and with students `smallest` (the first of them) and `others` (the mean of the rest).

    Parameters
    ----------
    batch: images float `[n, modality, row, column]` and classes int64 `[n, row, column]`.
    full: the configuration that learns from the classes.
    """
    images, classes = batch
    with autocast():
        logits = network(images, full)
    labelled = loss(logits, classes)
    labelled.backward()  # type: ignore[no-untyped-call]
    losses = {"full": float(labelled.detach())}
    if not students:
        return losses
    teacher = torch.softmax(logits.detach().float(), dim=1)
    followed = []
    for student in students:
        with autocast():
            logits = network(images, student)
        following = distillation_loss(logits, teacher, distillation)
        if distillation.labels > 0:
            following = following + distillation.labels * loss(logits, classes)
        following.backward()  # type: ignore[no-untyped-call]
        followed.append(float(following.detach()))
    losses["smallest"] = followed[0]
    if len(followed) > 1:
        losses["others"] = float(np.mean(followed[1:]))
    return losses
