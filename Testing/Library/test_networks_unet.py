"""The modified 2D UNet, M1 and M2."""

import pytest
import torch

from DynamicSegLib.networks.blocks import Encoder
from DynamicSegLib.networks.unet import UNet2D


@pytest.mark.parametrize("size", [(8, 8), (16, 40), (72, 24)])
def test_every_size_divisible_by_8_keeps_its_size(size: tuple[int, int]) -> None:
    network = UNet2D(in_channels=3, out_channels=5, base=2).eval()

    assert network(torch.randn(2, 3, *size)).shape == (2, 5, *size)


def test_the_encoder_halves_the_resolution_and_doubles_the_width_three_times() -> None:
    features = Encoder(in_channels=4, base=6)(torch.randn(1, 4, 32, 16))

    assert [tuple(f.shape) for f in features] == [(1, 6, 32, 16), (1, 12, 16, 8), (1, 24, 8, 4), (1, 48, 4, 2)]


def test_evaluation_is_deterministic_and_training_is_not() -> None:
    torch.manual_seed(0)
    network, x = UNet2D(base=16, dropout=0.5), torch.randn(2, 4, 16, 16)

    network.eval()
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_a_slice_gets_the_same_logits_alone_and_in_a_batch() -> None:
    network, x = UNet2D(base=2).eval(), torch.randn(3, 4, 16, 16)

    torch.testing.assert_close(network(x)[1:2], network(x[1:2]))


def test_gradients_reach_all_parameters() -> None:
    network = UNet2D(base=2, dropout=0.0)

    network(torch.randn(2, 4, 16, 16)).square().sum().backward()

    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
