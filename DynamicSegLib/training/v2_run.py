"""The training run of Med-DANet V2, and what it leaves behind: one weights file for all options, and the router's."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.methods.med_danet_v2 import METHOD, network_of
from DynamicSegLib.training.distribution import Processes, join_processes
from DynamicSegLib.training.export import ROUTER_FILE, RunRecord, write_bank
from DynamicSegLib.training.fold_runs import fitting_weights, plain_weights, refitted
from DynamicSegLib.training.losses import require_classes
from DynamicSegLib.training.run import Learner, TrainingRun, adam
from DynamicSegLib.training.schedule import Schedule
from DynamicSegLib.training.task import read_task
from DynamicSegLib.training.v2_bits import chosen_bits, settled, without_settled
from DynamicSegLib.training.v2_config import V2Config
from DynamicSegLib.training.v2_model import Prices, V2Loss, V2Model, build_model, describe, foreground_centre
from DynamicSegLib.weights import Storage, load_weights, save_weights

WEIGHTS_FILE = "dynamic.safetensors"
# What `V2Model` calls its parts.
_NETWORK, _POLICY = "network.", "policy."


class V2Run(TrainingRun):
    """One run: `V2Run(config, device).train()`; the same call again resumes from the last checkpoint.

    Parameters
    ----------
    base: weights to start from: of the plain base network (a candidate of Med-DANet's bank), or of all networks (see
        `base_state`), which may see other neighbouring slices; random where None.

    Source: Med-DANet V2, Sec. 3.5 and 4.1.
    """

    def __init__(
        self,
        config: V2Config,
        device: torch.device,
        base: Mapping[str, Tensor] | None = None,
        processes: Processes | None = None,
    ) -> None:
        if config.policy_crops and max(config.policy_crops) >= min(config.size):
            raise TrainingError(f"Crop sizes {config.policy_crops} are not all smaller than the size {config.size}.")
        super().__init__(config, device, processes)
        self.config = config
        self.classes = self.pool.cases[0].record.classes
        require_classes(config.regions, self.classes)
        self.model = build_model(config, self.pool.modalities, self.classes)
        if base is not None:
            _start(self.model, base)
        self.model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        groups = [
            {"params": list(self.model.network.segmentation.parameters()), "share": 1.0},
            {"params": self.model.decision_parameters(), "share": config.decision_rate},
        ]
        options = config.optimiser
        self.learner = Learner(self.model, adam(groups, options), config.average)
        self.learners["model"] = self.learner
        self.schedule = Schedule(config.steps, options.learning_rate, options.warm_up_steps, options.power)
        prices = Prices.of(config, read_task(config.task), self.pool.modalities, self.classes)
        self.loss = V2Loss(config, prices, self.classes).to(device)
        self._phase = 0
        self._wrapped: nn.Module | None = None
        self.resume()

    def train(self) -> dict[str, Tensor]:
        """Run to the end of the schedule. Returns the weights to export."""
        self.to_the_end()
        return self.learner.weights

    @property
    def context(self) -> Context:
        """See `TrainingRun`."""
        return Context(self.config.neighbours_mm)

    def rate(self, step: int) -> float:
        """See `TrainingRun`."""
        return self.schedule.rate(step)

    def also_logged(self) -> dict[str, float]:
        """See `TrainingRun`; the phase."""
        return {"phase": self.config.phase(self.step - 1)}

    def one_step(self, generator: np.random.Generator) -> dict[str, float]:
        """See `TrainingRun`; the losses by name, those that a phase lacks as 0."""
        config = self.config
        images, classes, seed = self.batch(generator)
        phase, guide = config.phase(self.step), foreground_centre(classes)
        torch.manual_seed(seed)
        model = self._in_phase(phase)
        with self.autocast():
            options = model(images, guide, phase, config.spatial)
        losses: dict[str, Tensor] = self.loss(options, classes, guide, phase)
        total = torch.stack(list(losses.values())).sum()
        self.require_number(float(total.detach()), "The loss")
        total.backward()  # type: ignore[no-untyped-call]
        self.learner.learn(self.rate(self.step))
        names = ("dice", "gflops", "options", "quality", "area", "guidance")
        return {name: float(losses[name].detach()) if name in losses else 0.0 for name in names}

    def _in_phase(self, phase: int) -> nn.Module:
        """The model with the phase's parts learning; several processes exchange the gradients of these only."""
        if phase != self._phase or self._wrapped is None:
            self.model.learn(phase, self.config.spatial)
            self._phase, self._wrapped = phase, self.processes.wrap(self.model)
        return self._wrapped


def train_v2(config: V2Config, device: torch.device, base: Mapping[str, Tensor] | None = None) -> None:
    """Train, and leave a bank and a router in `config.output` that the later stages read. `base`: see `V2Run`."""
    processes = join_processes(device)
    run = V2Run(config, device, base, processes)
    state = run.train()
    if processes.first:
        export_v2(config, run, state)


def export_v2(config: V2Config, run: V2Run, state: Mapping[str, Tensor]) -> None:
    """Write the weights, float32, once; `bank.json`, whose candidates all name that file; and the policy network's.

    Selectors that `config.fix_bits` takes out are in none of them.
    """
    config.output.mkdir(parents=True, exist_ok=True)
    network, weights, spaces = run.model.network, _part(state, _NETWORK), None
    if config.fix_bits is not None:
        network.load_state_dict(weights)
        chosen = chosen_bits(network, run.pool.cases, run.context)
        spaces = settled(network.segmentation.spaces, chosen, config.fix_bits)
        weights = without_settled(weights, spaces)
    save_weights(config.output / WEIGHTS_FILE, weights, Storage.FLOAT32)
    if config.spatial:
        save_weights(config.output / ROUTER_FILE, _part(state, _POLICY), Storage.FLOAT32)
    described = describe(config, run.pool.modalities, run.classes, spaces)
    finished = [replace(each, weights=config.output / WEIGHTS_FILE) for each in described]
    write_bank(config.output, finished, run.pool.modalities, RunRecord.of(config, run.pool.cases))


def _start(model: V2Model, state: Mapping[str, Tensor]) -> None:
    """Load the base network whole; of position, bit selectors and policy what fits, where `state` has them.

    A bundle lacks selectors that were taken out, and another number of crops has other last layers.
    """
    network = model.network
    staged = network.segmentation
    base = _part(state, f"{_NETWORK}segmentation.network.")
    network.load_base(refitted(staged.network, base or state))
    parts: dict[str, nn.Module] = {f"{_NETWORK}segmentation.selectors.": staged.selectors, _POLICY: model.policy}
    if network.position is not None:
        parts[f"{_NETWORK}position."] = network.position
    for prefix, module in parts.items():
        weights = _part(state, prefix)
        if weights:
            seen = weights if module is staged.selectors else refitted(module, weights)
            module.load_state_dict(fitting_weights(module, seen, f"{prefix}* of the weights to start from"))


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def base_state(name: str, config: V2Config) -> Mapping[str, Tensor]:
    """Weights to start from, of a bundle: all networks of one of this method, named as `V2Model` names them, or the
    candidate of Med-DANet's bank that is the base network.

    Raises
    ------
    TrainingError: the bundle has no candidate of that base network and width.
    """
    bundle = load_bundle(name)
    if bundle.method == METHOD:
        state = {_NETWORK + key: value for key, value in network_of(bundle).state_dict().items()}
        policy = {} if bundle.router is None or bundle.router.weights is None else load_weights(bundle.router.weights)
        return state | {_POLICY + key: value for key, value in policy.items()}
    return plain_weights(bundle.bank.candidates, config.base, base_arguments(config), f"Bundle {name!r}")


def base_arguments(config: V2Config) -> dict[str, int]:
    """Width and layers of the base network, named as a plain candidate names them."""
    renamed = {"width": "base", "layers": "layers"}
    return {own: config.arguments[name] for name, own in renamed.items() if name in config.arguments}
