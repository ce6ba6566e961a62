"""MobileNetV2 1.0x, one of the decision networks that Med-DANet compares."""

from torch import Tensor, nn


def _convolution(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels)]


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter depthwise, project; added to the input where the shape stays.

    Input: float `[n, in_channels, row, column]`.
    Output: float `[n, out_channels, ceil(row / stride), ceil(column / stride)]`.

    Source: MobileNetV2 (CVPR 2018), Table 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        expand = [*_convolution(in_channels, hidden), nn.ReLU6()] if expansion > 1 else []
        self.body = nn.Sequential(
            *expand,
            *_convolution(hidden, hidden, kernel=3, stride=stride, groups=hidden),
            nn.ReLU6(),
            *_convolution(hidden, out_channels),
        )
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.adds_input else y


class MobileNetV2(nn.Module):
    """Stem, 17 inverted residuals, a last 1x1 convolution, the mean over all pixels, dropout and one linear layer.

    Input: float `[n, in_channels, row, column]` of any size; 1/32 of it remains before the mean.
    Output: logits, float `[n, classes]`.

    Source: MobileNetV2 (CVPR 2018), Table 2, at width 1.0; Med-DANet, Table 5.
    """

    stem = 32
    last = 1280
    # expansion, channels, repeats, stride of the first
    stages = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, in_channels: int = 4, classes: int = 5, dropout: float = 0.2) -> None:
        super().__init__()
        layers = [*_convolution(in_channels, self.stem, kernel=3, stride=2), nn.ReLU6()]
        width = self.stem
        for expansion, channels, repeats, first_stride in self.stages:
            for stride in [first_stride, *[1] * (repeats - 1)]:
                layers.append(InvertedResidual(width, channels, stride, expansion))
                width = channels
        self.body = nn.Sequential(*layers, *_convolution(width, self.last), nn.ReLU6())
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.last, classes)

    def features(self, x: Tensor) -> Tensor:
        """Float `[n, 1280]`: what the classifier reads, averaged over all pixels."""
        return self.dropout(self.body(x).mean(dim=(2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))
