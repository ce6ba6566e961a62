"""Symmetric quantisation of weights and activations with straight-through gradients (Med-DANet V2, Eq. 6)."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from DynamicSegLib.cost import at_bits
from DynamicSegLib.networks.stage_by_stage import FULL

# Weight of one batch's largest input against what was seen before.
_LIMIT_MOMENTUM = 0.01


def in_float32(x: Tensor) -> AbstractContextManager[Any]:
    """No autocast on the device of `x`: steps and positions are finer than bf16. The meta device knows no autocast."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def levels(bits: Tensor, signed: bool = True) -> Tensor:
    """r(b) of Eq. 6, `2^(b - 1)`; for inputs that are never negative the sign's bit is a level more: `2^b`."""
    return torch.exp2(bits - 1 if signed else bits)


def quantise(x: Tensor, limit: Tensor, bits: Tensor, signed: bool = True) -> Tensor:
    """`x` on the grid that `bits` bits can hold, as floating-point numbers.

    Parameters
    ----------
    x: float of any shape.
    limit: a of Eq. 6, above 0: larger magnitudes are clipped. Broadcast to `x`.
    bits: b of Eq. 6, whole numbers as float. Broadcast to `x`. Gradients reach it: to first order, what the loss would
        gain if the rounding error were smaller.
    signed: False where `x` is never negative: the integers are 0 to 2^b - 1.

    Source: Med-DANet V2, Eq. 6, rounding passed straight through.
    Deviation: the largest integer is r(b) - 1 where Eq. 6 has r(b), which no b-bit type holds; ties go to even.
    """
    with in_float32(x):
        x, steps = x.float(), levels(bits.float(), signed)
        scaled = torch.clamp(x, -limit if signed else torch.zeros_like(limit), limit) * (steps / limit)
        rounded = torch.minimum(scaled.round(), steps - 1)
        return (scaled + (rounded - scaled).detach()) * (limit / steps)


def fixed_quantise(x: Tensor, limit: Tensor, bits: int, signed: bool = True) -> Tensor:
    """`quantise` for a fixed number of bits as one operation, which backends turn into real integer arithmetic."""
    steps = 1 << (bits - 1 if signed else bits)
    scale = float(limit) / steps
    return torch.fake_quantize_per_tensor_affine(x.float(), scale, 0, -steps if signed else 0, steps - 1)


class QuantisedConv2d(nn.Conv2d):
    """A convolution whose weights and inputs are quantised to as many bits as the call says.

    Input: float `[n, in_channels, row, column]`; output as of `nn.Conv2d`.
    Buffers: `limit`, the largest input magnitude seen in training (a running mean over batches); `observed` batches.

    Source: Med-DANet V2, Sec. 3.4: a of the weights is their largest magnitude.
    Deviation: the paper does not say how a of the activations is found; fixed after training, so that a slice's result
    does not depend on the slices beside it and integer kernels can be prepared.
    """

    limit: Tensor
    observed: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        signed: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=stride, padding=padding)
        self.signed = signed
        self.register_buffer("limit", torch.tensor(1.0))
        self.register_buffer("observed", torch.tensor(0))

    def forward(self, x: Tensor, bits: "int | Tensor" = FULL) -> Tensor:
        """Convolve at `bits`: one number for all of the batch, or float `[n]` with one a slice (gradients reach it)."""
        if self.training:
            self._observe(x)
        if isinstance(bits, Tensor):
            return self._mixed(x, bits)
        if bits == FULL:
            return super().forward(x)
        if self.training or x.is_meta:
            width = torch.tensor(float(bits), device=x.device)
            x, weight = quantise(x, self.limit.clone(), width, self.signed), self._weight(width)
        else:
            x = fixed_quantise(x, self.limit, bits, self.signed)
            weight = fixed_quantise(self.weight, self._weight_limit(), bits)
        with at_bits(bits):
            return self._conv_forward(x, weight, self.bias)

    def _mixed(self, x: Tensor, bits: Tensor) -> Tensor:
        """Each slice is convolved once, with those of its own bits; the norm that follows sees the whole batch."""
        # Cloned: the buffer moves on when the same layer runs again before the gradients are computed.
        x = quantise(x, self.limit.clone(), bits[:, None, None, None], self.signed)
        widths = bits.detach().unique()
        if len(widths) == 1:
            return self._conv_forward(x, self._weight(bits.mean()), self.bias)
        groups = [torch.nonzero(bits.detach() == width).flatten() for width in widths]
        parts = [self._conv_forward(x[group], self._weight(bits[group].mean()), self.bias) for group in groups]
        return torch.cat(parts)[torch.argsort(torch.cat(groups))]

    def _weight(self, bits: Tensor) -> Tensor:
        return quantise(self.weight, self._weight_limit(), bits)

    def _weight_limit(self) -> Tensor:
        return self.weight.detach().abs().amax().clamp_min(torch.finfo(torch.float32).tiny)

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        self.observed += 1
        weight = torch.clamp_min(1.0 / self.observed, _LIMIT_MOMENTUM)
        self.limit.lerp_(x.float().abs().amax().clamp_min(1e-6), weight)


class QuantisedResidual(nn.Module):
    """`blocks.PreActivationResidual` with quantised convolutions; weights have the same names.

    Input and output: float `[n, channels, row, column]`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = QuantisedConv2d(channels, channels, 3, padding=1, signed=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = QuantisedConv2d(channels, channels, 3, padding=1, signed=False)

    def forward(self, x: Tensor, bits: "int | Tensor" = FULL) -> Tensor:
        y = self.conv1(torch.relu(self.norm1(x)), bits)
        return x + self.conv2(torch.relu(self.norm2(y)), bits)


class QuantisedEncoder(nn.Module):
    """`blocks.Encoder` in stages that each run at their own bits; weights have the same names.

    A stage is the residual blocks of one level and the convolution that leads down from it; the last has none.

    Source: Med-DANet V2, Sec. 3.4; what a stage is follows from the official stage costs.
    Deviation: activations are quantised too, as the paper says and its code does not.
    """

    depths = (1, 2, 2, 4)

    def __init__(self, in_channels: int, base: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, base, 3, padding=1)
        self.dropout = nn.Dropout2d(dropout)
        self.widths = [base * 2**level for level in range(len(self.depths))]
        self.stages = nn.ModuleList(
            nn.ModuleList(QuantisedResidual(width) for _ in range(depth))
            for width, depth in zip(self.widths, self.depths, strict=True)
        )
        self.downs = nn.ModuleList(
            QuantisedConv2d(narrow, wide, 3, stride=2, padding=1)
            for narrow, wide in zip(self.widths, self.widths[1:], strict=False)
        )

    def begin(self, x: Tensor) -> Tensor:
        """Input of the first stage, float `[n, base, row, column]`."""
        return self.dropout(self.stem(x))

    def stage(self, index: int, x: Tensor, bits: "int | Tensor" = FULL) -> tuple[Tensor, Tensor]:
        """Features of the level, and the next stage's input (the same features after the last stage)."""
        for block in self.stages[index]:  # type: ignore[attr-defined]  # torch types items as plain modules
            x = block(x, bits)
        return x, self.downs[index](x, bits) if index < len(self.downs) else x
