"""Any input size for every network."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from DynamicSegLib.networks.padding import PaddedNetwork, divisor_of, pad_to_divisor
from DynamicSegLib.networks.registry import build_network


class SizeCheckingNetwork(nn.Module):
    """Returns its input, and the sum over all pixels as a second channel; refuses sizes not divisible by 8."""

    divisor = 8

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] % 8 == 0 and x.shape[3] % 8 == 0
        return torch.cat([x, x.sum(dim=(2, 3), keepdim=True).expand_as(x)], dim=1)


@settings(deadline=None)
@given(rows=st.integers(1, 20), columns=st.integers(1, 20), divisor=st.integers(1, 9))
def test_padding_adds_zeros_at_the_bottom_and_right_only(rows: int, columns: int, divisor: int) -> None:
    x = torch.ones(2, 3, rows, columns)

    y = pad_to_divisor(x, divisor)

    for before, after in zip((rows, columns), y.shape[2:], strict=True):
        assert after % divisor == 0
        assert before <= after < before + divisor
    assert torch.equal(y[..., :rows, :columns], x)
    assert y.sum() == x.sum()


@pytest.mark.parametrize("size", [(8, 16), (9, 16), (1, 1), (15, 23)])
def test_a_padded_network_returns_the_input_size_and_sees_zeros_beyond_it(size: tuple[int, int]) -> None:
    x = torch.rand(2, 1, *size)

    y = PaddedNetwork(SizeCheckingNetwork())(x)

    assert torch.equal(y[:, :1], x)
    torch.testing.assert_close(y[:, 1:], x.sum(dim=(2, 3), keepdim=True).expand_as(x))


def test_a_network_without_a_divisor_is_refused() -> None:
    with pytest.raises(TypeError, match="Identity declares no divisor"):
        divisor_of(nn.Identity())


@pytest.mark.parametrize("size", [(16, 24), (13, 22)])
@pytest.mark.parametrize(("name", "arguments"), [("unet2d", {}), ("transbts2d", {"layers": 1, "size": 16})])
def test_an_exported_padded_network_gives_the_same_logits(
    name: str, arguments: dict[str, object], size: tuple[int, int]
) -> None:
    network = PaddedNetwork(build_network(name, {"base": 2, **arguments})).eval()
    x = torch.randn(2, 4, *size)

    exported = torch.export.export(network, (torch.zeros_like(x),)).module()

    torch.testing.assert_close(exported(x), network(x))
