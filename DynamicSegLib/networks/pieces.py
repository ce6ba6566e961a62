"""The pieces of a staged network as modules: what runs after training, or what a backend compiles one by one."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DynamicSegLib.networks.cropping import PositionNetwork
from DynamicSegLib.networks.stage_by_stage import STAGES, Pieces, Surroundings, choices, following
from DynamicSegLib.networks.staged import StagedNetwork

Around = tuple[Surroundings, Surroundings]
"""What is around a crop, along rows and columns."""


class Stages(nn.Module):
    """Consecutive encoder stages at fixed bits: what a piece gives (see `Pieces`).

    Input: that of stage `first`, slices where it has the stem; with `after` also the finer levels, finest first.

    Parameters
    ----------
    bits: of the stages `first`, `first + 1`, ...
    stem: whether the stem comes before.
    after: what makes the output of the last stage, if it is among these; without it that stage's features are given.
    """

    def __init__(
        self,
        network: StagedNetwork,
        first: int,
        bits: Sequence[int],
        stem: bool = False,
        after: "AfterEncoder | None" = None,
    ) -> None:
        super().__init__()
        end = first + len(bits)
        self.encoder, self.first, self.bits, self.stem = network.encoder[0], first, tuple(bits), stem
        self.has_last, self.after = end == STAGES, after if end == STAGES else None
        self.selector = network.selector(end)

    def forward(self, x: Tensor, *skips: Tensor) -> tuple[Tensor, ...]:
        levels = []
        if self.stem:
            x = self.encoder.stem(x)
        for index, bits in enumerate(self.bits, start=self.first):
            level, x = self.encoder.stage(index, x, bits)
            levels.append(level)
        if self.after is not None:
            return (self.after(x, [*skips, *levels[:-1]]),)
        if self.has_last:
            return tuple(levels)
        return (*levels, x, *(() if self.selector is None else (self.selector(x),)))


class AfterEncoder(nn.Module):
    """Bridge and decoder: logits, float `[n, class, row, column]`, or with `classes` uint8 `[n, row, column]`.

    Parameters
    ----------
    around: of crops: the result is then that of the crop and of what the last stage sees of it.
    """

    def __init__(self, network: StagedNetwork, classes: bool, around: Around | None) -> None:
        super().__init__()
        self.staged, self.around = network, around
        self.last = Last(network, classes)

    def forward(self, deep: Tensor, skips: list[Tensor]) -> Tensor:
        features = self.staged.before_last(deep, skips)
        if self.around is None:
            return self.last(features)[0]
        rows, columns = self.around
        (patch,) = self.last(F.pad(features, (columns.before, columns.after, rows.before, rows.after)))
        height, width = patch.shape[-2:]
        return patch[..., rows.margin : height - rows.margin, columns.margin : width - columns.margin]


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


def pieces_of(network: StagedNetwork, position: PositionNetwork | None, around: Around | None = None) -> Pieces:
    """The network's pieces as modules that share its weights; they give logits. `around`: of crops."""
    spaces, after = network.spaces, AfterEncoder(network, False, around)
    return Pieces(
        None if position is None else Position(position),
        Stages(network, 0, following(spaces, -1), stem=True, after=after),
        {
            (index, bits): Stages(network, index, (bits, *following(spaces, index)), after=after)
            for index in choices(spaces)
            for bits in spaces[index]
        },
        None if position is None else Last(network, False),
    )
