"""How a staged network runs after training: slices grouped by the bits that they choose, crops on whole pixels.

The network is cut only where slices may part, which is where a stage has a choice of bits: `Pieces` are functions of
arrays, the network's own modules (the reference, `pieces.pieces_of`) or compiled from them one by one, each for its own
bits. `StagedExecution` leads slices through them. It takes NumPy's arrays and torch's tensors alike and does not import
torch, which takes longer than many a case.
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
Spaces = tuple[tuple[int, ...], ...]
"""The bits that each stage chooses from, ascending; one number where there is no choice."""

# Pixels by which the last decoder stage (two 3x3 convolutions) looks around.
_REACH = 2


def bit_spaces(bits: Sequence[int | Sequence[int]]) -> Spaces:
    """The bit space of each stage, from one for all of them (`[8, 16]`) or one each (`[[8, 16], [8], [8], [8]]`)."""
    spaces = tuple((each,) if isinstance(each, int) else tuple(each) for each in bits)
    one_for_all = all(isinstance(each, int) for each in bits)
    return (tuple(bit for space in spaces for bit in space),) * STAGES if one_for_all else spaces


def choices(spaces: Spaces) -> tuple[int, ...]:
    """The stages that choose their bits, ascending."""
    return tuple(index for index, space in enumerate(spaces) if len(space) > 1)


def following(spaces: Spaces, index: int) -> tuple[int, ...]:
    """The bits of the stages after stage `index` and before the next one that chooses; -1: of those at the start."""
    end = next((choice for choice in choices(spaces) if choice > index), STAGES)
    return tuple(space[0] for space in spaces[index + 1 : end])


@dataclass(frozen=True)
class Pieces:
    """Functions of arrays, each with a tuple of arrays as result.

    A piece gives the features of the stages in it, one a level, the next stage's input, and the logits of its bits; the
    last piece gives the output instead.

    position: slices to crop centres, float `[n, crop, 2]`; None where nothing is cropped.
    begin: slices to what a piece gives, the stages before the first choice in it.
    stages: by stage that chooses and its bits: its input (the last piece's: and all finer levels, finest first) to
        what a piece gives.
    blank: features without any content, on whole slices, to the output there; None where nothing is cropped.
    """

    position: Kernel | None
    begin: Kernel
    stages: Mapping[tuple[int, int], Kernel]
    blank: Kernel | None


class Executed(NamedTuple):
    """What an execution gives for `n` slices.

    output: what the last piece gives, on whole slices: logits `[n, class, row, column]` or classes `[n, row, column]`.
    start: first pixel (row, column) of each crop, int64 `[n, 2]`; None for whole slices.
    bits: int64 `[n, stage]`.
    """

    output: Array
    start: NDArray[np.int64] | None
    bits: NDArray[np.int64]


class Surroundings(NamedTuple):
    """What the last decoder stage is given around a crop, along one axis, in pixels.

    before, after: pixels without features beside the crop. margin: pixels at each end of the result that are left out,
    since there the last stage's own padding is not the slice's; they are out of the crop's reach.
    """

    before: int
    after: int
    margin: int

    @classmethod
    def of(cls, crop: int, length: int) -> "Surroundings":
        """Those of a crop of slices of `length` pixels: what the last stage can reach, or the whole slice if smaller.

        They are the same for all crops, which therefore keep as many pixels' distance from the slice's ends.
        """
        room = length - crop
        if room < 4 * _REACH:
            return cls(room // 2, room - room // 2, 0)
        return cls(2 * _REACH, 2 * _REACH, _REACH)

    @classmethod
    def along(cls, crop: int, size: tuple[int, int]) -> "tuple[Surroundings, Surroundings]":
        """Those along rows and along columns, of slices of `size`."""
        return cls.of(crop, size[0]), cls.of(crop, size[1])


class StagedExecution:
    """Runs slices through pieces; a slice's result does not depend on the slices beside it.

    Parameters
    ----------
    spaces: the bit space of each stage.
    width: channels of the features before the last stage.
    crop, which: crop size in pixels and its place among the position network's outputs, where the pieces have one.

    Notes
    -----
    On tensors of the meta device, where nothing can be chosen, every slice takes the widest bits: an upper bound of
    the cost.

    Source: Med-DANet V2, Sec. 3.3 to 3.5.
    Deviation: after training crops lie on whole pixels, with their surroundings inside the slice. Features are zero
    outside the crop, so the last stage's result there is one and the same map for all slices: it is computed once, and
    each slice only adds the crop and the last stage's reach around it. The result is that of the whole map.
    """

    def __init__(self, pieces: Pieces, spaces: Spaces, width: int, crop: int = 0, which: int = 0) -> None:
        self.pieces, self.spaces, self.width = pieces, spaces, width
        self.crop, self.which = crop, which
        self._blank: Array | None = None

    def __call__(self, x: Array) -> Executed:
        """Run slices, float32 `[n, channel, row, column]` of any size."""
        rows, columns = x.shape[-2:]
        if self.pieces.position is None:
            output, bits = self._through(_padded(x))
            return Executed(output[..., :rows, :columns], None, bits)
        (centres,) = self.pieces.position(x)
        start = self._start(centres[:, self.which], (rows, columns))
        places = start.tolist()
        tiles = _zeros((*x.shape[:2], self.crop, self.crop), x)
        for i, (r, c) in enumerate(places):
            tiles[i] = x[i, :, r : r + self.crop, c : c + self.crop]
        patches, bits = self._through(tiles)
        return Executed(self._pasted(patches, places, x), start, bits)

    def _start(self, centres: Array, size: tuple[int, int]) -> NDArray[np.int64]:
        if _is_meta(centres):
            return np.zeros((len(centres), 2), np.int64)
        return whole_pixels(np.array(centres.tolist()), self.crop, size)

    def _through(self, x: Array) -> tuple[Array, NDArray[np.int64]]:
        """What the last piece gives for slices or crops, and the bits that they took."""
        bits = np.tile(np.array([space[-1] for space in self.spaces], np.int64), (len(x), 1))
        results, skips = self.pieces.begin(x), []
        for index in choices(self.spaces):
            *levels, x, logits = results
            skips += levels
            bits[:, index] = self._chosen(index, logits)
            is_last = index == choices(self.spaces)[-1]
            pieces = {width: self.pieces.stages[index, width] for width in self.spaces[index]}
            results = _by_group(bits[:, index].tolist(), (x, *skips) if is_last else (x,), pieces)
        (output,) = results
        return output, bits

    def _chosen(self, index: int, logits: Array) -> list[int] | int:
        if _is_meta(logits):
            return self.spaces[index][-1]
        return [self.spaces[index][place] for place in logits.argmax(1).tolist()]

    def _pasted(self, patches: Array, places: list[tuple[int, int]], slices: Array) -> Array:
        """The last stage's result on whole slices: that around the crops, on the result of no features at all."""
        size = slices.shape[-2:]
        whole = _zeros((len(patches), *patches.shape[1:-2], *size), patches)
        if _is_meta(whole):  # what is counted there is what every slice costs
            return whole
        whole[:] = self._blank_of(slices, size)
        rows, columns = Surroundings.along(self.crop, size)
        for i, (r, c) in enumerate(places):
            top, left = r - rows.before + rows.margin, c - columns.before + columns.margin
            whole[i, ..., top : top + patches.shape[-2], left : left + patches.shape[-1]] = patches[i]
        return whole

    def _blank_of(self, like: Array, size: tuple[int, int]) -> Array:
        if self._blank is None or self._blank.shape[-2:] != size:
            assert self.pieces.blank is not None
            (self._blank,) = self.pieces.blank(_zeros((1, self.width, *size), like))
        return self._blank


def whole_pixels(centre: NDArray[np.floating], size: int, lengths: tuple[int, int]) -> NDArray[np.int64]:
    """First pixels of crops that lie on whole pixels, with their surroundings inside the slice, int64 `[n, 2]`.

    `centre`: `[n, 2]`, (row, column) in pixels. `size`: of the crop. `lengths`: rows and columns of the slice.
    """
    start = np.rint(centre - size / 2).astype(np.int64)
    around = Surroundings.along(size, lengths)
    first = np.array([each.before for each in around])
    last = np.array([length - size - each.after for length, each in zip(lengths, around, strict=True)])
    return np.minimum(np.maximum(start, first), last)


def padded_size(rows: int, columns: int) -> tuple[int, int]:
    """The smallest size divisible by `DIVISOR` that holds `rows` x `columns`."""
    return rows + -rows % DIVISOR, columns + -columns % DIVISOR


def _by_group(bits: list[int], inputs: tuple[Array, ...], pieces: Mapping[int, Kernel]) -> tuple[Array, ...]:
    """Run each slice through the piece of its bits, slices of the same bits together, and restore the order."""
    widths = sorted(set(bits))
    if len(widths) == 1:
        return pieces[widths[0]](*inputs)
    results: tuple[Array, ...] = ()
    for width in widths:
        group = [i for i, own in enumerate(bits) if own == width]
        parts = pieces[width](*(each[group] for each in inputs))
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
