"""The channels of a UNet in order of importance: what narrow widths of a slimmable network keep should matter most.

Source: Once-for-All (ICLR 2020, Sec. 3.3): channels sorted by the L1 norm of their weights before widths are shrunk.
Deviation: a reader's weights are scaled by what reaches them, the norm's own scale where there is one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from DynamicSegLib.networks.blocks import PreActivationResidual, Up
from DynamicSegLib.networks.unet import UNet2D

Convolution = nn.Conv2d | nn.ConvTranspose2d


@dataclass(frozen=True)
class _Reader:
    """A convolution that reads the channels, from its input channel `first` on, through `norm` where there is one."""

    layer: Convolution
    norm: nn.BatchNorm2d | None = None
    first: int = 0


@dataclass(frozen=True)
class _Channels:
    """Channels that can only change places together: all that makes, normalises and reads them."""

    makers: tuple[Convolution, ...]
    norms: tuple[nn.BatchNorm2d, ...]
    readers: tuple[_Reader, ...]

    def sort(self) -> None:
        """The most important first."""
        order = self._importance().argsort(descending=True, stable=True)
        for maker in self.makers:
            maker.weight.copy_(maker.weight.index_select(_output_axis(maker), order))
            if maker.bias is not None:
                maker.bias.copy_(maker.bias[order])
        for norm in self.norms:
            for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                assert values is not None
                values.copy_(values[order])
        for reader in self.readers:
            axis = 1 - _output_axis(reader.layer)
            places = torch.arange(reader.layer.weight.shape[axis])
            places[reader.first : reader.first + len(order)] = order + reader.first
            reader.layer.weight.copy_(reader.layer.weight.index_select(axis, places))

    def _importance(self) -> Tensor:
        first = self.makers[0]
        made = _l1(first.weight, _output_axis(first))
        if self.norms and self.norms[-1].running_var is not None:
            made = self.norms[-1].running_var.sqrt()
        total = torch.zeros_like(made)
        for reader in self.readers:
            read = _l1(reader.layer.weight, 1 - _output_axis(reader.layer))
            read = read[reader.first : reader.first + len(made)]
            total += read * (made if reader.norm is None else reader.norm.weight.abs())
        return total


def channels_in_order(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a `UNet2D` that computes what `state` computes, its channels sorted, most important first.

    Images and logits keep their channels. Weights: float, named as in `UNet2D.state_dict()`.
    """
    stem, head = state["encoder.stem.weight"], state["decoder.head.weight"]
    network = UNet2D(stem.shape[1], head.shape[0], stem.shape[0])
    network.load_state_dict(state)
    with torch.no_grad():
        for channels in _all_channels(network):
            channels.sort()
    return network.state_dict()


def _all_channels(network: UNet2D) -> Iterator[_Channels]:
    encoder, decoder = network.encoder, network.decoder
    ups = [up for up in decoder.ups if isinstance(up, Up)]
    downs = [down for down in encoder.downs if isinstance(down, nn.Conv2d)]
    readers: list[tuple[Convolution, ...]] = [*zip(downs, (up.fuse for up in reversed(ups)), strict=True)]
    for maker, stage, read_by in zip((encoder.stem, *downs), encoder.stages, [*readers, (ups[0].reduce,)], strict=True):
        yield from _stream(maker, stage.children(), read_by)
    for up, block, reader in zip(ups, decoder.blocks, [*(up.reduce for up in ups[1:]), decoder.head], strict=True):
        yield _Channels((up.reduce,), (), (_Reader(up.up),))
        yield _Channels((up.up,), (), (_Reader(up.fuse, first=up.fuse.in_channels // 2),))
        yield from _stream(up.fuse, (block,), (reader,))


def _stream(maker: Convolution, stage: Iterable[nn.Module], readers: tuple[Convolution, ...]) -> Iterator[_Channels]:
    """The channels that `maker` makes and residual blocks add to, and those inside each block."""
    blocks = [block for block in stage if isinstance(block, PreActivationResidual)]
    yield _Channels(
        (maker, *(block.conv2 for block in blocks)),
        tuple(block.norm1 for block in blocks),
        (*(_Reader(block.conv1, block.norm1) for block in blocks), *(_Reader(reader) for reader in readers)),
    )
    for block in blocks:
        yield _Channels((block.conv1,), (block.norm2,), (_Reader(block.conv2, block.norm2),))


def _output_axis(layer: Convolution) -> int:
    return 1 if isinstance(layer, nn.ConvTranspose2d) else 0


def _l1(weight: Tensor, axis: int) -> Tensor:
    return weight.abs().sum(dim=[each for each in range(weight.dim()) if each != axis])
