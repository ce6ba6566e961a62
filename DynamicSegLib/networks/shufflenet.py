"""ShuffleNetV2, the decision network of Med-DANet, with its widths as arguments."""

import torch
from torch import Tensor, nn


def _pointwise(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)
    return [convolution, nn.BatchNorm2d(channels)]


class ShuffleUnit(nn.Module):
    """Stride 1: the even channels pass, the odd ones go through the main branch.

    Input and output: float `[n, channels, row, column]`; the passed channels come first in the output, so that the
    next unit's even-odd split mixes both halves.

    Source: ShuffleNetV2 (ECCV 2018), Fig. 3c.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.main = nn.Sequential(*_pointwise(half, half), *_depthwise(half, stride=1), *_pointwise(half, half))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 0::2], self.main(x[:, 1::2])], dim=1)


class ShuffleDownUnit(nn.Module):
    """Stride 2: the projection branch keeps its input's width, the main branch gives the rest.

    Input: float `[n, in_channels, row, column]`. Output: `[n, out_channels, ceil(row / 2), ceil(column / 2)]`.

    Source: ShuffleNetV2 (ECCV 2018), Fig. 3d.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        middle = out_channels // 2
        self.projection = nn.Sequential(*_depthwise(in_channels, stride=2), *_pointwise(in_channels, in_channels))
        self.main = nn.Sequential(
            *_pointwise(in_channels, middle),
            *_depthwise(middle, stride=2),
            *_pointwise(middle, out_channels - in_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.projection(x), self.main(x)], dim=1)


class ShuffleNetV2(nn.Module):
    """Stem, three stages of shuffle units, a last 1x1 convolution, the mean over all pixels, one linear layer.

    Input: float `[n, in_channels, row, column]` of any size; 1/32 of it remains before the mean.
    Output: logits, float `[n, classes]`.

    Parameters
    ----------
    widths: channels of the stem, the three stages (even) and the last convolution; the default is ShuffleNetV2-M.
    repeats: units in each stage, the first of them with stride 2.
    bias: whether the classifier has a bias.

    Source: Med-DANet, Sec. 3.2 and Table 5 (ShuffleNetV2-M and 0.5x); ShuffleNetV2 (ECCV 2018) for the units.
    """

    def __init__(
        self,
        in_channels: int = 4,
        classes: int = 5,
        widths: tuple[int, int, int, int, int] = (12, 24, 48, 96, 256),
        repeats: tuple[int, int, int] = (4, 8, 4),
        bias: bool = False,
    ) -> None:
        super().__init__()
        stem, *stages, last = widths
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        units: list[nn.Module] = []
        for narrow, wide, repeat in zip([stem, *stages], stages, repeats, strict=False):
            units.append(ShuffleDownUnit(narrow, wide))
            units.extend(ShuffleUnit(wide) for _ in range(repeat - 1))
        self.units = nn.Sequential(*units)
        self.last = nn.Sequential(*_pointwise(stages[-1], last))
        self.classifier = nn.Linear(last, classes, bias=bias)

    def features(self, x: Tensor) -> Tensor:
        """Float `[n, widths[-1]]`: what the classifier reads, averaged over all pixels."""
        return self.last(self.units(self.stem(x))).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
