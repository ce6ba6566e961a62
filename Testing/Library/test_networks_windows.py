"""Setting 1: windows that cover the slice, averaged where they overlap."""

import pytest
import torch
from torch import Tensor, nn

from DynamicSegLib.networks.windows import SlidingWindow, window_starts


@pytest.mark.parametrize(
    ("length", "starts"),
    [(240, [0, 42, 84, 112]), (128, [0]), (100, [0]), (129, [0, 1]), (256, [0, 42, 84, 126, 128]), (170, [0, 42])],
)
def test_windows_start_a_third_apart_and_end_flush(length: int, starts: list[int]) -> None:
    assert window_starts(length, 128) == starts


class Brightness(nn.Module):
    """Two classes whose logits follow the pixel, so that windows agree wherever they overlap."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1], -x[:, :1]], dim=1)


class Mean(nn.Module):
    """Two classes whose logits follow the window's mean, so that windows disagree."""

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean(dim=(1, 2, 3), keepdim=True).expand(-1, 1, *x.shape[2:])
        return torch.cat([level, torch.zeros_like(level)], dim=1)


@pytest.mark.parametrize("size", [(20, 24), (8, 9), (5, 30)])
def test_windows_that_agree_give_what_the_whole_slice_gives(size: tuple[int, int]) -> None:
    x = torch.randn(3, 2, *size)
    whole = torch.log_softmax(Brightness()(x), dim=1)
    torch.testing.assert_close(SlidingWindow(Brightness(), 8)(x), whole)


def test_where_windows_overlap_their_probabilities_are_averaged() -> None:
    x = torch.zeros(1, 1, 3, 4)
    x[..., 3] = 3.0  # windows of 3 start at columns 0 and 1: means 0 and 1
    share = SlidingWindow(Mean(), 3)(x).exp()[0, 0, 0]
    low, high = 0.5, float(torch.sigmoid(torch.tensor(1.0)))
    torch.testing.assert_close(share, torch.tensor([low, (low + high) / 2, (low + high) / 2, high]))
