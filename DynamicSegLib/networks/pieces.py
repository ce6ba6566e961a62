"""The pieces of a staged network as modules: what runs after training, or what a backend compiles one by one."""

import torch
from torch import Tensor, nn

from DynamicSegLib.networks.cropping import PositionNetwork
from DynamicSegLib.networks.stage_by_stage import STAGES, Pieces
from DynamicSegLib.networks.staged import StagedNetwork


class Begin(nn.Module):
    """Float `[n, in_channels, row, column]` to the first stage's input and its bit logits (if there is a choice)."""

    def __init__(self, network: StagedNetwork) -> None:
        super().__init__()
        self.stem, self.selectors = network.encoder[0].stem, network.selectors[:1]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(x)
        return (x, *(selector(x) for selector in self.selectors))


class Stage(nn.Module):
    """One encoder stage at fixed bits: its input to its level's features, the next input, and the next bit logits."""

    def __init__(self, network: StagedNetwork, index: int, bits: int) -> None:
        super().__init__()
        self.encoder, self.index, self.bits = network.encoder[0], index, bits
        self.selectors = network.selectors[index + 1 : index + 2]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        level, following = self.encoder.stage(self.index, x, self.bits)
        if self.index == STAGES - 1:
            return (level,)
        return (level, following, *(selector(following) for selector in self.selectors))


class BeforeLast(nn.Module):
    """The deepest features and the finer ones, finest first, to what the last stage reads."""

    def __init__(self, network: StagedNetwork) -> None:
        super().__init__()
        self.staged = network

    def forward(self, deep: Tensor, *skips: Tensor) -> tuple[Tensor, ...]:
        return (self.staged.before_last(deep, list(skips)),)


class Last(nn.Module):
    """The last decoder stage: logits, or with `classes` uint8 `[n, row, column]`."""

    def __init__(self, network: StagedNetwork, classes: bool) -> None:
        super().__init__()
        self.staged, self.classes = network, classes

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        logits = self.staged.last(features)
        return (logits.argmax(dim=1).to(torch.uint8) if self.classes else logits,)


class Position(nn.Module):
    """The position network as a piece: centres, float `[n, crop, 2]`."""

    def __init__(self, network: PositionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.network(x),)


def pieces_of(network: StagedNetwork, position: PositionNetwork | None, classes: bool = False) -> Pieces:
    """The network's pieces as modules that share its weights. `classes`: whether the last one gives classes."""
    last = Last(network, classes)
    return Pieces(
        None if position is None else Position(position),
        Begin(network),
        {(index, bits): Stage(network, index, bits) for index in range(STAGES) for bits in network.bits},
        BeforeLast(network),
        last,
        last,
    )
