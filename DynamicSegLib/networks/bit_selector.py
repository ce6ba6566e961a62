"""The bit selector: how many bits an encoder stage takes for a slice (Med-DANet V2, Sec. 3.4)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from DynamicSegLib.networks.quantisation import in_float32

# The widest choice's head start in logits: quantisation begins gently and narrows where the loss allows it.
_WIDEST_FIRST = 1.0


def spatial_gradient(x: Tensor) -> Tensor:
    """Mean magnitude of the differences between neighbouring pixels, float `[n, 1]`.

    Input: float `[n, channels, row, column]`; the gradient is that of the mean over channels.
    """
    plane = x.mean(dim=1)
    down = (plane[:, 1:] - plane[:, :-1]).abs().mean(dim=(1, 2))
    across = (plane[:, :, 1:] - plane[:, :, :-1]).abs().mean(dim=(1, 2))
    return (down + across)[:, None]


def channel_deviation(x: Tensor) -> Tensor:
    """Standard deviation of each channel over the pixels, float `[n, channels]`; input `[n, channels, row, column]`."""
    variance = (x.square().mean(dim=(2, 3)) - x.mean(dim=(2, 3)).square()).clamp_min(0)
    # The small constant keeps the root's gradient finite where a channel is flat.
    return torch.sqrt(variance + 1e-8)


class BitSelector(nn.Module):
    """Two linear layers over how complex a stage's input is.

    Input: float `[n, channels, row, column]`. Output: logits, float `[n, choices]`, narrowest bits first.

    Source: Med-DANet V2, Sec. 3.4 (gradient of spatial features, standard deviation of channel features).
    """

    hidden = 16

    def __init__(self, channels: int, choices: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels + 1, self.hidden)
        self.second = nn.Linear(self.hidden, choices)
        with torch.no_grad():
            self.second.bias[-1] += _WIDEST_FIRST

    def forward(self, x: Tensor) -> Tensor:
        with in_float32(x):
            x = x.float()
            complexity = torch.log1p(torch.cat([spatial_gradient(x), channel_deviation(x)], dim=1))
            return self.second(torch.relu(self.first(complexity)))


def choose_bits(logits: Tensor, space: Sequence[int]) -> Tensor:
    """Bits of each slice, float `[n]`: forward the likeliest of `space`, backward the expected number.

    Source: Med-DANet V2, Eq. 7.
    """
    widths = torch.tensor(space, dtype=torch.float32, device=logits.device)
    expected = (torch.softmax(logits.float(), dim=1) * widths).sum(dim=1)
    return widths[logits.argmax(dim=1)] + (expected - expected.detach())
