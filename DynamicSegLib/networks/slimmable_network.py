"""A network that runs at every width and resolution on one set of weights.

A network is written once, in plain layers. `Slimmable` replaces its convolutions, linear layers and norms by slimmable
ones; `Slimmable.plain` gives one configuration as a plain network again, its weights sliced, so that nothing is masked
and nothing is multiplied in vain.

Source: MutualNet (ECCV 2020; TPAMI 45(1), 2023), as in lecture 12.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.slimmable import (
    FULL,
    Active,
    Channels,
    Configuration,
    Moments,
    SlimmableBatchNorm2d,
    SlimmableConv2d,
    SlimmableConvTranspose2d,
    SlimmableLayer,
    SlimmableLinear,
)

REFERENCE_PIXELS = 240
_STATISTICS = "statistics/"

Rule = Callable[[str, nn.Module], tuple[Channels, Channels]]
"""From a plain layer and its name to its input and output channels (the same for a norm)."""


def resized_size(rows: int, columns: int, resolution: int | None, multiple: int = 8) -> tuple[int, int]:
    """The size at which a configuration sees an input of `rows` x `columns`: the nearest multiple (half up)."""
    if resolution is None:
        return rows, columns
    share = resolution / REFERENCE_PIXELS / multiple
    return max(1, int(rows * share + 0.5)) * multiple, max(1, int(columns * share + 0.5)) * multiple


def at_resolution(network: nn.Module, x: Tensor, resolution: int | None) -> Tensor:
    """Run `network` on `x` resized (bilinear), and bring a map of logits back to the size of `x`."""
    size = (int(x.shape[-2]), int(x.shape[-1]))
    inner = resized_size(*size, resolution)
    if inner == size:
        return network(x)
    y = network(F.interpolate(x, size=inner, mode="bilinear", align_corners=False))
    return F.interpolate(y, size=size, mode="bilinear", align_corners=False) if y.dim() == 4 else y


class Slimmable(nn.Module):
    """A network that runs at every width and resolution on one set of weights.

    Input: float `[n, channels, row, column]`. Output: what `network` gives; a map of logits has the input's size.

    Parameters
    ----------
    network: in plain layers; it is taken over, not copied, and its parameters keep their names and values.
    rule: gives each layer's channels.
    """

    def __init__(self, network: nn.Module, rule: Rule) -> None:
        super().__init__()
        self.active = Active()
        for name, layer in list(network.named_modules()):
            slimmable = _slimmable(layer, name, rule, self.active)
            if slimmable is not None:
                _put(network, name, slimmable)
        self.network = network

    def forward(self, x: Tensor, configuration: Configuration = FULL) -> Tensor:
        self.active.configuration = configuration
        return at_resolution(self.network, x, configuration.resolution)

    def plain(self, configuration: Configuration) -> nn.Module:
        """`network` at one configuration, in plain layers of exactly its widths, on weights of its own.

        It does not resize: `at_resolution` does.
        """
        self.active.configuration = configuration
        network = deepcopy(self.network)
        for name, layer in list(network.named_modules()):
            if isinstance(layer, SlimmableLayer):
                _put(network, name, layer.plain())
        return network

    def norms(self) -> Iterator[tuple[str, SlimmableBatchNorm2d]]:
        """Every norm by name."""
        for name, layer in self.network.named_modules():
            if isinstance(layer, SlimmableBatchNorm2d):
                yield name, layer

    def shared_state(self, configurations: tuple[Configuration, ...]) -> dict[str, Tensor]:
        """All weights, and the norms' statistics of some configurations: what one file holds for all of them."""
        state = dict(self.state_dict())
        for configuration in configurations:
            for name, norm in self.norms():
                if configuration.name not in norm.statistics:
                    raise BundleError(f"There are no norm statistics for {configuration.name}: recalibrate it first.")
                mean, variance = norm.statistics[configuration.name]
                state[f"{_STATISTICS}{configuration.name}/{name}/mean"] = mean
                state[f"{_STATISTICS}{configuration.name}/{name}/variance"] = variance
        return state

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        """Take in what `shared_state` gave; BundleError where it does not fit."""
        weights = {name: tensor for name, tensor in state.items() if not name.startswith(_STATISTICS)}
        try:
            self.load_state_dict(weights)
            for name, norm in self.norms():
                norm.statistics = _statistics_of(state, name)
        except (RuntimeError, KeyError) as error:
            raise BundleError(f"The weights do not fit the slimmable network ({error}).") from error


def shared_from_plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a plain network as a shared state, to start training from: without statistics."""
    kept = (".running_mean", ".running_var", ".num_batches_tracked")
    return {f"network.{name}": tensor for name, tensor in state.items() if not name.endswith(kept)}


def part_of(shared: Mapping[str, Tensor], configurations: Collection[str]) -> dict[str, Tensor]:
    """A shared state (`Slimmable.shared_state`) with the statistics of some configurations only, by name."""
    kept = tuple(f"{_STATISTICS}{name}/" for name in configurations)
    return {
        name: tensor for name, tensor in shared.items() if not name.startswith(_STATISTICS) or name.startswith(kept)
    }


def recalibrate(network: Slimmable, configuration: Configuration, batches: Iterable[Tensor]) -> None:
    """Gather the norms' statistics of one configuration from images, float `[n, channels, row, column]`.

    Source: MutualNet. Pooled over all batches, so that their order and sizes do not matter.
    """
    was_training = network.training
    network.eval()
    for _, norm in network.norms():
        norm.moments = Moments()
    try:
        with torch.no_grad():
            for images in batches:
                network(images, configuration)
        for _, norm in network.norms():
            assert norm.moments is not None
            if norm.moments.count:
                norm.statistics[configuration.name] = (norm.moments.mean.cpu(), norm.moments.variance.cpu())
    finally:
        for _, norm in network.norms():
            norm.moments = None
        network.train(was_training)


def _slimmable(layer: nn.Module, name: str, rule: Rule, active: Active) -> nn.Module | None:
    if isinstance(layer, nn.Conv2d):
        return SlimmableConv2d(layer, *rule(name, layer), active)
    if isinstance(layer, nn.ConvTranspose2d):
        return SlimmableConvTranspose2d(layer, *rule(name, layer), active)
    if isinstance(layer, nn.Linear):
        return SlimmableLinear(layer, *rule(name, layer), active)
    if isinstance(layer, nn.BatchNorm2d):
        return SlimmableBatchNorm2d(layer, rule(name, layer)[1], active)
    return None


def _statistics_of(state: Mapping[str, Tensor], norm: str) -> dict[str, tuple[Tensor, Tensor]]:
    ending = f"/{norm}/mean"
    found = [name for name in state if name.startswith(_STATISTICS) and name.endswith(ending)]
    return {
        name[len(_STATISTICS) : -len(ending)]: (state[name], state[name.removesuffix("mean") + "variance"])
        for name in found
    }


def _put(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, layer)
