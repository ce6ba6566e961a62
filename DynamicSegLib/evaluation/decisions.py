"""How good the decisions are: tumour that was skipped, quality promised against quality reached, regret."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.evaluation.choices import regret
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.routing import Prediction


@dataclass(frozen=True)
class DecisionQuality:
    """Over all slices of all cases.

    skip_right: share of skipped slices that are truly empty. skip_found: share of truly empty slices that were skipped.
    missed_slices, missed_ml, missed_share: slices with tumour that were skipped, their tumour in millilitres, and its
    share of all tumour. regret: mean slice Dice lost against the best candidate on slices with tumour.
    """

    skip_right: float
    skip_found: float
    missed_slices: int
    missed_ml: float
    missed_share: float
    regret: float


def judge_decisions(
    plans: Sequence[NDArray[np.int64]], overlaps: Sequence[Overlaps], voxel_ml: Sequence[float]
) -> DecisionQuality:
    """Judge one plan a case; `voxel_ml` is the volume of one voxel of each case."""
    options = np.concatenate(list(plans))
    foreground = np.concatenate([measured.foreground for measured in overlaps])
    millilitres = np.concatenate([m.foreground * ml for m, ml in zip(overlaps, voxel_ml, strict=True)])
    dice = np.concatenate([measured.slice_dice() for measured in overlaps])
    skipped, empty = options == 0, foreground == 0
    missed = skipped & ~empty
    return DecisionQuality(
        skip_right=float((skipped & empty).sum() / max(1, skipped.sum())),
        skip_found=float((skipped & empty).sum() / max(1, empty.sum())),
        missed_slices=int(missed.sum()),
        missed_ml=float(millilitres[missed].sum()),
        missed_share=float(millilitres[missed].sum() / max(millilitres.sum(), 1e-9)),
        regret=regret(dice, foreground, options),
    )


@dataclass(frozen=True)
class CalibrationBin:
    """Slices whose predicted quality lies in one bin: how many, mean promised, mean reached."""

    slices: int
    promised: float
    reached: float


def calibration(
    predictions: Sequence[Prediction], overlaps: Sequence[Overlaps], candidate: int, bins: int = 5
) -> list[CalibrationBin]:
    """Promised against reached Dice of one candidate (index in the bank), slices with tumour, in equally full bins."""
    present = [measured.foreground > 0 for measured in overlaps]
    promised = np.concatenate([p.quality[m, candidate + 1] for p, m in zip(predictions, present, strict=True)])
    reached = np.concatenate([o.slice_dice()[m, candidate] for o, m in zip(overlaps, present, strict=True)])
    parts = np.array_split(np.argsort(promised), bins)
    return [CalibrationBin(len(p), float(promised[p].mean()), float(reached[p].mean())) for p in parts if len(p)]
