"""Any input size for every network: zeros at the bottom and right up to the network's divisor, cropped off again."""

import torch.nn.functional as F
from torch import Tensor, nn


def divisor_of(network: nn.Module) -> int:
    """The number that rows and columns of `network`'s input have to be divisible by; `registry` sets it for all."""
    divisor = getattr(network, "divisor", None)
    if not isinstance(divisor, int):
        raise TypeError(f"{type(network).__name__} declares no divisor: give it an integer attribute `divisor`.")
    return divisor


def pad_to_divisor(x: Tensor, divisor: int) -> Tensor:
    """Zeros at the bottom and right of `[..., row, column]`, up to the next multiple of `divisor`."""
    rows, columns = x.shape[-2:]
    return F.pad(x, (0, -columns % divisor, 0, -rows % divisor))


class PaddedNetwork(nn.Module):
    """A segmentation network that takes any input size; what every backend runs or exports.

    Input: float `[n, channels, row, column]`. Output: logits, float `[n, classes, row, column]`, of the same size.
    """

    divisor = 1

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._network_divisor = divisor_of(network)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        return self.network(pad_to_divisor(x, self._network_divisor))[..., :rows, :columns]
