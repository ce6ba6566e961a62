"""The segmentation network of Med-DANet V2: encoder stages at chosen bits, and a last stage that takes any size."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.bit_selector import BitSelector, choose_bits
from DynamicSegLib.networks.quantisation import QuantisedEncoder
from DynamicSegLib.networks.stage_by_stage import BITS, DIVISOR, FULL, STAGES, WIDTH, bit_spaces, choices
from DynamicSegLib.networks.transbts import TransBTS2D
from DynamicSegLib.networks.unet import UNet2D

BASES = ("unet2d", "transbts2d")


class StagedFeatures(NamedTuple):
    """`before_last`: what the last decoder stage reads, float `[n, width, row, column]`. `bits`: float `[n, stage]`."""

    before_last: Tensor
    bits: Tensor


class StagedNetwork(nn.Module):
    """A base network of the bank whose encoder stages are quantised, with a bit selector before each.

    Parameters
    ----------
    base: `unet2d` or `transbts2d`.
    width: channels of the finest level.
    layers, size: transformer layers and position table of `transbts2d`.
    dropout: after the stem, in training.
    bits: the bit space, ascending, or one for each stage; (32,) is a network without quantisation. A stage with one
        number has no selector.

    Raises
    ------
    BundleError: an unknown base, or bits that are not ascending and within 2 to 32.

    Source: Med-DANet V2, Sec. 3.4 and Table 3e.
    """

    divisor = DIVISOR

    def __init__(
        self,
        base: str = "unet2d",
        in_channels: int = 4,
        out_channels: int = 4,
        width: int = WIDTH,
        layers: int = 1,
        size: int = 240,
        bits: Sequence[int | Sequence[int]] = BITS,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if base not in BASES:
            raise BundleError(f"Base network {base!r} is unknown: expected one of {', '.join(BASES)}.")
        self.spaces, self.width = bit_spaces(bits), width
        wrong = [space for space in self.spaces if not _is_space(space)]
        if wrong or len(self.spaces) != STAGES:
            raise BundleError(
                f"Bits {bits} cannot be chosen from: expected ascending numbers between 2 and {FULL}, once or for each "
                f"of {STAGES} stages."
            )
        network: UNet2D | TransBTS2D
        if base == "unet2d":
            network = UNet2D(in_channels, out_channels, width)
        else:
            network = TransBTS2D(in_channels, out_channels, layers, size, width)
        encoder = QuantisedEncoder(in_channels, width, dropout)
        network.encoder = encoder  # type: ignore[assignment]  # weights have the same names
        self.network = network
        self.encoder = (encoder,)  # in a tuple: registered once, under `network`
        self.selectors = nn.ModuleDict(
            {str(index): BitSelector(encoder.widths[index], len(self.spaces[index])) for index in choices(self.spaces)}
        )

    def selector(self, index: int) -> BitSelector | None:
        """The selector of stage `index`; None where it has none, and after the last stage."""
        return self.selectors[str(index)] if index in choices(self.spaces) else None  # type: ignore[return-value]

    def features(self, x: Tensor, quantised: bool = True) -> StagedFeatures:
        """Everything up to the last decoder stage, for training: bits are chosen stage by stage, slice by slice.

        Input: float `[n, in_channels, row, column]`, rows and columns divisible by 8.
        """
        (encoder,) = self.encoder
        x = encoder.begin(x)
        skips, chosen = [], []
        for index in range(STAGES):
            bits = self.choose(index, x) if quantised else torch.full((len(x),), float(FULL), device=x.device)
            plain = not quantised or self.spaces[index] == (FULL,)
            level, x = encoder.stage(index, x, FULL if plain else bits)
            skips.append(level)
            chosen.append(bits)
        *skips, deep = skips
        return StagedFeatures(self.before_last(deep, skips), torch.stack(chosen, dim=1))

    def choose(self, index: int, x: Tensor) -> Tensor:
        """Bits of stage `index` for its input, float `[n]` (see `choose_bits`)."""
        selector, space = self.selector(index), self.spaces[index]
        if selector is None:
            return torch.full((len(x),), float(space[0]), device=x.device)
        return choose_bits(selector(x), space)

    def before_last(self, deep: Tensor, skips: list[Tensor]) -> Tensor:
        """The bridge and the decoder without its last stage."""
        return self.network.decoder.before_last(self.network.bridge(deep), skips)

    def last(self, features: Tensor) -> Tensor:
        """The last decoder stage, independent of size. Output: logits, float `[n, out_channels, row, column]`."""
        return self.network.decoder.last(features)


def _is_space(bits: Sequence[object]) -> bool:
    """Whether bits can be chosen from: ascending whole numbers from 2 to 32."""
    whole = [each for each in bits if isinstance(each, int)]
    return whole == list(bits) == sorted(set(whole)) and bool(whole) and 2 <= whole[0] <= whole[-1] <= FULL
