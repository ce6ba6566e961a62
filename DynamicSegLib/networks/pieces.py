"""How a staged network runs after training: slices grouped by bits, stage by stage, crops on whole pixels.

The network is cut where slices may part: `Pieces` are plain modules, which a backend may compile one by one, each for
its own bits. `StagedExecution` leads slices through them; with the modules themselves it is the reference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from DynamicSegLib.networks.cropping import PositionNetwork, whole_pixels
from DynamicSegLib.networks.padding import pad_to_divisor
from DynamicSegLib.networks.staged import STAGES, StagedNetwork

Kernel = Callable[..., tuple[Tensor, ...]]

# Pixels by which the last decoder stage (two 3x3 convolutions) looks around.
_REACH = 2


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


@dataclass(frozen=True)
class Pieces:
    """Callables on tensors, each with a tuple of tensors as result. `stages` by stage and bits; `position` where the
    policy space has crops.
    """

    position: Kernel | None
    begin: Kernel
    stages: Mapping[tuple[int, int], Kernel]
    before_last: Kernel
    last: Kernel


def pieces_of(network: StagedNetwork, position: PositionNetwork | None, classes: bool = False) -> Pieces:
    """The network's pieces as modules that share its weights."""
    return Pieces(
        None if position is None else Position(position),
        Begin(network),
        {(index, bits): Stage(network, index, bits) for index in range(STAGES) for bits in network.bits},
        BeforeLast(network),
        Last(network, classes),
    )


class Executed(NamedTuple):
    """What an execution gives for `n` slices.

    output: what the last piece gives, on whole slices: logits `[n, class, row, column]` or classes `[n, row, column]`.
    start: first pixel (row, column) of each crop, int64 `[n, 2]`; None for whole slices.
    bits: int64 `[n, stage]`.
    """

    output: Tensor
    start: Tensor | None
    bits: Tensor


class StagedExecution:
    """Runs slices through pieces; a slice's result does not depend on the slices beside it.

    Parameters
    ----------
    blank: the last piece for whole slices, run once on no features at all.
    bits: the bit space.
    width: channels of the features before the last stage.
    divisor: rows and columns of whole slices are padded to a multiple of it.
    crop, which: crop size in pixels (0 for whole slices) and its place among the position network's outputs. Slices
        no larger than the crop are run whole.

    Notes
    -----
    On tensors of the meta device, where nothing can be chosen, every slice takes the widest bits: an upper bound of
    the cost.

    Source: Med-DANet V2, Sec. 3.3 to 3.5.
    Deviation: after training crops lie on whole pixels. Features are zero outside the crop, so the last stage's result
    there is one and the same map for all slices: it is computed once, and each slice only adds the crop and the last
    stage's reach around it. The result is that of the whole map.
    """

    def __init__(
        self,
        pieces: Pieces,
        blank: Kernel,
        bits: Sequence[int],
        width: int,
        divisor: int,
        crop: int = 0,
        which: int = 0,
    ) -> None:
        self.blank = blank
        self.pieces, self.bits, self.width, self.divisor = pieces, tuple(bits), width, divisor
        self.crop, self.which = crop, which
        self._blank: Tensor | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Executed:
        """Run slices, float `[n, channel, row, column]` of any size."""
        rows, columns = x.shape[-2:]
        if self.pieces.position is None or self.crop == 0 or self.crop >= min(rows, columns):
            features, bits = self._features(pad_to_divisor(x, self.divisor))
            (output,) = self.pieces.last(features)
            return Executed(output[..., :rows, :columns], None, bits)
        (centres,) = self.pieces.position(x)
        start = whole_pixels(centres[:, self.which], self.crop, (rows, columns))
        places = _places(start)
        tiles = [each[:, r : r + self.crop, c : c + self.crop] for each, (r, c) in zip(x, places, strict=True)]
        features, bits = self._features(torch.stack(tiles))
        return Executed(self._pasted(features, places, (rows, columns)), start, bits)

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, *logits = self.pieces.begin(x)
        skips, chosen = [], []
        for index in range(STAGES):
            bits = self._chosen(len(x), logits)
            level, *following = _by_group(bits, x, {width: self.pieces.stages[index, width] for width in self.bits})
            if following:
                x, *logits = following
            skips.append(level)
            chosen.append(bits)
        *skips, deep = skips
        (features,) = self.pieces.before_last(deep, *skips)
        return features, torch.tensor(chosen).reshape(STAGES, -1).T

    def _chosen(self, count: int, logits: list[Tensor]) -> list[int]:
        if not logits or logits[0].is_meta:
            return [self.bits[-1]] * count
        return [self.bits[place] for place in logits[0].argmax(dim=1).tolist()]

    def _pasted(self, features: Tensor, places: list[tuple[int, int]], size: tuple[int, int]) -> Tensor:
        """The last stage's result on the whole slice: windows around the crops, on the result of no features at all."""
        windows = [_windows(places, axis, self.crop, size[axis]) for axis in range(2)]
        lengths = last_size(self.crop, size)
        patches = features.new_zeros((len(features), self.width, *lengths))
        for i, (r, c) in enumerate(places):
            top, left = r - windows[0][i][0], c - windows[1][i][0]
            patches[i, :, top : top + self.crop, left : left + self.crop] = features[i]
        blank = None if patches.is_meta else self._blank_of(features, size)
        (results,) = self.pieces.last(patches)
        shape = (len(features), *results.shape[1:-2], *size)
        whole = results.new_empty(shape) if blank is None else blank.expand(shape).clone()
        for i, (row, column) in enumerate(zip(*windows, strict=True)):
            inside = (slice(row[1], row[2]), slice(column[1], column[2]))
            own = (slice(row[1] - row[0], row[2] - row[0]), slice(column[1] - column[0], column[2] - column[0]))
            whole[(i, ..., *inside)] = results[(i, ..., *own)]
        return whole

    def _blank_of(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        if self._blank is None or self._blank.shape[-2:] != size:
            (self._blank,) = self.blank(features.new_zeros((1, self.width, *size)))
        return self._blank


def last_size(crop: int, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns that the last stage is run on for a crop of slices of `size`."""
    return min(crop + 4 * _REACH, size[0]), min(crop + 4 * _REACH, size[1])


def _windows(places: list[tuple[int, int]], axis: int, crop: int, length: int) -> list[tuple[int, int, int]]:
    """First pixel of each crop's window along one axis, and the first and the end of the pixels that are right in it.

    At a window's edge inside the slice the last stage's padding is not the slice's own: `_REACH` pixels are left out,
    which are out of the crop's reach.
    """
    span, _ = last_size(crop, (length, length))
    found = []
    for place in places:
        first = min(max(place[axis] - 2 * _REACH, 0), length - span)
        end = first + span
        found.append((first, first + (_REACH if first > 0 else 0), end - (_REACH if end < length else 0)))
    return found


def _by_group(bits: list[int], x: Tensor, pieces: Mapping[int, Kernel]) -> tuple[Tensor, ...]:
    """Run each slice through the piece of its bits, slices of the same bits together, and restore the order."""
    widths = sorted(set(bits))
    if len(widths) == 1:
        return pieces[widths[0]](x)
    groups = [[i for i, own in enumerate(bits) if own == width] for width in widths]
    parts = [pieces[width](x[group]) for width, group in zip(widths, groups, strict=True)]
    order = torch.tensor([i for group in groups for i in group]).argsort().to(x.device)
    return tuple(torch.cat(part)[order] for part in zip(*parts, strict=True))


def _places(start: Tensor) -> list[tuple[int, int]]:
    if start.is_meta:
        return [(0, 0)] * len(start)
    return [(r, c) for r, c in start.tolist()]
