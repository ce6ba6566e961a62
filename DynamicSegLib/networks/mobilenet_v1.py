"""MobileNetV1, plain and slimmable: the network of MutualNet's own table."""

from torch import Tensor, nn

from DynamicSegLib.networks.slimmable import Channels
from DynamicSegLib.networks.slimmable_network import Slimmable


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU()]


class MobileNetV1(nn.Module):
    """Stem, 13 depthwise separable convolutions, the mean over all pixels and one linear layer.

    Input: float `[n, in_channels, row, column]` of any size; 1/32 of it remains before the mean.
    Output: logits, float `[n, classes]`.

    Source: MobileNets (2017), Table 1.
    """

    stem = 32
    # output channels and stride of each depthwise separable convolution
    blocks = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))

    def __init__(self, in_channels: int = 3, classes: int = 1000) -> None:
        super().__init__()
        layers = _convolution(in_channels, self.stem, kernel=3, stride=2)
        width = self.stem
        for channels, stride in self.blocks:
            layers += _convolution(width, width, kernel=3, stride=stride, groups=width)
            layers += _convolution(width, channels, kernel=1)
            width = channels
        self.body = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.body(x).mean(dim=(2, 3)))


def slimmable_mobilenet_v1(in_channels: int = 3, classes: int = 1000) -> Slimmable:
    """`MobileNetV1` with every layer slimmable; images in and classes out are never scaled.

    Source: MutualNet and lecture 12: widths 0.25 to 1.0, resolutions 224, 192, 160 and 128.
    """
    return Slimmable(MobileNetV1(in_channels, classes), _channels)


def _channels(name: str, layer: nn.Module) -> tuple[Channels, Channels]:
    if isinstance(layer, nn.BatchNorm2d):
        return Channels(layer.num_features), Channels(layer.num_features)
    if isinstance(layer, nn.Linear):
        return Channels(layer.in_features), Channels(layer.out_features, scaled=False)
    assert isinstance(layer, nn.Conv2d)
    return Channels(layer.in_channels, scaled=name != "body.0"), Channels(layer.out_channels)
