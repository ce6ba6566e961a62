"""Training of Med-DANet V2's crop positions on whole slices, after its three phases."""

import shutil
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from DynamicSegLib.bank import Candidate
from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.dynamic import DynamicNetwork
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.training.export import BANK_FILE, ROUTER_FILE, read_bank
from DynamicSegLib.training.run import Learner, TrainingRun, adam
from DynamicSegLib.training.schedule import Schedule
from DynamicSegLib.training.v2_config import PositionConfig
from DynamicSegLib.training.v2_model import foreground_centre, guidance_loss
from DynamicSegLib.training.v2_run import WEIGHTS_FILE
from DynamicSegLib.weights import Storage, load_weights, save_weights

_PREFIX = "position."


class PositionRun(TrainingRun):
    """One run: `PositionRun(config, device).train()`; the same call again resumes from the last checkpoint.

    Deviation from Med-DANet V2: there, positions are learnt on training windows of 128 x 128. A network that averages
    over all pixels and learnt on windows hardly larger than the crop misses by half a crop on whole slices, so here it
    goes on with these, led to the labelled foreground.

    Raises
    ------
    TrainingError: the bank has no position network, or one with crops larger than `config.size`, or is the output too.
    """

    def __init__(self, config: PositionConfig, device: torch.device) -> None:
        if config.output.resolve() == config.bank.resolve():
            raise TrainingError(f"output: {config.output} is the bank's own folder: choose another one.")
        candidate = read_bank(config.bank).candidates[-1]
        self.bank_weights, network = _network(config, candidate)
        if max(network.crops) > min(config.size):
            raise TrainingError(f"size: {config.size} does not hold the bank's crops of {max(network.crops)} pixels.")
        super().__init__(config, device)
        self.config = config
        self._context = candidate.context
        self.crops, position = network.crops, network.position
        assert position is not None
        self.position = position.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        options = config.optimiser
        self.learner = Learner(self.position, adam(self.position.parameters(), options), config.average)
        self.learners["position"] = self.learner
        self.schedule = Schedule(config.steps, options.learning_rate, options.warm_up_steps, options.power)
        self.resume()

    def train(self) -> dict[str, Tensor]:
        """Run to the end of the schedule. Returns the whole bank's weights to export."""
        self.to_the_end()
        trained = {_PREFIX + name: value for name, value in self.learner.weights.items()}
        return {**self.bank_weights, **trained}

    @property
    def context(self) -> Context:
        """See `TrainingRun`; what the bank's network sees."""
        return self._context

    def rate(self, step: int) -> float:
        """See `TrainingRun`."""
        return self.schedule.rate(step)

    def one_step(self, generator: np.random.Generator) -> dict[str, float]:
        """See `TrainingRun`; the squared distance in crop sizes, all crops together."""
        images, classes, seed = self.batch(generator)
        torch.manual_seed(seed)
        with self.autocast():
            centres = self.position(images)
        loss = guidance_loss(centres, classes, foreground_centre(classes), self.crops)
        self.require_number(float(loss.detach()), "The loss")
        loss.backward()  # type: ignore[no-untyped-call]
        self.learner.learn(self.rate(self.step))
        return {"distance": float(loss.detach())}


def train_position(config: PositionConfig, device: torch.device) -> None:
    """Train, and leave in `config.output` what `train v2` left in `config.bank`, with the new position network."""
    weights = PositionRun(config, device).train()
    save_weights(config.output / WEIGHTS_FILE, weights, Storage.FLOAT32)
    for name in (ROUTER_FILE, BANK_FILE):
        shutil.copyfile(config.bank / name, config.output / name)


def _network(config: PositionConfig, candidate: Candidate) -> tuple[Mapping[str, Tensor], DynamicNetwork]:
    """The bank's weights and its network with these."""
    network = build_network(candidate.network, candidate.arguments)
    if not isinstance(network, DynamicNetwork) or network.position is None:
        raise TrainingError(f"bank: {config.bank} holds no network with crop positions; give a folder of `train v2`.")
    weights = load_weights(config.bank / WEIGHTS_FILE)
    network.load_state_dict(weights)
    return weights, network
