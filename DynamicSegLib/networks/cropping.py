"""Crop at a predicted centre and put the features back in place (Med-DANet V2, Sec. 3.3).

Positions are `(row, column)` in pixels. The first pixel of a crop of `size` pixels around `centre` is
`centre - size / 2`, so that a crop of the whole slice is centred on half its size.
"""

import torch
from torch import Tensor, nn

from DynamicSegLib.networks.quantisation import in_float32
from DynamicSegLib.networks.shufflenet import ShuffleNetV2


class PositionNetwork(nn.Module):
    """Where to crop: a centre for each crop size, always such that the crop lies inside the slice.

    Input: float `[n, in_channels, row, column]`, no smaller than the largest crop.
    Output: centres, float `[n, crop, 2]`, (row, column) in pixels.

    Parameters
    ----------
    sizes: the crop sizes of the policy space, in pixels.

    Source: Med-DANet V2, Sec. 3.3 (ShuffleNetV2-M, centre regressed).
    """

    def __init__(self, in_channels: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.backbone = ShuffleNetV2(in_channels, 2 * len(sizes), bias=True)

    def forward(self, x: Tensor) -> Tensor:
        share = torch.sigmoid(self.backbone(x).float()).reshape(len(x), len(self.sizes), 2)
        sizes = torch.tensor(self.sizes, dtype=torch.float32, device=x.device)[:, None]
        room = torch.tensor(x.shape[-2:], dtype=torch.float32, device=x.device) - sizes
        return share * room + sizes / 2


def crop(x: Tensor, centre: Tensor, size: int) -> Tensor:
    """Crops of `size` x `size` pixels around `centre`, by bilinear interpolation.

    Inputs: `x` float `[n, channel, row, column]`, `centre` float `[n, 2]`. Output: float `[n, channel, size, size]`.
    Gradients reach `x` and `centre`; at whole-pixel positions the crop is exact.

    Source: Med-DANet V2, Eq. 5.
    """
    rows, columns = _weights(x, centre, size, x.shape[-2:])
    with in_float32(x):
        return rows @ x.float() @ columns.transpose(2, 3)


def paste(features: Tensor, centre: Tensor, size: tuple[int, int]) -> Tensor:
    """The reverse of `crop`: features around `centre` on a map of zeros of `size` (rows, columns).

    Inputs: `features` float `[n, channel, p, p]`, `centre` float `[n, 2]`. Output: float `[n, channel, *size]`.
    Gradients reach both; at whole-pixel positions the features are copied exactly.

    Source: Med-DANet V2, Sec. 3.3 (affine translation of the feature map before the last decoder stage).
    """
    rows, columns = _weights(features, centre, features.shape[-1], size)
    with in_float32(features):
        return rows.transpose(2, 3) @ features.float() @ columns


def _weights(x: Tensor, centre: Tensor, size: int, lengths: tuple[int, int] | torch.Size) -> tuple[Tensor, Tensor]:
    """Interpolation along each axis, float `[n, 1, size, length]`: crop pixel i reads position `start + i`."""
    start = centre.float() - size / 2
    steps = torch.arange(size, device=x.device, dtype=torch.float32)

    def along(axis: int) -> Tensor:
        position = (start[:, axis, None] + steps)[:, None, :, None]
        pixels = torch.arange(lengths[axis], device=x.device, dtype=torch.float32)
        return torch.relu(1 - (position - pixels).abs())

    return along(0), along(1)
