"""The modified 2D UNet: M1 (base 12) and M2 (base 16) of Med-DANet's model bank."""

from torch import Tensor, nn

from DynamicSegLib.networks.blocks import Decoder, Encoder, PreActivationResidual


class UNet2D(nn.Module):
    """Residual 2D UNet with four levels.

    Input: float `[n, in_channels, row, column]`, rows and columns divisible by 8.
    Output: logits, float `[n, out_channels, row, column]`.

    Source: Med-DANet, Sec. 4.1 (M1, M2).
    Deviation: the order of norm and activation is not given there; pre-activation, as in TransBTS's encoder.
    """

    def __init__(self, in_channels: int = 4, out_channels: int = 4, base: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, base, dropout)
        self.decoder = Decoder(base, out_channels, PreActivationResidual)

    def forward(self, x: Tensor) -> Tensor:
        *skips, deep = self.encoder(x)
        return self.decoder(self.bridge(deep), skips)

    def bridge(self, deep: Tensor) -> Tensor:
        """What lies between encoder and decoder: nothing in this network."""
        return deep
