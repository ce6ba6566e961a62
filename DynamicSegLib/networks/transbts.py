"""TransBTS in two dimensions: M3 (one transformer layer) and M4 (four) of Med-DANet's model bank."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DynamicSegLib.networks.blocks import Decoder, Encoder, PostNormResidual


class Attention(nn.Module):
    """Multi-head self-attention without bias in the query, key and value projections.

    Input and output: float `[n, token, dim]`.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.project = nn.Linear(dim, dim)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(n, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], dropout_p=self.dropout if self.training else 0.0)
        return self.project(y.transpose(1, 2).reshape(n, tokens, dim))


class TransformerLayer(nn.Module):
    """Pre-norm attention and MLP, each added to its input. Input and output: float `[n, token, dim]`."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TransBTS2D(nn.Module):
    """UNet encoder, transformer over the coarsest features, UNet decoder.

    Input: float `[n, in_channels, row, column]`, rows and columns divisible by 8; any such size, since the learned
    position table (made for `size`) is interpolated to the tokens at hand.
    Output: logits, float `[n, out_channels, row, column]`.

    Parameters
    ----------
    layers: transformer layers (1 in M3, 4 in M4).
    size: input size in pixels for which the position table is made; one token for 8x8 pixels.
    dropout, encoder_dropout: of the transformer's tokens, and of the encoder's first feature maps.

    Source: Med-DANet, Sec. 4.1 (M3, M4); TransBTS (MICCAI 2021) for the 3D original.
    """

    dim = 512
    hidden = 2048

    def __init__(
        self,
        in_channels: int = 4,
        out_channels: int = 4,
        layers: int = 4,
        size: int = 240,
        base: int = 16,
        heads: int = 8,
        dropout: float = 0.1,
        encoder_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        width = 8 * base
        self.side = size // 8
        self.encoder = Encoder(in_channels, base, encoder_dropout)
        self.norm = nn.BatchNorm2d(width)
        self.embed = nn.Conv2d(width, self.dim, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, self.side**2, self.dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(TransformerLayer(self.dim, heads, self.hidden, dropout) for _ in range(layers))
        self.final_norm = nn.LayerNorm(self.dim)
        self.unembed = nn.Sequential(
            nn.Conv2d(self.dim, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            PostNormResidual(width),
        )
        self.decoder = Decoder(base, out_channels, PostNormResidual)

    def forward(self, x: Tensor) -> Tensor:
        *skips, deep = self.encoder(x)
        return self.decoder(self.bridge(deep), skips)

    def bridge(self, deep: Tensor) -> Tensor:
        """The transformer between encoder and decoder: float `[n, 8 base, row, column]` in and out."""
        y = self.embed(torch.relu(self.norm(deep)))
        n, dim, rows, columns = y.shape
        tokens = self.dropout(y.flatten(2).transpose(1, 2) + self._position_for(rows, columns))
        for layer in self.layers:
            tokens = layer(tokens)
        y = self.final_norm(tokens).transpose(1, 2).reshape(n, dim, rows, columns)
        return self.unembed(y)  # type: ignore[no-any-return]

    def _position_for(self, rows: int, columns: int) -> Tensor:
        if (rows, columns) == (self.side, self.side):
            return self.position
        table = self.position.transpose(1, 2).reshape(1, self.dim, self.side, self.side)
        table = F.interpolate(table, size=(rows, columns), mode="bicubic", align_corners=False)
        return table.flatten(2).transpose(1, 2)
