"""Calibration of the quality head: one scale and one shift a candidate, so that promised and reached Dice agree."""

import torch
import torch.nn.functional as F
from torch import Tensor

from DynamicSegLib.networks.decision import DecisionNetwork

# A few cases say little about a slope: stay near 1 and 0 unless they insist.
_PRIOR = 0.005


def fit_calibration(logits: Tensor, dice: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift of the logits, float `[candidate]` each, that predict `dice` best (binary cross-entropy).

    Inputs: float `[slice, candidate]` both, slices with foreground only, from cases that no network was trained on.

    Source: Platt scaling (1999), with Dice as a soft target.
    """
    scale = torch.ones(logits.shape[1], requires_grad=True)
    shift = torch.zeros(logits.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([scale, shift], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        fit = F.binary_cross_entropy_with_logits(logits * scale + shift, dice)
        value = fit + _PRIOR * ((scale - 1) ** 2 + shift**2).mean()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[arg-type]
    return scale.detach(), shift.detach()


@torch.no_grad()
def apply_calibration(network: DecisionNetwork, scale: Tensor, shift: Tensor) -> None:
    """Fold scale and shift into the quality head, in place: the network costs what it did."""
    network.quality.weight.mul_(scale[:, None])
    network.quality.bias.mul_(scale).add_(shift)
