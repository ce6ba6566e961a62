"""Dice and 95 % Hausdorff distance of a volume, computed by MONAI, with the challenge's rule for empty structures."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.errors import InputError
from DynamicSegLib.evaluation.structures import Structures

WORST_HD95_MM = 373.13
"""Distance that the BraTS challenges give where one of the two is empty (the diagonal of their volumes)."""


@dataclass(frozen=True)
class Score:
    """Agreement of one structure. Both empty: Dice 1, distance 0; one empty: Dice 0, distance 373.13 mm."""

    dice: float
    hd95_mm: float


def score_volume(
    prediction: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    structures: Structures,
    spacing_mm: tuple[float, float, float],
) -> dict[str, Score]:
    """Score two label volumes `[slice, row, column]` on one grid, structure by structure.

    Source: the BraTS challenges' evaluation (Dice, 95 % Hausdorff distance, empty structures).
    """
    if prediction.shape != reference.shape:
        raise InputError(
            f"The prediction has shape {prediction.shape} where the reference has {reference.shape}: compare volumes "
            "of the same scan."
        )
    pairs = zip(structures.names, structures.masks(prediction), structures.masks(reference), strict=True)
    return {name: _score(found, truth, spacing_mm) for name, found, truth in pairs}


def mean_scores(cases: Mapping[str, Mapping[str, Score]]) -> dict[str, dict[str, float]]:
    """Mean and deviation over cases, by structure: `dice`, `dice_deviation`, `hd95_mm`, `hd95_mm_deviation`."""
    names = next(iter(cases.values())).keys()
    table = {}
    for name in names:
        dice = np.array([scores[name].dice for scores in cases.values()])
        distance = np.array([scores[name].hd95_mm for scores in cases.values()])
        table[name] = {
            "dice": float(dice.mean()),
            "dice_deviation": float(dice.std()),
            "hd95_mm": float(distance.mean()),
            "hd95_mm_deviation": float(distance.std()),
        }
    return table


def _score(found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Score:
    if not found.any() and not truth.any():
        return Score(1.0, 0.0)
    if not found.any() or not truth.any():
        return Score(0.0, WORST_HD95_MM)
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance

    a, b = (torch.from_numpy(mask)[None, None].float() for mask in _cropped(found, truth))
    dice = float(compute_dice(a, b, include_background=True))
    with warnings.catch_warnings():
        # MONAI warns of an argument that it passes to itself.
        warnings.simplefilter("ignore", FutureWarning)
        distance = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=list(spacing_mm))
    return Score(dice, float(distance))


def _cropped(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    either = found | truth
    box = []
    for axis in range(3):
        seen = np.flatnonzero(either.any(axis=tuple(a for a in range(3) if a != axis)))
        # One voxel of margin: an edge at the border of the array must look like an edge.
        box.append(slice(max(int(seen[0]) - 1, 0), int(seen[-1]) + 2))
    return found[tuple(box)], truth[tuple(box)]
