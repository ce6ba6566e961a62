"""The cost of any torch module: true multiply-accumulates, and the FLOPs that the papers print.

Two counts, never mixed:

`macs`
    true multiply-accumulates of convolutions, transposed convolutions, linear layers and attention products.
    Budgets are kept in this unit.
`paper_flops`
    the count behind every figure of Med-DANet: the same, but a transposed convolution counted at its *output* size,
    5 for each normalised element (batch, group, instance and layer norm), and 1 for each element that an adaptive or
    global average pooling reads (without it GhostNet is 0.276 G where Table 5 has 0.278). Comparisons with the papers
    use it.

Neither counts bias, activations, softmax or additions. Inside `at_bits(8)` each multiply-accumulate is 8/32 of a paper
FLOP, which is how Med-DANet V2 counts quantised layers; `macs` stay what they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Cost:
    """What one run of a module costs. `macs` and `paper_flops` for the whole input, `parameters` of the module."""

    macs: int = 0
    paper_flops: int = 0
    parameters: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.paper_flops + other.paper_flops, self.parameters + other.parameters)

    def times(self, runs: int) -> "Cost":
        """The cost of `runs` runs; parameters stay."""
        return Cost(self.macs * runs, self.paper_flops * runs, self.parameters)


NORM_FLOPS_PER_ELEMENT = 5
FLOAT_BITS = 32
_bits: ContextVar[int] = ContextVar("bits", default=FLOAT_BITS)


@contextmanager
def at_bits(bits: int) -> Iterator[None]:
    """Multiply-accumulates run within count `bits` / 32 as paper FLOPs. Source: Med-DANet V2, Eq. 8."""
    token = _bits.set(bits)
    try:
        yield
    finally:
        _bits.reset(token)


def count(module: "torch.nn.Module", input_shape: tuple[int, ...]) -> Cost:
    """Count one run of `module` on one input of `input_shape`, e.g. `(1, 4, 240, 240)`.

    The module runs once on torch's meta device: no arithmetic is done, no weights are read, and the module is left
    as it was. Whatever operations it executes are counted, in any module of any library.

    Source: the unit of Med-DANet, Tables 1-6 (`paper_flops`), reproduced to the last digit by the tests.
    """
    import copy

    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
        macs = 0
        paper_flops = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            rule = _RULES.get(func.overloadpacket.__name__)
            if rule is not None:
                macs, paper_flops = rule(args, out)
                self.macs += macs
                # Norms stay in floating point, also in a quantised stage.
                self.paper_flops += paper_flops * _bits.get() // FLOAT_BITS if macs else paper_flops
            return out

    meta = copy.deepcopy(module).to("meta").eval()
    with torch.no_grad(), Counter() as counter:  # type: ignore[no-untyped-call]
        meta(torch.empty(input_shape, device="meta"))
    return Cost(counter.macs, counter.paper_flops, sum(p.numel() for p in module.parameters()))


_Rule = Callable[[tuple[Any, ...], Any], tuple[int, int]]


def _convolution(args: tuple[Any, ...], out: Any) -> tuple[int, int]:
    x, weight, transposed = args[0], args[1], args[6]
    kernel = prod(weight.shape[2:])
    if transposed:
        # weight is [in, out / groups, ...]: every input element meets out / groups x kernel weights.
        per_element = weight.shape[1] * kernel
        in_channels_per_group = weight.shape[0] // args[8]
        return x.numel() * per_element, out.numel() * in_channels_per_group * kernel
    macs = out.numel() * weight.shape[1] * kernel
    return macs, macs


def _product(args: tuple[Any, ...], out: Any) -> tuple[int, int]:
    macs = out.numel() * args[0].shape[-1]
    return macs, macs


def _add_product(args: tuple[Any, ...], out: Any) -> tuple[int, int]:
    return _product(args[1:], out)


def _attention(args: tuple[Any, ...], out: Any) -> tuple[int, int]:
    query, key, value = args[:3]
    scores = prod(query.shape[:-1]) * key.shape[-2]
    macs = scores * query.shape[-1] + scores * value.shape[-1]
    return macs, macs


def _norm(args: tuple[Any, ...], out: Any) -> tuple[int, int]:
    return 0, NORM_FLOPS_PER_ELEMENT * args[0].numel()


def _adaptive_pooling(args: tuple[Any, ...], out: Any) -> tuple[int, int]:
    return 0, args[0].numel()


def _mean(args: tuple[Any, ...], out: Any) -> tuple[int, int]:
    """Adaptive pooling to one pixel reaches torch's kernels as the mean over rows and columns."""
    x, *dimensions = args
    is_global_pooling = x.ndim == 4 and bool(dimensions) and {d % 4 for d in dimensions[0] or ()} == {2, 3}
    return (0, x.numel()) if is_global_pooling else (0, 0)


_RULES: dict[str, _Rule] = {
    "convolution": _convolution,
    "mm": _product,
    "mv": _product,
    "bmm": _product,
    "dot": _product,
    "addmm": _add_product,
    "addmv": _add_product,
    "baddbmm": _add_product,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "native_batch_norm": _norm,
    "cudnn_batch_norm": _norm,
    "_native_batch_norm_legit": _norm,
    "_native_batch_norm_legit_no_training": _norm,
    "native_group_norm": _norm,
    "native_layer_norm": _norm,
    "_adaptive_avg_pool2d": _adaptive_pooling,
    "mean": _mean,
}
