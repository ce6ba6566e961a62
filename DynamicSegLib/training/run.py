"""The loop that every training run shares: step, log, checkpoint, and go on from the last checkpoint exactly."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from DynamicSegLib.context import ALONE, Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.augmentation import Draws, augment
from DynamicSegLib.training.averaging import RunningAverage
from DynamicSegLib.training.checkpoints import load_checkpoint, plain_values, require_same_run, save_checkpoint
from DynamicSegLib.training.config import OptimiserConfig, Precision, RunConfig
from DynamicSegLib.training.distribution import Processes
from DynamicSegLib.training.guards import clear_memory_errors
from DynamicSegLib.training.progress import Means, RunLog
from DynamicSegLib.training.sampling import step_generator
from DynamicSegLib.training.sources import open_sources


class Learner:
    """A network that learns: with its optimiser and the running average of its weights.

    A parameter group of the optimiser may have a `share`: its learning rate relative to the schedule's.

    Parameters
    ----------
    decay: of the running average; 0 keeps none.
    """

    def __init__(self, network: nn.Module, optimiser: torch.optim.Optimizer, decay: float) -> None:
        self.network, self.optimiser = network, optimiser
        self.average = RunningAverage(network, decay)

    def learn(self, rate: float) -> None:
        """One step of the optimiser along the gradients that are there, at the learning rate `rate`."""
        for group in self.optimiser.param_groups:
            group["lr"] = group.get("share", 1.0) * rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.average.update(self.network)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights to export: the running average, or the last ones where none is kept."""
        return self.average.state if self.average.decay > 0 else self.network.state_dict()

    def state(self) -> dict[str, Any]:
        """All that a checkpoint holds of it."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state,
            "updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take in what `state` gave; KeyError, RuntimeError or ValueError where it is of another network."""
        self.network.load_state_dict(state["network"])
        self.average.state, self.average.updates = state["average"], state["updates"]
        self.optimiser.load_state_dict(state["optimiser"])


def adam(parameters: Iterable[Tensor] | Iterable[dict[str, Any]], options: OptimiserConfig) -> torch.optim.Adam:
    """The optimiser of Med-DANet's runs; `parameters`: or groups of them, each with a `share` (see `Learner`)."""
    return torch.optim.Adam(
        parameters, options.learning_rate, weight_decay=options.weight_decay, amsgrad=options.amsgrad
    )


class TrainingRun(ABC):
    """One run: `train()` goes to the end of the schedule; the same call again resumes from the last checkpoint.

    A subclass builds its networks, fills `learners` and then calls `resume`.

    Parameters
    ----------
    device: where to train.
    processes: of a run that several share; by default this one.
    """

    def __init__(self, config: RunConfig, device: torch.device, processes: Processes | None = None) -> None:
        self._config, self.device, self.processes = config, device, processes or Processes()
        self.step = 0
        self.learners: dict[str, Learner] = {}
        self._means = Means()
        self.pool, self.sampler = open_sources(config.data, device)
        torch.manual_seed(config.seed)

    @abstractmethod
    def one_step(self, generator: np.random.Generator) -> dict[str, float]:
        """Learn from one batch. `generator`: of this step. Returns values to log."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """The learning rate of step `step` (0-based)."""

    def also_logged(self) -> dict[str, float]:
        """What stands in the log besides the learning rate and the step's values."""
        return {}

    @property
    def shape(self) -> tuple[int, tuple[int, int]]:
        """How many slices this step's batch has, and their size."""
        return self._config.batch, self._config.size

    @property
    def context(self) -> Context:
        """Neighbours that batches show beside each slice; none unless a run says so."""
        return ALONE

    def to_the_end(self) -> None:
        """All steps that are left."""
        config = self._config
        if self.processes.first and self.step >= config.steps > 0:
            print(f"{config.output}: already finished, all {self.step} steps.", file=sys.stderr, flush=True)
        log = RunLog(config.output / "log.csv", self.step, config.steps)
        while self.step < config.steps:
            with clear_memory_errors(*self.shape):
                self._means.add(self.advance())
            if self.step % config.log_every == 0:
                means = self._means.take()
                if self.processes.first:
                    log.write(self.step, {**self.also_logged(), "rate": self.rate(self.step), **means})
            if self.processes.first and (self.step % config.checkpoint_every == 0 or self.step == config.steps):
                self.save()

    def advance(self) -> dict[str, float]:
        """One step, and count it."""
        values = self.one_step(step_generator(self._config.seed, self.step, self.processes.rank))
        self.step += 1
        return values

    def batch(self, generator: np.random.Generator) -> tuple[Tensor, Tensor, int]:
        """Draw slices and augment them; see `augmented`."""
        case, index = self.sampler.draw(self.shape[0], generator)
        return self.augmented(case, index, generator)

    def augmented(
        self, case: np.ndarray, index: np.ndarray, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor, int]:
        """Images float `[n, channel, *size]`, classes int64 `[n, *size]`, and a seed for what else is drawn.

        case, index: int `[n]`, which case of the pool, and which of its slices.
        """
        seed = int(generator.integers(2**62))
        draws = Draws.seeded(seed, self.device)
        coded = self.pool.fetch(case, index, self.context)
        images, classes = augment(coded, self._config.augmentation, self.shape[1], draws)
        return images.contiguous(memory_format=torch.channels_last), classes, seed

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the configuration."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._config.precision == Precision.BF16)

    def require_number(self, value: float, what: str) -> None:
        """TrainingError where a loss is not finite."""
        if not np.isfinite(value):
            raise TrainingError(
                f"{what} is not a number at step {self.step}: lower the learning rate, or set precision to fp32; the "
                "last checkpoint is whole."
            )

    def save(self) -> None:
        """Write the checkpoint from which the run resumes exactly."""
        content = {
            "step": self.step,
            "learners": {name: learner.state() for name, learner in self.learners.items()},
            "config": self._described(),
            "means": asdict(self._means),
        }
        save_checkpoint(self._checkpoint, content)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises
        ------
        TrainingError: it is of another network, or of a run with another configuration or other cases.
        """
        content = load_checkpoint(self._checkpoint, self.device)
        if content is None:
            return
        # Checkpoints of earlier versions have no configuration and no means.
        require_same_run(self._config.output, content.get("config", {}), self._described())
        try:
            if set(content["learners"]) != set(self.learners):
                raise KeyError(f"it holds {sorted(content['learners'])}, expected {sorted(self.learners)}")
            for name, learner in self.learners.items():
                learner.restore(content["learners"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f"The checkpoint in {self._config.output} is of another run ({error}): name another output folder, or "
                "remove the checkpoint."
            ) from error
        self.step = content["step"]
        self._means = Means(**content.get("means", {}))

    def _described(self) -> dict[str, Any]:
        """What decides the result: the configuration, and which case is drawn how often."""
        names = [case.record.case for case in self.pool.cases]
        weights = [[name, float(f"{weight:.6g}")] for name, weight in zip(names, self.sampler.weights, strict=True)]
        return {**plain_values(self._config), "data.cases": weights, "--from": self._config.started_from}

    @property
    def _checkpoint(self) -> Path:
        return self._config.output / "checkpoint.pt"
