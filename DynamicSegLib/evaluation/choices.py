"""Which option is right for a slice when its Dice is known: Eq. 4 of Med-DANet, and the oracle."""

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Softmax(str, Enum):
    """Which terms of Eq. 4 go through a softmax over the candidates (Med-DANet, Table 4; `cost` is its final one)."""

    NONE = "none"
    SCORE = "score"
    COST = "cost"
    BOTH = "both"


def best_options(
    dice: NDArray[np.float64],
    foreground: NDArray[np.int64],
    paper_flops: Sequence[int],
    alpha: float = 0.001,
    softmax: Softmax = Softmax.COST,
) -> NDArray[np.int64]:
    """The option that Eq. 4 gives each slice, int64 `[slice]`: 0 where there is no foreground.

    Parameters
    ----------
    dice: float `[slice, candidate]`.
    foreground: reference pixels of any label, int `[slice]`.
    paper_flops: of each candidate on one slice; they enter in G.

    Source: Med-DANet, Eq. 4.
    """
    cheapness = 1e9 / np.asarray(paper_flops, np.float64)
    score = _softmax(dice) if softmax in (Softmax.SCORE, Softmax.BOTH) else dice
    cost = _softmax(cheapness[None])[0] if softmax in (Softmax.COST, Softmax.BOTH) else cheapness
    metric = (1 - alpha) * score + alpha * cost
    return np.asarray(np.where(foreground < 1, 0, metric.argmax(axis=1) + 1), np.int64)


def regret(dice: NDArray[np.float64], foreground: NDArray[np.int64], options: NDArray[np.int64]) -> float:
    """Mean Dice that a plan loses against the best candidate on each slice with foreground; a skip there scores 0."""
    rows = np.flatnonzero(foreground > 0)
    if not rows.size:
        return 0.0
    reached = np.where(options[rows] > 0, dice[rows, np.maximum(options[rows], 1) - 1], 0.0)
    return float((dice[rows].max(axis=1) - reached).mean())


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
