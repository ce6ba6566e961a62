"""Selectors that practically always say the same are taken out of a trained network: what they say is fixed.

Wherever slices may part the network is cut in pieces (see `networks.stage_by_stage`), and each cut costs time: on two
CPU cores the shipped networks take three quarters of it where only the first stage chooses (0.35 s a case, not 0.47 s).
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from DynamicSegLib.context import ALONE, Context
from DynamicSegLib.networks.dynamic import DynamicNetwork
from DynamicSegLib.networks.stage_by_stage import STAGES, Spaces, choices
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.v2_model import foreground_centre

_SLICES_A_CASE = 8
_SELECTOR = "segmentation.selectors."


@torch.no_grad()
def chosen_bits(network: DynamicNetwork, cases: Iterable[CachedCase], context: Context = ALONE) -> NDArray[np.int64]:
    """The bits that slices with foreground take, at every crop size around it and whole, int64 `[n, stage]`.

    Up to eight slices a case, evenly spaced. The network, which sees `context`, is left in evaluation mode.
    """
    network.eval()
    device = next(network.parameters()).device
    found = []
    for case in cases:
        labels, volumes = case.classes(), case.volumes()
        places = np.flatnonzero(labels.any(axis=(1, 2)))
        places = places[np.unique(np.linspace(0, len(places) - 1, _SLICES_A_CASE).round().astype(int))]
        for place in places:
            x = torch.from_numpy(context.gather(volumes, [place], case.record.spacing_mm[0])).to(device)
            centre = foreground_centre(torch.from_numpy(labels[None, place].astype(np.int64)).to(device))
            for crop in (*network.crops, 0):
                _, bits = network.dense(x, crop if crop < min(x.shape[-2:]) else 0, centre)
                found.append(bits.round().long().cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, STAGES), np.int64)


def settled(spaces: Spaces, chosen: NDArray[np.int64], share: float) -> Spaces:
    """The bit space of each stage: one number where at least `share` of the slices took it, else as before."""
    after = []
    for space, column in zip(spaces, chosen.T, strict=True):
        widths, counts = np.unique(column, return_counts=True)
        often = [int(width) for width, count in zip(widths, counts, strict=True) if count >= share * len(column)]
        after.append((often[0],) if often else space)
    return tuple(after)


def without_settled(state: Mapping[str, Tensor], spaces: Spaces) -> dict[str, Tensor]:
    """The weights of a `DynamicNetwork` without the selectors that it no longer has at `spaces`."""
    kept: Sequence[str] = [f"{_SELECTOR}{index}." for index in choices(spaces)]
    return {
        name: value
        for name, value in state.items()
        if not name.startswith(_SELECTOR) or any(name.startswith(prefix) for prefix in kept)
    }
