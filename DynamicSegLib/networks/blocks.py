"""Building blocks shared by the segmentation networks: residual pairs and the UNet's way up."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class PreActivationResidual(nn.Module):
    """Norm, ReLU, 3x3 convolution, twice, added to the input.

    Input and output: float `[n, channels, row, column]`.

    Source: Med-DANet's "modified 2D UNet" (Sec. 4.1); its details are pinned by the published FLOPs.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.norm1(x)))
        return x + self.conv2(torch.relu(self.norm2(y)))


class PostNormResidual(nn.Module):
    """3x3 convolution, norm, ReLU, twice, the input added after the last ReLU (TransBTS's decoder block).

    Input and output: float `[n, channels, row, column]`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return x + torch.relu(self.norm2(self.conv2(y)))


class Up(nn.Module):
    """Halve the channels, double the resolution, and fuse with the encoder's features of that level.

    Inputs: `deep` float `[n, 2c, row, column]`, `skip` float `[n, c, 2 row, 2 column]`. Output: as `skip`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * channels, channels, 1)
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.fuse = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        return self.fuse(torch.cat([skip, self.up(self.reduce(deep))], dim=1))


class Encoder(nn.Module):
    """Stem and four levels of pre-activation residual blocks at 1, 2, 4 and 8 times `base` channels.

    Input: float `[n, in_channels, row, column]`, rows and columns divisible by 8.
    Output: four feature maps, finest first, `[n, base 2^level, row / 2^level, column / 2^level]`.
    """

    depths = (1, 2, 2, 4)

    def __init__(self, in_channels: int, base: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, base, 3, padding=1)
        self.dropout = nn.Dropout2d(dropout)
        widths = [base * 2**level for level in range(len(self.depths))]
        self.stages = nn.ModuleList(
            nn.Sequential(*(PreActivationResidual(width) for _ in range(depth)))
            for width, depth in zip(widths, self.depths, strict=True)
        )
        self.downs = nn.ModuleList(nn.Conv2d(narrow, wide, 3, stride=2, padding=1) for narrow, wide in pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.dropout(self.stem(x))
        features = [self.stages[0](x)]
        for down, stage in zip(self.downs, list(self.stages)[1:], strict=True):
            features.append(stage(down(features[-1])))
        return features


class Decoder(nn.Module):
    """Three levels up from 8 `base` channels, one residual block a level, and the 1x1 head.

    Input: `deep` float `[n, 8 base, row / 8, column / 8]` and the encoder's finer feature maps, finest first.
    Output: logits, float `[n, out_channels, row, column]`.
    """

    def __init__(self, base: int, out_channels: int, block: type[nn.Module]) -> None:
        super().__init__()
        widths = [4 * base, 2 * base, base]
        self.ups = nn.ModuleList(Up(width) for width in widths)
        self.blocks = nn.ModuleList(block(width) for width in widths)
        self.head = nn.Conv2d(base, out_channels, 1)

    def forward(self, deep: Tensor, skips: list[Tensor]) -> Tensor:
        return self.last(self.before_last(deep, skips))

    def before_last(self, deep: Tensor, skips: list[Tensor]) -> Tensor:
        """Features that the last block reads, float `[n, base, row, column]`."""
        x = deep
        for level, (up, skip) in enumerate(zip(self.ups, reversed(skips), strict=True)):
            x = up(x if level == 0 else self.blocks[level - 1](x), skip)
        return x

    def last(self, features: Tensor) -> Tensor:
        """The last block and the head, on features of any size."""
        return self.head(self.blocks[-1](features))
