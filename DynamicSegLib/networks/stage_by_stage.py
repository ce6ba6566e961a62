"""How a staged network runs after training: slices grouped by bits, stage by stage, crops on whole pixels.

The network is cut where slices may part: `Pieces` are functions of arrays, the network's own modules (the reference,
`pieces.pieces_of`) or compiled from them one by one, each for its own bits. `StagedExecution` leads slices through
them. It takes NumPy's arrays and torch's tensors alike and does not import torch, which takes longer than many a case.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Of the paper's network, and what it is where a bundle does not say otherwise.
STAGES = 4
DIVISOR = 8
WIDTH = 16
BITS = (8, 16)
CROPS = (96,)
FULL = 32
"""Bits that stand for floating point: nothing is quantised."""

Array = Any
"""NumPy's or torch's, float32 `[n, channel, row, column]` where nothing else is said."""
Kernel = Callable[..., tuple[Array, ...]]

# Pixels by which the last decoder stage (two 3x3 convolutions) looks around.
_REACH = 2


@dataclass(frozen=True)
class Pieces:
    """Functions of arrays, each with a tuple of arrays as result.

    position: slices to crop centres, float `[n, crop, 2]`; None where nothing is cropped.
    begin: slices to the first stage's input and its bit logits (if there is a choice).
    stages: by stage and bits: its input to its level's features, the next input, and the next bit logits.
    before_last: the deepest features and the finer ones, finest first, to what the last stage reads.
    last: the last decoder stage, on whole slices or on crops and their surroundings.
    blank: the same on whole slices, run once on no features at all.
    """

    position: Kernel | None
    begin: Kernel
    stages: Mapping[tuple[int, int], Kernel]
    before_last: Kernel
    last: Kernel
    blank: Kernel


class Executed(NamedTuple):
    """What an execution gives for `n` slices.

    output: what the last piece gives, on whole slices: logits `[n, class, row, column]` or classes `[n, row, column]`.
    start: first pixel (row, column) of each crop, int64 `[n, 2]`; None for whole slices.
    bits: int64 `[n, stage]`.
    """

    output: Array
    start: NDArray[np.int64] | None
    bits: NDArray[np.int64]


class StagedExecution:
    """Runs slices through pieces; a slice's result does not depend on the slices beside it.

    Parameters
    ----------
    bits: the bit space.
    width: channels of the features before the last stage.
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

    def __init__(self, pieces: Pieces, bits: Sequence[int], width: int, crop: int = 0, which: int = 0) -> None:
        self.pieces, self.bits, self.width = pieces, tuple(bits), width
        self.crop, self.which = crop, which
        self._blank: Array | None = None

    def __call__(self, x: Array) -> Executed:
        """Run slices, float32 `[n, channel, row, column]` of any size."""
        rows, columns = x.shape[-2:]
        if self.pieces.position is None or self.crop == 0 or self.crop >= min(rows, columns):
            features, bits = self._features(_padded(x))
            (output,) = self.pieces.last(features)
            return Executed(output[..., :rows, :columns], None, bits)
        (centres,) = self.pieces.position(x)
        start = self._start(centres[:, self.which], (rows, columns))
        places = start.tolist()
        tiles = _zeros((*x.shape[:2], self.crop, self.crop), x)
        for i, (r, c) in enumerate(places):
            tiles[i] = x[i, :, r : r + self.crop, c : c + self.crop]
        features, bits = self._features(tiles)
        return Executed(self._pasted(features, places, (rows, columns)), start, bits)

    def _start(self, centres: Array, size: tuple[int, int]) -> NDArray[np.int64]:
        if _is_meta(centres):
            return np.zeros((len(centres), 2), np.int64)
        return whole_pixels(np.array(centres.tolist()), self.crop, size)

    def _features(self, x: Array) -> tuple[Array, NDArray[np.int64]]:
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
        return features, np.array(chosen, np.int64).T

    def _chosen(self, count: int, logits: list[Array]) -> list[int]:
        if not logits or _is_meta(logits[0]):
            return [self.bits[-1]] * count
        return [self.bits[place] for place in logits[0].argmax(1).tolist()]

    def _pasted(self, features: Array, places: list[tuple[int, int]], size: tuple[int, int]) -> Array:
        """The last stage's result on the whole slice: windows around the crops, on the result of no features at all."""
        windows = [_windows(places, axis, self.crop, size[axis]) for axis in range(2)]
        patches = _zeros((len(features), self.width, *last_size(self.crop, size)), features)
        for i, (r, c) in enumerate(places):
            top, left = r - windows[0][i][0], c - windows[1][i][0]
            patches[i, :, top : top + self.crop, left : left + self.crop] = features[i]
        (results,) = self.pieces.last(patches)
        whole = _zeros((len(features), *results.shape[1:-2], *size), results)
        if not _is_meta(whole):  # what is counted there is what every slice costs
            whole[:] = self._blank_of(features, size)
        for i, (row, column) in enumerate(zip(*windows, strict=True)):
            inside = (slice(row[1], row[2]), slice(column[1], column[2]))
            own = (slice(row[1] - row[0], row[2] - row[0]), slice(column[1] - column[0], column[2] - column[0]))
            whole[(i, ..., *inside)] = results[(i, ..., *own)]
        return whole

    def _blank_of(self, features: Array, size: tuple[int, int]) -> Array:
        if self._blank is None or self._blank.shape[-2:] != size:
            (self._blank,) = self.pieces.blank(_zeros((1, self.width, *size), features))
        return self._blank


def whole_pixels(centre: NDArray[np.floating], size: int, lengths: tuple[int, int]) -> NDArray[np.int64]:
    """First pixels of crops that lie on whole pixels inside the slice, int64 `[n, 2]`: what is run after training.

    `centre`: `[n, 2]`, (row, column) in pixels. `size`: of the crop. `lengths`: rows and columns of the slice.
    """
    start = np.rint(centre - size / 2).astype(np.int64)
    return np.minimum(np.maximum(start, 0), np.array(lengths) - size)


def padded_size(rows: int, columns: int) -> tuple[int, int]:
    """The smallest size divisible by `DIVISOR` that holds `rows` x `columns`."""
    return rows + -rows % DIVISOR, columns + -columns % DIVISOR


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


def _by_group(bits: list[int], x: Array, pieces: Mapping[int, Kernel]) -> tuple[Array, ...]:
    """Run each slice through the piece of its bits, slices of the same bits together, and restore the order."""
    widths = sorted(set(bits))
    if len(widths) == 1:
        return pieces[widths[0]](x)
    results: tuple[Array, ...] = ()
    for width in widths:
        group = [i for i, own in enumerate(bits) if own == width]
        parts = pieces[width](x[group])
        results = results or tuple(_zeros((len(bits), *part.shape[1:]), part) for part in parts)
        for result, part in zip(results, parts, strict=True):
            result[group] = part
    return results


def _padded(x: Array) -> Array:
    """Zeros at the bottom and right of `[..., row, column]`, up to the next multiple of `DIVISOR`."""
    rows, columns = x.shape[-2:]
    size = padded_size(rows, columns)
    if size == (rows, columns):
        return x
    padded = _zeros((*x.shape[:-2], *size), x)
    padded[..., :rows, :columns] = x
    return padded


def _zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of the kind, type and place of `like`."""
    return np.zeros(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_zeros(shape)


def _is_meta(x: Array) -> bool:
    return bool(getattr(x, "is_meta", False))
