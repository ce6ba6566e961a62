"""Training of the decision network: which option, how good each candidate would be, how much is at stake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.evaluation.choices import best_options
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.networks.decision import DecisionNetwork, DecisionOutput
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.config import DecisionConfig
from DynamicSegLib.training.run import Learner, TrainingRun, adam
from DynamicSegLib.training.schedule import Schedule


@dataclass(frozen=True)
class Targets:
    """What the network should say of every cached slice, all cases one after another.

    choice: int64 `[slice]`, Eq. 4's option. dice: float32 `[slice, candidate]`. pixels: float32 `[slice]`, foreground.
    """

    choice: Tensor
    dice: Tensor
    pixels: Tensor

    @classmethod
    def of(
        cls,
        cases: Sequence[CachedCase],
        overlaps: Sequence[Overlaps],
        paper_flops: Sequence[int],
        config: DecisionConfig,
        device: torch.device,
    ) -> "Targets":
        """Targets of `cases` from what the candidates achieved on them."""
        choice, dice, pixels = [], [], []
        for case, measured in zip(cases, overlaps, strict=True):
            first = case.record.origin[0]
            kept = slice(first, first + case.slices.shape[0])
            reached, foreground = measured.slice_dice()[kept], measured.foreground[kept]
            choice.append(best_options(reached, foreground, paper_flops, config.alpha, config.softmax))
            dice.append(reached)
            pixels.append(foreground)
        as_tensor = [torch.as_tensor(np.concatenate(parts), device=device) for parts in (choice, dice, pixels)]
        return cls(as_tensor[0], as_tensor[1].float(), as_tensor[2].float())

    def at(self, rows: Tensor) -> "Targets":
        """The targets of some slices."""
        return Targets(self.choice[rows], self.dice[rows], self.pixels[rows])


def decision_loss(output: DecisionOutput, targets: Targets, skip_weight: float) -> dict[str, Tensor]:
    """The three losses: `choice` (weighted cross-entropy), `quality` (of slices with foreground), `area` (log pixels).

    Source: Med-DANet, Sec. 3.4, for the choice, skip weighted lower.
    Deviation: `quality` is binary cross-entropy against the Dice reached, `area` is smooth L1; the paper has neither.
    """
    options = output.choice_logits.shape[1]
    weight = torch.ones(options, device=targets.choice.device)
    weight[0] = skip_weight
    present = (targets.pixels > 0).float()
    quality = F.binary_cross_entropy_with_logits(output.quality_logits.float(), targets.dice, reduction="none").mean(1)
    return {
        "choice": F.cross_entropy(output.choice_logits.float(), targets.choice, weight),
        "quality": (quality * present).sum() / present.sum().clamp_min(1),
        "area": F.smooth_l1_loss(output.log_area.float(), torch.log1p(targets.pixels)),
    }


def load_trained(network: DecisionNetwork, state: Mapping[str, Tensor], what: str) -> None:
    """Fill `network` with trained weights; TrainingError where they are not `what` was expected."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise TrainingError(
            f"The weights of the decision network are of another one, where {what} was expected: correct `backbone`, "
            "name weights of this bank, or train it anew."
        ) from error


class DecisionRun(TrainingRun):
    """One run: `DecisionRun(config, overlaps, paper_flops, device).train()`; the same call again resumes.

    Parameters
    ----------
    overlaps: of each case of the run, by name: what the candidates achieve (see `measuring`).
    paper_flops: of each candidate on one slice, for Eq. 4.
    initial: weights to start from (fine-tuning).

    Source: Med-DANet, Sec. 3.3 and 3.4.
    """

    def __init__(
        self,
        config: DecisionConfig,
        overlaps: Mapping[str, Overlaps],
        paper_flops: Sequence[int],
        device: torch.device,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, device)
        self.config = config
        measured = [overlaps[case.record.case] for case in self.pool.cases]
        self.targets = Targets.of(self.pool.cases, measured, paper_flops, config, device)
        self.network = DecisionNetwork(config.backbone, len(paper_flops), self.pool.modalities)
        if initial is not None:
            load_trained(self.network, initial, f"a {config.backbone} for {len(paper_flops)} candidates")
        self.network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        options = config.optimiser
        self.learner = Learner(self.network, adam(self.network.parameters(), options), config.average)
        self.learners["decision"] = self.learner
        self.schedule = Schedule(config.steps, options.learning_rate, options.warm_up_steps, options.power)
        self.resume()

    def train(self) -> dict[str, Tensor]:
        """Run to the end of the schedule. Returns the weights to export."""
        self.to_the_end()
        return self.learner.weights

    def rate(self, step: int) -> float:
        """See `TrainingRun`."""
        return self.schedule.rate(step)

    def one_step(self, generator: np.random.Generator) -> dict[str, float]:
        """See `TrainingRun`; the three losses of `decision_loss`."""
        config = self.config
        case, index = self.sampler.draw(config.batch, generator)
        targets = self.targets.at(torch.as_tensor(self.pool.starts[case] + index, device=self.device))
        images, _, seed = self.augmented(case, index, generator)
        images, targets = self._with_blanks(images, targets, generator)
        torch.manual_seed(seed)
        with self.autocast():
            output = self.network(images)
        losses = decision_loss(output, targets, config.skip_weight)
        total = losses["choice"] + config.quality_weight * losses["quality"] + config.area_weight * losses["area"]
        self.require_number(float(total.detach()), "The loss")
        total.backward()  # type: ignore[no-untyped-call]
        self.learner.learn(self.rate(self.step))
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _with_blanks(self, images: Tensor, targets: Targets, generator: np.random.Generator) -> tuple[Tensor, Targets]:
        """Some slices emptied: above and below the head a scan has slices with nothing on them, to be skipped."""
        filled = torch.as_tensor(generator.random(len(images)) >= self.config.blank_share, device=self.device)
        number = filled.float()
        return images * number[:, None, None, None], Targets(
            targets.choice * filled, targets.dice * number[:, None], targets.pixels * number
        )
