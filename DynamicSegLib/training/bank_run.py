"""Joint training of a bank: every step all candidates see the same batch and learn from the mean of their losses."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.training.augmentation import Draws, augment
from DynamicSegLib.training.averaging import RunningAverage
from DynamicSegLib.training.checkpoints import load_checkpoint, save_checkpoint
from DynamicSegLib.training.config import BankConfig
from DynamicSegLib.training.distribution import Processes
from DynamicSegLib.training.guards import clear_memory_errors
from DynamicSegLib.training.losses import SegmentationLoss
from DynamicSegLib.training.progress import RunLog
from DynamicSegLib.training.sampling import step_generator
from DynamicSegLib.training.schedule import Schedule
from DynamicSegLib.training.sources import open_sources


class BankRun:
    """One run: `BankRun(config, device).train()`; the same call again resumes from the last checkpoint.

    Parameters
    ----------
    device: where to train.
    initial: state dicts by candidate name to start from (fine-tuning); random weights where None.

    Source: Med-DANet, Sec. 3.4 and 4.1.
    """

    def __init__(
        self,
        config: BankConfig,
        device: torch.device,
        initial: Mapping[str, Mapping[str, Tensor]] | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self.processes = processes or Processes()
        self.step = 0
        self.pool, self.sampler = open_sources(config.data, device)
        torch.manual_seed(config.seed)
        self.networks = {c.name: build_network(c.network, c.arguments) for c in config.candidates}
        for name, network in self.networks.items():
            if initial is not None and name in initial:
                network.load_state_dict(initial[name])
            network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.averages = {name: RunningAverage(network, config.average) for name, network in self.networks.items()}
        options = config.optimiser
        self.optimisers = {
            name: torch.optim.Adam(
                network.parameters(), options.learning_rate, weight_decay=options.weight_decay, amsgrad=options.amsgrad
            )
            for name, network in self.networks.items()
        }
        self.schedule = Schedule(config.steps, options.learning_rate, options.warm_up_steps, options.power)
        self.loss = SegmentationLoss(config.cross_entropy)
        self._resume()
        self.wrapped = {name: self.processes.wrap(network, config.compiled) for name, network in self.networks.items()}

    def train(self) -> dict[str, dict[str, Tensor]]:
        """Run to the end of the schedule. Returns the weights to export, by candidate name."""
        log = RunLog(self.config.output / "log.csv", self.step, self.config.steps)
        sums: dict[str, float] = {}
        while self.step < self.config.steps:
            with clear_memory_errors(self.config.batch, self.config.size):
                losses = self._one_step()
            self.step += 1
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss / self.config.log_every
            if self.processes.first and self.step % self.config.log_every == 0:
                log.write(
                    self.step, {"rate": self.schedule.rate(self.step), **{f"loss_{k}": v for k, v in sums.items()}}
                )
            if self.step % self.config.log_every == 0:
                sums = dict.fromkeys(self.networks, 0.0)
            if self.processes.first and self.step % self.config.checkpoint_every == 0:
                self.save()
        if self.processes.first:
            self.save()
        return self.weights()

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The weights to export: the running average, or the last ones where none is kept."""
        if self.config.average > 0:
            return {name: average.state for name, average in self.averages.items()}
        return {name: network.state_dict() for name, network in self.networks.items()}

    def save(self) -> None:
        """Write the checkpoint from which the run resumes exactly."""
        states: dict[str, Any] = {
            name: {
                "network": network.state_dict(),
                "average": self.averages[name].state,
                "updates": self.averages[name].updates,
                "optimiser": self.optimisers[name].state_dict(),
            }
            for name, network in self.networks.items()
        }
        save_checkpoint(self.config.output / "checkpoint.pt", {"step": self.step, "candidates": states})

    def _resume(self) -> None:
        content = load_checkpoint(self.config.output / "checkpoint.pt", self.device)
        if content is None:
            return
        if set(content["candidates"]) != set(self.networks):
            raise TrainingError(
                f"The checkpoint in {self.config.output} holds {sorted(content['candidates'])} where the configuration "
                f"has {sorted(self.networks)}: name another output folder, or remove the checkpoint."
            )
        self.step = content["step"]
        for name, state in content["candidates"].items():
            self.networks[name].load_state_dict(state["network"])
            self.averages[name].state = state["average"]
            self.averages[name].updates = state["updates"]
            self.optimisers[name].load_state_dict(state["optimiser"])

    def _one_step(self) -> dict[str, float]:
        config = self.config
        generator = step_generator(config.seed, self.step, self.processes.rank)
        batch = self.pool.fetch(*self.sampler.draw(config.batch, generator))
        seed = int(generator.integers(2**62))
        images, classes = augment(batch, config.augmentation, config.size, Draws.seeded(seed, self.device))
        images = images.contiguous(memory_format=torch.channels_last)
        learning = config.detachment.learning(list(self.networks), self.step, config.steps)
        losses = {}
        for name in learning:
            # Dropout draws from torch's own generator: seeded, a resumed run is exact and candidates are independent.
            torch.manual_seed(seed)
            losses[name] = self._learn(name, images, classes)
        return losses

    def _learn(self, name: str, images: Tensor, classes: Tensor) -> float:
        optimiser = self.optimisers[name]
        for group in optimiser.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        with self._autocast():
            logits = self.wrapped[name](images)
        loss: Tensor = self.loss(logits, classes)
        value = float(loss.detach())
        if value != value:
            raise TrainingError(
                f"The loss of {name} is not a number at step {self.step}: lower the learning rate, or set precision to "
                "fp32; the last checkpoint is whole."
            )
        (loss / len(self.networks)).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        self.averages[name].update(self.networks[name])
        return value

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")
