"""Which slices a training step sees, and their way from the cache to the device.

Every draw comes from a generator seeded by the run's seed and the step, so a resumed run sees what the unbroken run
would have seen, and no sampler state has to be kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from DynamicSegLib.context import ALONE, Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.cache import CachedCase


class CodedBatch(NamedTuple):
    """Slices as the cache has them, perhaps with neighbours, and the classes of the slices themselves.

    planes: uint8 `[n, seen * modality + 1, row, column]`, channels as in `Context`, classes last. offset, step: float
    `[n, modality]`.
    """

    planes: Tensor
    offset: Tensor
    step: Tensor


class SlicePool:
    """All slices of the chosen cases on one canvas (the largest crop among them), each centred on it.

    Parameters
    ----------
    resident: hold the slices on `device` as one tensor (a GPU's way); otherwise they stay memory-mapped.
    """

    def __init__(self, cases: Sequence[CachedCase], device: torch.device, resident: bool = False) -> None:
        self.cases = list(cases)
        self.device = device
        self.rows = max(case.slices.shape[2] for case in cases)
        self.columns = max(case.slices.shape[3] for case in cases)
        self.modalities = len(cases[0].record.modalities)
        self.starts = np.cumsum([0] + [case.slices.shape[0] for case in cases])
        scale = torch.tensor([(case.record.offset, case.record.step) for case in cases], dtype=torch.float32)
        self._scale = scale.to(device)
        self._resident = self._all_slices() if resident else None

    def fetch(self, case: np.ndarray, index: np.ndarray, context: Context = ALONE) -> CodedBatch:
        """The slices `index` (within the case) of the cases `case`, both int `[n]`, on the device.

        context: neighbours that are wanted too; where the cache has none the scan is empty.
        """
        scale = self._scale[torch.as_tensor(case, device=self.device)]
        planes = self._planes(case, index)
        if context.neighbours_mm:
            steps = np.array([context.steps(self.cases[which].record.spacing_mm[0]) for which in case])
            neighbours = [self._neighbours(case, index + step) for step in steps.T[1:]]
            planes = torch.cat([planes[:, :-1], *neighbours, planes[:, -1:]], dim=1)
        return CodedBatch(planes, scale[:, 0], scale[:, 1])

    def _neighbours(self, case: np.ndarray, index: np.ndarray) -> Tensor:
        last = np.diff(self.starts)[case] - 1
        there = torch.as_tensor((index >= 0) & (index <= last), device=self.device)
        return self._planes(case, np.clip(index, 0, last))[:, :-1] * there[:, None, None, None]

    def _planes(self, case: np.ndarray, index: np.ndarray) -> Tensor:
        """uint8 `[n, modality + 1, row, column]`."""
        if self._resident is not None:
            return self._resident[torch.as_tensor(self.starts[case] + index, device=self.device)]
        planes = np.zeros((len(case), self.modalities + 1, self.rows, self.columns), np.uint8)
        for target, which, at in zip(planes, case, index, strict=True):
            self._place(target, self.cases[which].slices[at])
        return torch.from_numpy(planes).to(self.device)

    def _place(self, target: np.ndarray, source: np.ndarray) -> None:
        row, column = (self.rows - source.shape[-2]) // 2, (self.columns - source.shape[-1]) // 2
        target[..., row : row + source.shape[-2], column : column + source.shape[-1]] = source

    def _all_slices(self) -> Tensor:
        shape = (int(self.starts[-1]), self.modalities + 1, self.rows, self.columns)
        try:
            everything = torch.zeros(shape, dtype=torch.uint8, device=self.device)
        except RuntimeError as error:
            raise TrainingError(
                f"The {shape[0]} slices need {np.prod(shape) / 2**30:.1f} GiB on {self.device}, which it does not "
                "have: set data.resident to false."
            ) from error
        for which, case in enumerate(self.cases):
            planes = np.zeros((case.slices.shape[0], *shape[1:]), np.uint8)
            self._place(planes, np.asarray(case.slices))
            everything[self.starts[which] : self.starts[which + 1]] = torch.from_numpy(planes)
        return everything


@dataclass(frozen=True)
class CaseSampler:
    """Draws a case (weighted), then one of its slices: with probability `tumour_share` one that has foreground.

    Cases first: a small tumour is seen as often as a large one.
    """

    foreground: tuple[np.ndarray, ...]
    weights: np.ndarray
    tumour_share: float

    @classmethod
    def of(cls, cases: Sequence[CachedCase], weights: Sequence[float], tumour_share: float) -> "CaseSampler":
        """A sampler of `cases` with relative `weights` (one a case)."""
        total = np.asarray(weights, float)
        return cls(tuple(np.asarray(c.record.foreground) for c in cases), total / total.sum(), tumour_share)

    def draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`count` draws: case index and slice index, int `[count]` each."""
        cases = generator.choice(len(self.weights), size=count, p=self.weights)
        slices = np.empty(count, np.int64)
        for position, case in enumerate(cases):
            candidates = np.flatnonzero(self.foreground[case] > 0)
            if len(candidates) == 0 or generator.random() >= self.tumour_share:
                candidates = np.arange(len(self.foreground[case]))
            slices[position] = generator.choice(candidates)
        return cases, slices


def step_generator(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """The generator of one step on one process."""
    return np.random.default_rng((seed, step, rank))
