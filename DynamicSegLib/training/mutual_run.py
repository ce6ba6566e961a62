"""The training run of the slimmable UNet, and what it leaves behind: one weights file for all its configurations."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from DynamicSegLib.bank import Candidate
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.methods.mutualnet import candidate
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_network import Slimmable, part_of, recalibrate
from DynamicSegLib.networks.slimmable_unet import slimmable_unet2d
from DynamicSegLib.training.augmentation import Draws, augment
from DynamicSegLib.training.averaging import RunningAverage
from DynamicSegLib.training.checkpoints import load_checkpoint, save_checkpoint
from DynamicSegLib.training.distribution import Processes
from DynamicSegLib.training.export import BANK_FILE, read_bank
from DynamicSegLib.training.guards import clear_memory_errors
from DynamicSegLib.training.losses import SegmentationLoss
from DynamicSegLib.training.mutual_config import MutualConfig, Optimiser
from DynamicSegLib.training.mutual_learning import draw_students, learn_mutually
from DynamicSegLib.training.progress import RunLog
from DynamicSegLib.training.sampling import step_generator
from DynamicSegLib.training.sources import open_sources
from DynamicSegLib.weights import Storage, load_weights, save_weights

WEIGHTS_FILE = "slimmable.safetensors"


class MutualRun:
    """One run: `MutualRun(config, device).train()`; the same call again resumes from the last checkpoint.

    Parameters
    ----------
    device: where to train.
    initial: weights of the slimmable network to start from (fine-tuning); random where None.

    Source: MutualNet (ECCV 2020).
    """

    def __init__(
        self,
        config: MutualConfig,
        device: torch.device,
        initial: Mapping[str, Tensor] | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self.processes = processes or Processes()
        self.step = 0
        self.pool, self.sampler = open_sources(config.data, device)
        self.classes = self.pool.cases[0].record.classes
        torch.manual_seed(config.seed)
        self.network = slimmable_unet2d(self.pool.modalities, self.classes, config.base, config.dropout)
        if initial is not None:
            self.network.load_shared(initial)
        self.network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.average = RunningAverage(self.network, config.average)
        self.optimiser = _optimiser(config, self.network)
        self.loss = SegmentationLoss(config.cross_entropy)
        self._resume()

    def train(self) -> Slimmable:
        """Run to the end of the schedule. Returns the network to export, its norms recalibrated."""
        config = self.config
        log = RunLog(config.output / "log.csv", self.step, config.steps)
        sums: dict[str, float] = {}
        while self.step < config.steps:
            with clear_memory_errors(config.batch, config.size):
                losses = self._one_step()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value / config.log_every
            self.step += 1
            if self.step % config.log_every == 0:
                if self.processes.first:
                    rate = config.optimiser.rate(self.step, config.steps)
                    log.write(self.step, {"rate": rate, **{f"loss_{name}": value for name, value in sums.items()}})
                sums = {}
            if self.processes.first and (self.step % config.checkpoint_every == 0 or self.step == config.steps):
                self.save()
        return self._finished()

    def save(self) -> None:
        """Write the checkpoint from which the run resumes exactly."""
        content = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state,
            "updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
        }
        save_checkpoint(self.config.output / "checkpoint.pt", content)

    def _resume(self) -> None:
        content = load_checkpoint(self.config.output / "checkpoint.pt", self.device)
        if content is None:
            return
        try:
            self.network.load_state_dict(content["network"])
        except (KeyError, RuntimeError) as error:
            raise TrainingError(
                f"The checkpoint in {self.config.output} is of another run ({error}): name another output folder, or "
                "remove the checkpoint."
            ) from error
        self.step = content["step"]
        self.average.state = content["average"]
        self.average.updates = content["updates"]
        self.optimiser.load_state_dict(content["optimiser"])

    def _one_step(self) -> dict[str, float]:
        config = self.config
        generator = step_generator(config.seed, self.step, self.processes.rank)
        batch, seed = self._batch(generator)
        students = draw_students(config, generator)
        # Dropout draws from torch's own generator: seeding it each step makes a resumed run exact.
        torch.manual_seed(seed)
        full = Configuration(config.width)
        losses = learn_mutually(self.network, batch, self.loss, full, students, config.distillation, self._autocast)
        if any(value != value for value in losses.values()):
            raise TrainingError(
                f"The loss is not a number at step {self.step} ({losses}): lower the learning rate, or set precision "
                "to fp32; the last checkpoint is whole."
            )
        self._average_gradients()
        for group in self.optimiser.param_groups:
            group["lr"] = config.optimiser.rate(self.step, config.steps)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update(self.network)
        return losses

    def _batch(self, generator: Any) -> tuple[tuple[Tensor, Tensor], int]:
        config = self.config
        coded = self.pool.fetch(*self.sampler.draw(config.batch, generator))
        seed = int(generator.integers(2**62))
        images, classes = augment(coded, config.augmentation, config.size, Draws.seeded(seed, self.device))
        return (images.contiguous(memory_format=torch.channels_last), classes), seed

    def _average_gradients(self) -> None:
        """Over the processes; by hand, since one step has several backward passes through one network."""
        if self.processes.count > 1:
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad)
                    parameter.grad /= self.processes.count

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _finished(self) -> Slimmable:
        """The network with its averaged weights, its norms recalibrated on slices as it was trained on."""
        if self.config.average > 0:
            self.network.load_state_dict(self.average.state)
        batches = list(self._recalibration_batches())
        for configuration in self.config.exported:
            recalibrate(self.network, configuration, batches)
        return self.network.eval()

    def _recalibration_batches(self) -> Iterator[Tensor]:
        for index in range(-(-self.config.recalibration_slices // self.config.batch)):
            (images, _), _ = self._batch(step_generator(self.config.seed, self.config.steps + index))
            yield images


def export_mutual(
    config: MutualConfig, network: Slimmable, in_channels: int, classes: int, size: tuple[int, int]
) -> None:
    """Write the weights, float32, once, and `bank.json`, whose candidates (cheapest first) all name that file.

    What `export.read_bank` reads, so that measuring, the decision network and the bundle work as for any bank.
    `size`: the working in-plane size (rows, columns), by which the candidates' costs are compared.
    """
    candidates = [candidate(c.width, c.resolution, in_channels, classes, config.base) for c in config.exported]
    candidates.sort(key=lambda each: each.cost(size, in_channels).macs)
    _write_bank(config.output, candidates, in_channels, network.shared_state(config.exported))


def export_part(source: Path, folder: Path, names: Collection[str]) -> None:
    """Write some of the candidates of an exported bank (by name) as a bank of their own in `folder`."""
    bank = read_bank(source)
    chosen = [each for each in bank.candidates if each.name in names]
    if len(chosen) != len(names):
        raise TrainingError(
            f"{source} lacks some of the configurations {', '.join(names)}: it was exported without them."
        )
    _write_bank(folder, chosen, bank.channels, part_of(load_weights(source / WEIGHTS_FILE), names))


def _write_bank(folder: Path, candidates: Sequence[Candidate], channels: int, state: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS_FILE, state, Storage.FLOAT32)
    rows = [
        {"name": c.name, "network": c.network, "arguments": dict(c.arguments), "weights": WEIGHTS_FILE}
        for c in candidates
    ]
    write_text_whole(folder / BANK_FILE, json.dumps({"channels": channels, "candidates": rows}, indent=2) + "\n")


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
