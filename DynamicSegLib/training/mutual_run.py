"""The training run of the slimmable UNet, and what it leaves behind: one weights file for all its configurations."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from DynamicSegLib.bank import Candidate
from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.methods.mutualnet import candidate
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_network import Slimmable, part_of, recalibrate
from DynamicSegLib.networks.slimmable_unet import slimmable_unet2d
from DynamicSegLib.training.distribution import Processes
from DynamicSegLib.training.export import read_bank, write_bank
from DynamicSegLib.training.fold_runs import refitted
from DynamicSegLib.training.losses import SegmentationLoss, require_classes
from DynamicSegLib.training.mutual_config import MutualConfig, Optimiser
from DynamicSegLib.training.mutual_learning import draw_students, learn_mutually
from DynamicSegLib.training.run import Learner, TrainingRun
from DynamicSegLib.training.sampling import step_generator
from DynamicSegLib.weights import Storage, load_weights, save_weights

WEIGHTS_FILE = "slimmable.safetensors"


class MutualRun(TrainingRun):
    """One run: `MutualRun(config, device).train()`; the same call again resumes from the last checkpoint.

    Parameters
    ----------
    initial: weights of the slimmable network to start from (a shared state), which may see other neighbouring slices;
        random where None.

    Source: MutualNet (ECCV 2020).
    """

    def __init__(
        self,
        config: MutualConfig,
        device: torch.device,
        initial: Mapping[str, Tensor] | None = None,
        processes: Processes | None = None,
    ) -> None:
        super().__init__(config, device, processes)
        self.config = config
        self.classes = self.pool.cases[0].record.classes
        require_classes(config.regions, self.classes)
        channels = self.pool.modalities * self.context.planes
        self.network = slimmable_unet2d(channels, self.classes, config.base, config.dropout)
        if initial is not None:
            self.network.load_shared(refitted(self.network, initial))
        self.network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimiser = _optimiser(config, self.network)
        self.learner = Learner(self.network, self.optimiser, config.average)
        self.learners["slimmable"] = self.learner
        self.loss = SegmentationLoss(config.cross_entropy, config.regions)
        self.resume()

    def train(self) -> Slimmable:
        """Run to the end of the schedule. Returns the network to export, its norms recalibrated."""
        self.to_the_end()
        return self._finished()

    @property
    def context(self) -> Context:
        """See `TrainingRun`."""
        return Context(self.config.neighbours_mm)

    def rate(self, step: int) -> float:
        """See `TrainingRun`."""
        return self.config.optimiser.rate(step, self.config.steps)

    def one_step(self, generator: np.random.Generator) -> dict[str, float]:
        """See `TrainingRun`; the losses of `learn_mutually`."""
        config = self.config
        images, classes, seed = self.batch(generator)
        students = draw_students(config, generator)
        # Dropout draws from torch's own generator: seeding it each step makes a resumed run exact.
        torch.manual_seed(seed)
        full = Configuration(config.width)
        losses = learn_mutually(
            self.network, (images, classes), self.loss, full, students, config.distillation, self.autocast
        )
        for name, value in losses.items():
            self.require_number(value, f"The loss of {name}")
        self._average_gradients()
        self.learner.learn(self.rate(self.step))
        return {f"loss_{name}": value for name, value in losses.items()}

    def _average_gradients(self) -> None:
        """Over the processes; by hand, since one step has several backward passes through one network."""
        if self.processes.count > 1:
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.processes.count

    def _finished(self) -> Slimmable:
        """The network with its averaged weights, its norms recalibrated on slices as it was trained on."""
        self.network.load_state_dict(self.learner.weights)
        batches = list(self._recalibration_batches())
        for configuration in self.config.exported:
            recalibrate(self.network, configuration, batches)
        return self.network.eval()

    def _recalibration_batches(self) -> Iterator[Tensor]:
        for index in range(-(-self.config.recalibration_slices // self.config.batch)):
            images, _, _ = self.batch(step_generator(self.config.seed, self.config.steps + index))
            yield images


def export_mutual(
    config: MutualConfig, network: Slimmable, modalities: int, classes: int, size: tuple[int, int]
) -> None:
    """Write the weights, float32, once, and `bank.json`, whose candidates (cheapest first) all name that file.

    What `export.read_bank` reads, so that measuring, the decision network and the bundle work as for any bank.
    `size`: the working in-plane size (rows, columns), by which the candidates' costs are compared.
    """
    context = Context(config.neighbours_mm)
    candidates = [candidate(c.width, c.resolution, modalities, classes, config.base, context) for c in config.exported]
    candidates.sort(key=lambda each: each.cost(size, modalities).macs)
    _export(config.output, candidates, modalities, network.shared_state(config.exported))


def export_part(source: Path, folder: Path, names: Collection[str]) -> None:
    """Write some of the candidates of an exported bank (by name) as a bank of their own in `folder`."""
    bank = read_bank(source)
    chosen = [each for each in bank.candidates if each.name in names]
    if len(chosen) != len(names):
        raise TrainingError(
            f"{source} lacks some of the configurations {', '.join(names)}: it was exported without them."
        )
    _export(folder, chosen, bank.modalities, part_of(load_weights(source / WEIGHTS_FILE), names))


def _export(folder: Path, candidates: Sequence[Candidate], modalities: int, state: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS_FILE, state, Storage.FLOAT32)
    write_bank(folder, [replace(each, weights=folder / WEIGHTS_FILE) for each in candidates], modalities)


def _optimiser(config: MutualConfig, network: Slimmable) -> torch.optim.Optimizer:
    options = config.optimiser
    if options.kind is Optimiser.SGD:
        return torch.optim.SGD(
            network.parameters(),
            options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            nesterov=options.momentum > 0,
        )
    return torch.optim.Adam(
        network.parameters(), options.learning_rate, weight_decay=options.weight_decay, amsgrad=True
    )
