"""GhostNet 0.5x with squeeze-and-excite, one of the decision networks that Med-DANet compares."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _round_channels(channels: float, divisor: int = 4) -> int:
    """The nearest multiple of `divisor`, at least 90 % of what was asked for."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _convolution(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels)]


class GhostModule(nn.Module):
    """Half of the output by a 1x1 convolution, the other half by a cheap depthwise 3x3 convolution of the first.

    Input: float `[n, in_channels, row, column]`. Output: `[n, out_channels, row, column]`.

    Source: GhostNet (CVPR 2020), Sec. 3.1.
    """

    def __init__(self, in_channels: int, out_channels: int, relu: bool) -> None:
        super().__init__()
        half = (out_channels + 1) // 2
        activation: list[nn.Module] = [nn.ReLU()] if relu else []
        self.out_channels = out_channels
        self.primary = nn.Sequential(*_convolution(in_channels, half), *activation)
        self.cheap = nn.Sequential(*_convolution(half, half, kernel=3, groups=half), *activation)

    def forward(self, x: Tensor) -> Tensor:
        primary = self.primary(x)
        return torch.cat([primary, self.cheap(primary)], dim=1)[:, : self.out_channels]


class SqueezeExcite(nn.Module):
    """Scale each channel by a hard sigmoid of all channels' means. Input and output: `[n, channels, row, column]`.

    Source: GhostNet (CVPR 2020), Table 1; reduction to a quarter, rounded to a multiple of 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = _round_channels(channels / 4)
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(torch.relu(self.reduce(mean))))


class GhostBottleneck(nn.Module):
    """Two ghost modules, a depthwise stride between them where the resolution halves, and a shortcut.

    Input: float `[n, in_channels, row, column]`.
    Output: float `[n, out_channels, ceil(row / stride), ceil(column / stride)]`.

    Source: GhostNet (CVPR 2020), Fig. 3.
    """

    def __init__(
        self, in_channels: int, hidden: int, out_channels: int, kernel: int, stride: int, squeeze: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [GhostModule(in_channels, hidden, relu=True)]
        if stride > 1:
            layers += _convolution(hidden, hidden, kernel, stride, groups=hidden)
        if squeeze:
            layers.append(SqueezeExcite(hidden))
        self.body = nn.Sequential(*layers, GhostModule(hidden, out_channels, relu=False))
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                *_convolution(in_channels, in_channels, kernel, stride, groups=in_channels),
                *_convolution(in_channels, out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


class GhostNet(nn.Module):
    """Stem, 16 ghost bottlenecks, a 1x1 convolution, the mean over all pixels, a hidden layer and one linear layer.

    Input: float `[n, in_channels, row, column]` of any size; 1/32 of it remains before the mean.
    Output: logits, float `[n, classes]`.

    Parameters
    ----------
    width: multiplier of all channels but the hidden layer's 1280.

    Source: GhostNet (CVPR 2020), Table 1; Med-DANet, Table 5 at width 0.5.
    """

    hidden = 1280
    # kernel, expansion channels, output channels, squeeze-and-excite, stride
    bottlenecks = (
        (3, 16, 16, False, 1),
        (3, 48, 24, False, 2),
        (3, 72, 24, False, 1),
        (5, 72, 40, True, 2),
        (5, 120, 40, True, 1),
        (3, 240, 80, False, 2),
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
        (5, 672, 160, True, 2),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
        (5, 960, 160, False, 1),
        (5, 960, 160, True, 1),
    )

    def __init__(self, in_channels: int = 4, classes: int = 5, width: float = 0.5, dropout: float = 0.2) -> None:
        super().__init__()
        channels = _round_channels(16 * width)
        layers = [*_convolution(in_channels, channels, kernel=3, stride=2), nn.ReLU()]
        for kernel, hidden, out, squeeze, stride in self.bottlenecks:
            hidden, out = _round_channels(hidden * width), _round_channels(out * width)
            layers.append(GhostBottleneck(channels, hidden, out, kernel, stride, squeeze))
            channels = out
        last = _round_channels(960 * width)
        self.body = nn.Sequential(*layers, *_convolution(channels, last), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(last, self.hidden), nn.ReLU(), nn.Dropout(dropout))
        self.classifier = nn.Linear(self.hidden, classes)

    def features(self, x: Tensor) -> Tensor:
        """Float `[n, 1280]`: what the classifier reads, computed from the average over all pixels."""
        return self.head(self.body(x).mean(dim=(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
