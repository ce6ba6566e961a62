"""Joint training of a bank: every step all candidates see the same batch and learn from the mean of their losses."""

import inspect
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.training.config import BankConfig, CandidateConfig
from DynamicSegLib.training.distribution import Processes
from DynamicSegLib.training.fold_runs import fitting_weights, refitted
from DynamicSegLib.training.losses import SegmentationLoss, require_classes
from DynamicSegLib.training.run import Learner, TrainingRun, adam
from DynamicSegLib.training.schedule import Schedule


class BankRun(TrainingRun):
    """One run: `BankRun(config, device).train()`; the same call again resumes from the last checkpoint.

    Parameters
    ----------
    initial: state dicts by candidate name to start from (fine-tuning); random weights where there is none.

    Source: Med-DANet, Sec. 3.4 and 4.1.
    """

    def __init__(
        self,
        config: BankConfig,
        device: torch.device,
        initial: Mapping[str, Mapping[str, Tensor]] | None = None,
        processes: Processes | None = None,
    ) -> None:
        super().__init__(config, device, processes)
        self.config = config
        classes = self.pool.cases[0].record.classes
        require_classes(config.regions, classes)
        for candidate in config.candidates:
            network = build_network(candidate.network, candidate.arguments)
            _require_channels(candidate, network, self.pool.modalities, classes)
            _start(network, candidate, initial or {})
            network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
            optimiser = adam(network.parameters(), config.optimiser)
            self.learners[candidate.name] = Learner(network, optimiser, config.average)
        options = config.optimiser
        self.schedule = Schedule(config.steps, options.learning_rate, options.warm_up_steps, options.power)
        self.loss = SegmentationLoss(config.cross_entropy, config.regions)
        self.resume()
        self.wrapped = {
            name: self.processes.wrap(learner.network, config.compiled) for name, learner in self.learners.items()
        }

    def train(self) -> dict[str, dict[str, Tensor]]:
        """Run to the end of the schedule. Returns the weights to export, by candidate name."""
        self.to_the_end()
        return {name: learner.weights for name, learner in self.learners.items()}

    def rate(self, step: int) -> float:
        """See `TrainingRun`."""
        return self.schedule.rate(step)

    @cached_property
    def context(self) -> Context:
        """See `TrainingRun`: what any candidate sees."""
        every = (distance for candidate in self.config.candidates for distance in candidate.neighbours_mm)
        return Context(tuple(dict.fromkeys(every)))

    @cached_property
    def channels(self) -> dict[str, Tensor | slice]:
        """Which channels of a batch each candidate sees, by name: int64, or all of them as they are."""
        every = torch.arange(self.context.planes * self.pool.modalities, device=self.device)
        by_plane = every.reshape(self.context.planes, self.pool.modalities)
        place = {distance: plane for plane, distance in enumerate((0.0, *self.context.neighbours_mm))}
        seen: dict[str, Tensor | slice] = {}
        for candidate in self.config.candidates:
            planes = [0, *(place[distance] for distance in candidate.neighbours_mm)]
            alike = candidate.neighbours_mm == self.context.neighbours_mm
            seen[candidate.name] = slice(None) if alike else by_plane[planes].flatten()
        return seen

    @property
    def shape(self) -> tuple[int, tuple[int, int]]:
        """See `TrainingRun`."""
        early = self.config.progressive
        if early is not None and self.step < early.until * self.config.steps:
            return early.batch, early.size
        return super().shape

    def one_step(self, generator: np.random.Generator) -> dict[str, float]:
        """See `TrainingRun`; one loss for each candidate that still learns."""
        images, classes, seed = self.batch(generator)
        learning = self.config.detachment.learning(list(self.learners), self.step, self.config.steps)
        losses = {}
        for name in learning:
            # Dropout draws from torch's own generator: seeded, a resumed run is exact and candidates are independent.
            torch.manual_seed(seed)
            losses[f"loss_{name}"] = self._learn(name, images, classes)
        return losses

    def _learn(self, name: str, images: Tensor, classes: Tensor) -> float:
        with self.autocast():
            logits = self.wrapped[name](images[:, self.channels[name]])
        loss: Tensor = self.loss(logits, classes)
        value = float(loss.detach())
        self.require_number(value, f"The loss of {name}")
        (loss / len(self.learners)).backward()
        self.learners[name].learn(self.rate(self.step))
        return value


def _start(network: nn.Module, candidate: CandidateConfig, initial: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Load what `initial` has for `candidate`: all weights of its own, else what fits of the one that it starts as."""
    if candidate.name in initial:
        try:
            network.load_state_dict(refitted(network, initial[candidate.name]))
        except RuntimeError as error:
            raise TrainingError(
                f"{candidate.name} cannot go on from weights of that name, which are of another network: expected "
                f"{candidate.network} with {candidate.arguments}. Change the configuration, or start from others."
            ) from error
    elif candidate.starts_as is not None:
        if candidate.starts_as not in initial:
            raise TrainingError(
                f"{candidate.name} starts as {candidate.starts_as}, whose weights are not here: name a bundle that has "
                "them (--from), or cross-validate with `joint: false` and train it before."
            )
        where = f"{candidate.name} starts as {candidate.starts_as}"
        network.load_state_dict(fitting_weights(network, refitted(network, initial[candidate.starts_as]), where))


def _require_channels(candidate: CandidateConfig, network: nn.Module, modalities: int, classes: int) -> None:
    """TrainingError where `network` takes other channels than the candidate sees, or tells other classes apart."""
    defaults = {name: each.default for name, each in inspect.signature(type(network)).parameters.items()}
    arguments = {**defaults, **candidate.arguments}
    seen = modalities * Context(candidate.neighbours_mm).planes
    if arguments.get("in_channels") != seen:
        raise TrainingError(
            f"{candidate.name} has in_channels {arguments.get('in_channels')}, but sees {modalities} modalities of "
            f"{seen // modalities} slices: expected in_channels {seen}."
        )
    if arguments.get("out_channels") != classes:
        raise TrainingError(
            f"{candidate.name} has out_channels {arguments.get('out_channels')}, but the cases have {classes} classes, "
            f"background included: expected out_channels {classes}."
        )
