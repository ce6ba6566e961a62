"""The model bank: what can be run on one slice, and what each of it costs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.context import ALONE, Context
from DynamicSegLib.cost import Cost, count
from DynamicSegLib.cost_cache import remembered
from DynamicSegLib.weights import load_into

if TYPE_CHECKING:
    from torch import nn

SKIP = "skip"
WINDOW = 128


@dataclass(frozen=True)
class Candidate:
    """One network that can segment a slice.

    Parameters
    ----------
    name: shown to the user, unique in the bank, e.g. `M1`.
    network, arguments: a name of `networks.registry` and its keyword arguments.
    weights: safetensors file; None for an untrained candidate, of which only costs are asked.
    recorded: costs that the bundle records, by in-plane size `(rows, columns)`; others are counted when asked for, and
        remembered on disk for a candidate with weights.
    context: neighbouring slices that it sees beside the slice that it labels.
    """

    name: str
    network: str
    arguments: Mapping[str, Any]
    weights: Path | None = None
    recorded: Mapping[tuple[int, int], Cost] = field(default_factory=dict)
    context: Context = ALONE

    def build(self, setting: str = "whole") -> "nn.Module":
        """The network, with its weights where it has some, as it sees a whole slice.

        Input: float `[n, channel, row, column]` of any size, channels as in `Context`; output: logits
        `[n, class, row, column]`.

        Parameters
        ----------
        setting: `whole` runs the network on the slice; `window` on overlapping windows of 128 pixels whose class
            probabilities are averaged (settings 2 and 1 of Med-DANet, Table 3).
        """
        from DynamicSegLib.networks.padding import PaddedNetwork
        from DynamicSegLib.networks.registry import build_network
        from DynamicSegLib.networks.windows import SlidingWindow

        network = build_network(self.network, self.arguments)
        if self.weights is not None:
            load_into(network, self.weights)
        return SlidingWindow(network, WINDOW) if setting == "window" else PaddedNetwork(network)

    def cost(self, size: tuple[int, int], modalities: int, setting: str = "whole") -> Cost:
        """Cost of one slice of `size` (rows, columns); `macs` and `paper_flops` as in `cost.py`."""
        if setting == "whole" and size in self.recorded:
            return self.recorded[size]
        channels = modalities * self.context.planes
        arguments = json.dumps(dict(self.arguments), sort_keys=True)
        if self.weights is None:
            return _counted(self.network, arguments, size, channels, setting)
        circumstances = ("candidate", self.network, arguments, size, channels, setting)
        return remembered(circumstances, lambda: _counted(self.network, arguments, size, channels, setting))


@lru_cache(maxsize=256)
def _counted(network: str, arguments: str, size: tuple[int, int], channels: int, setting: str) -> Cost:
    import torch

    with torch.device("meta"):
        module = Candidate("", network, json.loads(arguments)).build(setting)
    return count(module, (1, channels, *size))


@dataclass(frozen=True)
class Bank:
    """The candidates of a bundle, cheapest first. Option 0 is skip; option `i` is candidate `i - 1`.

    modalities: of a slice, how many.
    """

    candidates: tuple[Candidate, ...]
    modalities: int

    @property
    def options(self) -> tuple[str, ...]:
        """Names by option: `("skip", "M1", ...)`."""
        return (SKIP, *(candidate.name for candidate in self.candidates))

    def costs(self, size: tuple[int, int], setting: str = "whole") -> tuple[Cost, ...]:
        """Cost of each option on one slice of `size`; skip costs nothing."""
        return (Cost(), *(candidate.cost(size, self.modalities, setting) for candidate in self.candidates))

    def seen(
        self,
        option: int,
        volumes: NDArray[np.float32],
        indices: Sequence[int] | NDArray[np.int64],
        spacing_mm: float,
    ) -> NDArray[np.float32]:
        """What an option, 1 or above, sees of slices; see `Context.gather`."""
        return self.candidates[option - 1].context.gather(volumes, indices, spacing_mm)

    def channels_of(self, option: int) -> int:
        """Input channels of an option, 1 or above."""
        return self.modalities * self.candidates[option - 1].context.planes
