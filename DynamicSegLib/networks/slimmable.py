"""Slimmable layers: one set of weights, of which a width keeps the first channels.

Each is made from a plain layer, whose parameters it takes over, and gives a plain layer for one configuration back.

Source: MutualNet (ECCV 2020; TPAMI 45(1), 2023), as in lecture 12.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DynamicSegLib.errors import BundleError

_Layer = TypeVar("_Layer", bound=nn.Module)


@dataclass(frozen=True)
class Configuration:
    """A width and a resolution of a slimmable network.

    width: share of the channels, above 0 and at most 1.
    resolution: pixels to which 240 pixels of a side are resized, other sizes in proportion; None leaves the input as it
        is.
    """

    width: float = 1.0
    resolution: int | None = None

    @property
    def name(self) -> str:
        """E.g. `0.35x-144`, or `0.35x-whole`."""
        return f"{self.width:.2f}x-{self.resolution or 'whole'}"


FULL = Configuration()


@dataclass(frozen=True)
class Channels:
    """How many of a layer's channels a width keeps: the nearest multiple of `divisor`, at least 90 % of the share.

    full: channels at width 1. scaled: False for images in and classes out, which no width changes.
    parts: feature maps of equal size that lie side by side (a concatenation); each keeps its own first channels.

    Source: MutualNet's table of MobileNetV1, reproduced by divisor 8 (rounded half up).
    """

    full: int
    divisor: int = 8
    scaled: bool = True
    parts: int = 1

    def at(self, width: float) -> int:
        """Channels kept, of all parts together."""
        return self.full if not self.scaled else self.parts * self._of_part(width)

    def _of_part(self, width: float) -> int:
        target = self.full // self.parts * width
        rounded = max(self.divisor, int(target + self.divisor / 2) // self.divisor * self.divisor)
        kept = rounded + self.divisor if rounded < 0.9 * target else rounded
        return min(kept, self.full // self.parts)

    def keep(self, tensor: Tensor, width: float, dim: int = 0) -> Tensor:
        """The part of `tensor` along `dim` that a width keeps; gradients flow back into the whole."""
        if not self.scaled:
            return tensor
        whole, kept = self.full // self.parts, self._of_part(width)
        pieces = [tensor.narrow(dim, part * whole, kept) for part in range(self.parts)]
        return pieces[0] if self.parts == 1 else torch.cat(pieces, dim)


@dataclass
class Active:
    """The configuration that all layers of one slimmable network run at now."""

    configuration: Configuration = FULL

    @property
    def width(self) -> float:
        return self.configuration.width


class SlimmableConv2d(nn.Module):
    """A convolution, full or depthwise, of which a width keeps the first input and output channels.

    Input: float `[n, inputs.at(width), row, column]`. Output: `[n, outputs.at(width), row, column]`.
    """

    def __init__(self, full: nn.Conv2d, inputs: Channels, outputs: Channels, active: Active) -> None:
        super().__init__()
        self.weight, self.bias = full.weight, full.bias
        self.inputs, self.outputs, self.active = inputs, outputs, active
        self.depthwise = full.groups > 1
        self.stride, self.padding, self.kernel = full.stride, full.padding, full.kernel_size

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self._kept()
        groups = weight.shape[0] if self.depthwise else 1
        return F.conv2d(x, weight, bias, self.stride, self.padding, groups=groups)

    def plain(self) -> nn.Conv2d:
        """The active configuration as a plain layer, on weights of its own."""
        width = self.active.width
        outputs = self.outputs.at(width)
        layer = nn.Conv2d(
            self.inputs.at(width),
            outputs,
            self.kernel,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            groups=outputs if self.depthwise else 1,
            bias=self.bias is not None,
        )
        return _filled(layer, *self._kept())

    def _kept(self) -> tuple[Tensor, Tensor | None]:
        width = self.active.width
        weight = self.outputs.keep(self.weight, width)
        if not self.depthwise:
            weight = self.inputs.keep(weight, width, dim=1)
        return weight, None if self.bias is None else self.outputs.keep(self.bias, width)


class SlimmableConvTranspose2d(nn.Module):
    """A transposed convolution of which a width keeps the first input and output channels.

    Input: float `[n, inputs.at(width), row, column]`. Output: `[n, outputs.at(width), stride row, stride column]`.
    """

    def __init__(self, full: nn.ConvTranspose2d, inputs: Channels, outputs: Channels, active: Active) -> None:
        super().__init__()
        self.weight, self.bias = full.weight, full.bias
        self.inputs, self.outputs, self.active = inputs, outputs, active
        self.stride, self.padding, self.kernel = full.stride, full.padding, full.kernel_size

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self._kept()
        return F.conv_transpose2d(x, weight, bias, self.stride, self.padding)  # type: ignore[arg-type]

    def plain(self) -> nn.ConvTranspose2d:
        """The active configuration as a plain layer, on weights of its own."""
        width = self.active.width
        layer = nn.ConvTranspose2d(
            self.inputs.at(width),
            self.outputs.at(width),
            self.kernel,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            bias=self.bias is not None,
        )
        return _filled(layer, *self._kept())

    def _kept(self) -> tuple[Tensor, Tensor | None]:
        width = self.active.width
        weight = self.outputs.keep(self.inputs.keep(self.weight, width), width, dim=1)
        return weight, None if self.bias is None else self.outputs.keep(self.bias, width)


class SlimmableLinear(nn.Module):
    """A linear layer of which a width keeps the first features. Input: float `[..., inputs.at(width)]`."""

    def __init__(self, full: nn.Linear, inputs: Channels, outputs: Channels, active: Active) -> None:
        super().__init__()
        self.weight, self.bias = full.weight, full.bias
        self.inputs, self.outputs, self.active = inputs, outputs, active

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *self._kept())

    def plain(self) -> nn.Linear:
        """The active configuration as a plain layer, on weights of its own."""
        width = self.active.width
        layer = nn.Linear(self.inputs.at(width), self.outputs.at(width), bias=self.bias is not None)
        return _filled(layer, *self._kept())

    def _kept(self) -> tuple[Tensor, Tensor | None]:
        width = self.active.width
        weight = self.inputs.keep(self.outputs.keep(self.weight, width), width, dim=1)
        return weight, None if self.bias is None else self.outputs.keep(self.bias, width)


class Moments:
    """Mean and variance of all values of each channel, gathered batch by batch."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.variance = torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Take in float `[n, channel, row, column]`."""
        variance, mean = torch.var_mean(x.detach().float(), dim=(0, 2, 3), correction=0)
        count = x.numel() // x.shape[1]
        if self.count == 0:
            self.count, self.mean, self.variance = count, mean, variance
            return
        share = count / (self.count + count)
        apart = mean - self.mean
        self.variance = (1 - share) * self.variance + share * variance + share * (1 - share) * apart.square()
        self.mean = self.mean + share * apart
        self.count += count


class SlimmableBatchNorm2d(nn.Module):
    """Batch norm whose scale and shift are shared by all widths, while each configuration has its own statistics.

    In training mode it normalises by the batch and keeps nothing: features of another width or resolution have other
    means and variances, so statistics are gathered after training (`recalibrate`), for each configuration.

    Source: MutualNet (statistics recomputed for each width and resolution after training).
    """

    def __init__(self, full: nn.BatchNorm2d, channels: Channels, active: Active) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = full.weight, full.bias, full.eps
        self.channels, self.active = channels, active
        self.statistics: dict[str, tuple[Tensor, Tensor]] = {}
        self.moments: Moments | None = None

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (self.channels.keep(tensor, self.active.width) for tensor in (self.weight, self.bias))
        if self.moments is not None:
            self.moments.add(x)
        if self.training or self.moments is not None:
            return F.batch_norm(x, None, None, weight, bias, training=True, eps=self.eps)
        name = self.active.configuration.name
        if name not in self.statistics:
            raise BundleError(f"The slimmable network has no norm statistics for {name}: recalibrate it first.")
        mean, variance = (tensor.to(x.device) for tensor in self.statistics[name])
        return F.batch_norm(x, mean, variance, weight, bias, eps=self.eps)

    def plain(self) -> nn.BatchNorm2d:
        """The active configuration as a plain layer; without statistics (untrained) it starts at mean 0, variance 1."""
        width = self.active.width
        layer = nn.BatchNorm2d(self.channels.at(width), self.eps)
        _filled(layer, self.channels.keep(self.weight, width), self.channels.keep(self.bias, width))
        if self.active.configuration.name in self.statistics:
            mean, variance = self.statistics[self.active.configuration.name]
            layer.running_mean, layer.running_var = mean.clone(), variance.clone()
        return layer


SlimmableLayer = SlimmableConv2d | SlimmableConvTranspose2d | SlimmableLinear | SlimmableBatchNorm2d


def _filled(layer: _Layer, weight: Tensor, bias: Tensor | None) -> _Layer:
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer
