"""One option of Med-DANet V2: a crop at a predicted centre, or the whole slice, segmented at bits that follow it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.cropping import PositionNetwork, crop, paste
from DynamicSegLib.networks.padding import pad_to_divisor
from DynamicSegLib.networks.pieces import pieces_of
from DynamicSegLib.networks.stage_by_stage import BITS, CROPS, WIDTH, StagedExecution, Surroundings
from DynamicSegLib.networks.staged import StagedNetwork


class DynamicNetwork(nn.Module):
    """The crop-position network and the staged network, with the crop size that this option stands for.

    All options of a bundle share these weights. Calling the module runs it as after training (see `StagedExecution`);
    `dense` is the differentiable way.

    Input: float `[n, in_channels, row, column]` of any size. Output: logits, float `[n, out_channels, row, column]`.

    Parameters
    ----------
    crop: this option's crop size in pixels; 0 for the whole slice.
    crops: all crop sizes of the policy space, ascending; empty where nothing is cropped.
    base, in_channels, out_channels, width, layers, size, bits, dropout: see `StagedNetwork`.

    Raises
    ------
    BundleError: a crop size is not divisible by 8 or not among `crops`; see `StagedNetwork`.

    Source: Med-DANet V2, Fig. 2.
    """

    divisor = 1

    def __init__(
        self,
        crop: int = 0,
        crops: tuple[int, ...] = CROPS,
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
        if crop and crop not in crops:
            raise BundleError(f"Crop size {crop} is not in the policy space {crops}.")
        if any(each <= 0 or each % StagedNetwork.divisor for each in crops) or list(crops) != sorted(set(crops)):
            raise BundleError(f"Crop sizes {crops}: expected ascending multiples of {StagedNetwork.divisor} pixels.")
        self.crop, self.crops = crop, tuple(crops)
        self.segmentation = StagedNetwork(base, in_channels, out_channels, width, layers, size, bits, dropout)
        self.position = PositionNetwork(in_channels, self.crops) if crops else None

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.execution((x.shape[-2], x.shape[-1]))(x).output

    def execution(self, size: tuple[int, int]) -> StagedExecution:
        """The way of this option through the network's own pieces, to logits. `size`: rows and columns of slices."""
        staged, crop = self.segmentation, self.crop if self.crop < min(size) else 0
        around = Surroundings.along(crop, size) if crop else None
        pieces = pieces_of(staged, self.position if crop else None, around)
        return StagedExecution(pieces, staged.spaces, staged.width, crop, self.crops.index(crop) if crop else 0)

    def dense(
        self, x: Tensor, size: int, centre: Tensor | None = None, quantised: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Logits of whole slices and the bits of each stage `[n, stage]`, with gradients into position and selectors.

        Parameters
        ----------
        size: crop size in pixels, 0 for the whole slice.
        centre: float `[n, 2]`, (row, column) in pixels; not asked for whole slices.
        quantised: False runs the encoder in floating point.
        """
        rows, columns = x.shape[-2:]
        if size == 0 or centre is None:
            features, bits = self.segmentation.features(pad_to_divisor(x, self.segmentation.divisor), quantised)
            return self.segmentation.last(features)[..., :rows, :columns], bits
        features, bits = self.segmentation.features(crop(x, centre, size), quantised)
        return self.segmentation.last(paste(features, centre, (rows, columns))), bits

    def load_base(self, state: dict[str, Tensor]) -> None:
        """Start from the weights of the plain base network (a candidate of Med-DANet's bank)."""
        own = self.segmentation.network.state_dict()
        unfit = [name for name, value in state.items() if name not in own or own[name].shape != value.shape]
        fresh = [name for name in own if name not in state and not name.endswith((".limit", ".observed"))]
        if unfit or fresh:
            raise BundleError(f"The base network's weights do not fit: {(unfit + fresh)[0]!r} differs.")
        self.segmentation.network.load_state_dict({**own, **{name: value.clone() for name, value in state.items()}})
