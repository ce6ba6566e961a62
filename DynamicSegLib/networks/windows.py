"""Setting 1 of Med-DANet: overlapping windows instead of the whole slice."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def window_starts(length: int, window: int) -> list[int]:
    """First pixels of the windows along one axis: a third of a window apart, the last one flush with the end.

    240 pixels and windows of 128 give 0, 42, 84, 112.

    Source: Med-DANet's implementation of setting 1 (Table 3): 4 x 4 windows a slice.
    """
    if length <= window:
        return [0]
    return [*range(0, length - window, window // 3), length - window]


class SlidingWindow(nn.Module):
    """Runs a network on overlapping square windows and averages the class probabilities.

    Input: float `[n, channel, row, column]`; sizes below the window are padded with zeros.
    Output: log-probabilities `[n, class, row, column]`.
    """

    def __init__(self, network: nn.Module, window: int) -> None:
        super().__init__()
        self.network = network
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        n, _, rows, columns = x.shape
        x = F.pad(x, (0, max(0, self.window - columns), 0, max(0, self.window - rows)))
        starts = [window_starts(length, self.window) for length in x.shape[2:]]
        places = [(row, column) for row in starts[0] for column in starts[1]]
        windows = torch.cat([x[:, :, r : r + self.window, c : c + self.window] for r, c in places])
        shares = torch.softmax(self.network(windows), dim=1).split(n)
        total = torch.zeros((n, shares[0].shape[1], *x.shape[2:]), dtype=shares[0].dtype, device=x.device)
        seen = torch.zeros((1, 1, *x.shape[2:]), dtype=shares[0].dtype, device=x.device)
        for (r, c), share in zip(places, shares, strict=True):
            total[:, :, r : r + self.window, c : c + self.window] += share
            seen[:, :, r : r + self.window, c : c + self.window] += 1
        return torch.log(total / seen)[:, :, :rows, :columns]
