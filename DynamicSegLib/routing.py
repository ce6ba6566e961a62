"""The router: from slices to what each option would achieve on each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.cost import Cost


@dataclass(frozen=True)
class Prediction:
    """What a router says of a study's slices.

    Parameters
    ----------
    quality: float32 `[slice, option]`, 0..1. For a candidate the Dice it would reach on the slice, given that there is
        foreground; for skip (option 0) the probability that there is none.
    area: float32 `[slice]`, expected foreground pixels of the slice: what is at stake there.
    choice: int64 `[slice]`, the option that the decision network itself would take (Med-DANet's rule at the alpha it
        was trained with).
    """

    quality: NDArray[np.float32]
    area: NDArray[np.float32]
    choice: NDArray[np.int64]

    @property
    def slices(self) -> int:
        return len(self.area)

    @property
    def options(self) -> int:
        return self.quality.shape[1]

    def only(self, indices: Sequence[int]) -> "Prediction":
        """The prediction of some of the slices."""
        chosen = np.asarray(indices, np.int64)
        return Prediction(self.quality[chosen], self.area[chosen], self.choice[chosen])


class Router(Protocol):
    """Anything that predicts what each option would achieve on each slice."""

    def cost(self, size: tuple[int, int]) -> Cost:
        """Cost of looking at one slice of `size` (rows, columns)."""
        ...

    def predict(self, slices: NDArray[np.float32]) -> Prediction:
        """Look at slices, float32 `[slice, modality, row, column]`, normalised."""
        ...


@dataclass(frozen=True)
class DecisionRouter:
    """A router around a decision network.

    Parameters
    ----------
    run: float32 `[n, modality, row, column]` to choice logits `[n, option]`, quality logits `[n, candidate]` and log
        area `[n]`.
    slice_cost: cost of one slice by its size.

    Source: Med-DANet, Sec. 3.2.
    Deviation: the network also predicts each candidate's Dice and the foreground's area, so that any alpha and any
    budget can be served after training.
    """

    run: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
    slice_cost: Callable[[tuple[int, int]], Cost]

    def cost(self, size: tuple[int, int]) -> Cost:
        return self.slice_cost(size)

    def predict(self, slices: NDArray[np.float32]) -> Prediction:
        choice_logits, quality_logits, log_area = self.run(slices)
        shifted = np.exp(choice_logits - choice_logits.max(axis=1, keepdims=True))
        empty = shifted[:, :1] / shifted.sum(axis=1, keepdims=True)
        quality = np.concatenate([empty, 1 / (1 + np.exp(-quality_logits))], axis=1)
        area = np.expm1(np.clip(log_area, 0.0, 14.0))
        return Prediction(
            quality.astype(np.float32), area.astype(np.float32), choice_logits.argmax(axis=1).astype(np.int64)
        )
