"""The decision network: which option a slice should take, how good each candidate would be, how much tumour it has."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.ghostnet import GhostNet
from DynamicSegLib.networks.mobilenet import MobileNetV2
from DynamicSegLib.networks.shufflenet import ShuffleNetV2

Backbone = ShuffleNetV2 | GhostNet | MobileNetV2
"""A classification network cut in two: `features` gives float `[n, c]`, `classifier` reads them."""


def shufflenet_v2_m(in_channels: int = 4, classes: int = 5) -> ShuffleNetV2:
    """ShuffleNetV2-M, Med-DANet's decision network: 4,083,200 macs a 128x128 window.

    Source: Med-DANet, Sec. 3.2 and Table 5 ("modified ShuffleNetV2").
    """
    return ShuffleNetV2(in_channels, classes)


def shufflenet_v2_half(in_channels: int = 4, classes: int = 5) -> ShuffleNetV2:
    """ShuffleNetV2 0.5x. Source: ShuffleNetV2 (ECCV 2018), Table 5; Med-DANet, Table 5."""
    return ShuffleNetV2(in_channels, classes, widths=(24, 48, 96, 192, 1024), bias=True)


def ghostnet_half(in_channels: int = 4, classes: int = 5) -> GhostNet:
    """GhostNet 0.5x. Source: Med-DANet, Table 5."""
    return GhostNet(in_channels, classes, width=0.5)


BACKBONES: dict[str, Callable[[int, int], Backbone]] = {
    "shufflenetv2-m": shufflenet_v2_m,
    "shufflenetv2-0.5x": shufflenet_v2_half,
    "ghostnet-0.5x": ghostnet_half,
    "mobilenetv2-1.0x": MobileNetV2,
}


class DecisionOutput(NamedTuple):
    """What the decision network says of `n` slices.

    choice_logits: float `[n, candidates + 1]`; class 0 is skip, class i + 1 is candidate i.
    quality_logits: float `[n, candidates]`; their sigmoid is the Dice each candidate would reach on the slice, given
        that there is tumour on it.
    log_area: float `[n]`; log(1 + foreground pixels of the slice at the working spacing).
    """

    choice_logits: Tensor
    quality_logits: Tensor
    log_area: Tensor


class DecisionNetwork(nn.Module):
    """A light backbone with three linear heads: the choice, each candidate's quality, the foreground's area.

    Input: float `[n, in_channels, row, column]` of any size, slices or windows. Output: `DecisionOutput`.

    Parameters
    ----------
    backbone: a name of `BACKBONES`; its own classifier is the choice head.
    candidates: networks in the bank, skip not counted.

    Raises
    ------
    BundleError: unknown backbone, or fewer than one candidate.

    Source: Med-DANet, Sec. 3.2 (the choice).
    Deviation: quality and area are predicted too, so that one network serves every budget; with ShuffleNetV2-M and
    four candidates they add 1,280 macs and 1,285 parameters.
    """

    def __init__(self, backbone: str = "shufflenetv2-m", candidates: int = 4, in_channels: int = 4) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise BundleError(
                f"Unknown decision network backbone {backbone!r}: expected one of {', '.join(sorted(BACKBONES))}."
            )
        if candidates < 1:
            raise BundleError(f"A decision network for {candidates} candidates: expected at least 1.")
        self.backbone: Backbone = BACKBONES[backbone](in_channels, candidates + 1)
        width = self.backbone.classifier.in_features
        self.quality = nn.Linear(width, candidates)
        self.area = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> DecisionOutput:
        features = self.backbone.features(x)
        return DecisionOutput(
            self.backbone.classifier(features), self.quality(features), self.area(features).squeeze(1)
        )
