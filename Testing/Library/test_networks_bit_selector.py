"""The bit selector."""

import pytest
import torch

from DynamicSegLib.networks.bit_selector import BitSelector, channel_deviation, choose_bits, spatial_gradient


def test_the_gradient_of_a_ramp_is_its_slope() -> None:
    rows = torch.arange(6.0)[None, None, :, None]
    ramp = (2 * rows).expand(1, 3, 6, 5) + 0.5 * torch.arange(5.0)
    assert spatial_gradient(ramp).tolist() == [[2.5]]
    assert spatial_gradient(torch.ones(2, 3, 4, 4)).tolist() == [[0.0], [0.0]]


def test_the_deviation_of_each_channel_is_over_its_pixels() -> None:
    x = torch.randn(3, 4, 9, 7)
    torch.testing.assert_close(channel_deviation(x), x.std(dim=(2, 3), unbiased=False), atol=1e-3, rtol=1e-3)


def test_bits_are_the_likeliest_forward_and_the_expected_backward() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    bits = choose_bits(logits, (8, 16))
    assert bits.tolist() == [8.0, 16.0]
    bits.sum().backward()
    share = torch.softmax(logits.detach(), dim=1)[:, 1]
    expected = 8 * share * (1 - share)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[:, 1], expected)
    torch.testing.assert_close(logits.grad[:, 0], -expected)


@pytest.mark.parametrize("space", [(8, 12), (8, 16), (12, 16), (8, 12, 16)])
def test_an_untrained_selector_prefers_the_widest_bits(space: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    bits = choose_bits(BitSelector(6, len(space))(torch.rand(32, 6, 8, 8)), space)
    assert set(bits.tolist()) <= {float(each) for each in space}
    assert (bits == space[-1]).float().mean() > 0.5


def test_gradients_reach_the_selector_also_where_a_channel_is_flat() -> None:
    selector = BitSelector(2, 2)
    choose_bits(selector(torch.zeros(3, 2, 4, 4, requires_grad=True)), (8, 16)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in selector.parameters())
