"""The slimmable 2D UNet, and one configuration of it as a plain network."""

from collections.abc import Mapping

from torch import Tensor, nn

from DynamicSegLib.networks.slimmable import Channels, Configuration
from DynamicSegLib.networks.slimmable_network import Rule, Slimmable, at_resolution, part_of
from DynamicSegLib.networks.unet import UNet2D

WIDTHS = tuple(round(0.25 + 0.05 * step, 2) for step in range(16))
"""The paper's widths, 0.25 to 1.0."""
RESOLUTIONS: tuple[int | None, ...] = (96, 120, 144, 168, 192, 216, None)


def slimmable_unet2d(
    in_channels: int = 4, out_channels: int = 4, base: int = 16, dropout: float = 0.2, divisor: int = 2
) -> Slimmable:
    """`UNet2D` with every layer slimmable; at full width it is that network, parameter for parameter.

    Source: MutualNet, on Med-DANet's M2 (base 16).
    Deviation: channels are rounded to a multiple of 2 instead of 8. The UNet is 16 channels wide where MobileNetV1 has
    32 to 1024: with multiples of 8 widths 0.35 and 0.40 were one network, and cost doubled from 0.55 to 0.60.
    """
    return Slimmable(UNet2D(in_channels, out_channels, base, dropout), _channels(divisor))


def _channels(divisor: int) -> Rule:
    def rule(name: str, layer: nn.Module) -> tuple[Channels, Channels]:
        if isinstance(layer, nn.BatchNorm2d):
            channels = Channels(layer.num_features, divisor)
            return channels, channels
        assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        # `fuse` reads the encoder's features and the decoder's side by side.
        inputs = Channels(layer.in_channels, divisor, name != "encoder.stem", 2 if name.endswith(".fuse") else 1)
        return inputs, Channels(layer.out_channels, divisor, name != "decoder.head")

    return rule


class SlimmableUNet2DConfiguration(nn.Module):
    """One width and resolution of the slimmable UNet: a plain network of just those channels, on resized slices.

    Input: float `[n, in_channels, row, column]` of any size; at its own resolution (None) divisible by 8.
    Output: logits, float `[n, out_channels, row, column]`.

    Parameters
    ----------
    width, resolution: see `slimmable.Configuration`.
    base, divisor: of the slimmable network that the weights come from.
    """

    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        base: int = 16,
        dropout: float = 0.2,
        divisor: int = 2,
        width: float = 1.0,
        resolution: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 < width <= 1:
            raise ValueError(f"width {width} is not above 0 and at most 1.")
        if resolution is not None and resolution < 8:
            raise ValueError(f"resolution {resolution} is below 8 pixels.")
        self.configuration = Configuration(width, resolution)
        self._arguments = (in_channels, out_channels, base, dropout, divisor)
        self.network = slimmable_unet2d(*self._arguments).plain(self.configuration)

    def forward(self, x: Tensor) -> Tensor:
        return at_resolution(self.network, x, self.configuration.resolution)

    def weights_from(self, shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This configuration's own state dict, cut out of one that all configurations share (`Slimmable.shared_state`).

        Raises
        ------
        BundleError: `shared` does not fit the slimmable network, or has no norm statistics for this configuration.
        """
        slimmable = slimmable_unet2d(*self._arguments)
        slimmable.load_shared(part_of(shared, (self.configuration.name,)))
        slimmable.shared_state((self.configuration,))
        plain = slimmable.plain(self.configuration)
        return {f"network.{name}": tensor for name, tensor in plain.state_dict().items()}
