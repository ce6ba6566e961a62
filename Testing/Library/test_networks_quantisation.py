"""Symmetric quantisation with straight-through gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from DynamicSegLib.cost import count
from DynamicSegLib.networks.blocks import Encoder
from DynamicSegLib.networks.quantisation import (
    QuantisedConv2d,
    QuantisedEncoder,
    QuantisedResidual,
    fixed_quantise,
    quantise,
)


def three_bits(signed: bool = True) -> torch.Tensor:
    x = torch.tensor([-1.5, -1.0, -0.3, 0.0, 0.3, 1.0])
    return quantise(x, torch.tensor(1.0), torch.tensor(3.0), signed)


def test_three_bits_hold_the_integers_from_minus_four_to_three() -> None:
    assert three_bits().tolist() == [-1.0, -1.0, -0.25, 0.0, 0.25, 0.75]


def test_three_bits_without_a_sign_hold_the_integers_from_zero_to_seven() -> None:
    assert three_bits(signed=False).tolist() == [0.0, 0.0, 0.0, 0.0, 0.25, 0.875]


@given(
    st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20),
    st.floats(0.015625, 2, width=32),
    st.integers(2, 16),
    st.booleans(),
)
def test_every_value_lies_on_the_grid_and_half_a_step_away_at_most(
    values: list[float], limit: float, bits: int, signed: bool
) -> None:
    x = torch.tensor(values, dtype=torch.float64).float().abs() if not signed else torch.tensor(values)
    steps = 2 ** (bits - 1 if signed else bits)
    result = quantise(x, torch.tensor(limit), torch.tensor(float(bits)), signed)
    whole = result.double() / limit * steps
    assert torch.all((whole - whole.round()).abs() < 1e-2)
    assert whole.round().min() >= (-steps if signed else 0)
    assert whole.round().max() <= steps - 1
    inside = (x.abs() <= limit) & (x / limit * steps <= steps - 1)
    assert torch.all((result - x)[inside].abs() <= limit / steps * 0.501)


def test_gradients_pass_straight_through_inside_the_limit_and_stop_outside() -> None:
    x = torch.tensor([-2.0, -0.3, 0.3, 0.9, 2.0], requires_grad=True)
    quantise(x, torch.tensor(1.0), torch.tensor(4.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_the_gradient_of_the_bits_is_what_less_rounding_would_change() -> None:
    x, bits = torch.tensor([-0.33, 0.18, 0.71]), torch.tensor(4.0, requires_grad=True)
    result = quantise(x, torch.tensor(1.0), bits)
    result.sum().backward()
    assert bits.grad is not None
    assert float(bits.grad) == pytest.approx(float((x - result.detach()).sum()) * math.log(2), rel=1e-4)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_the_operation_for_backends_gives_the_same_numbers(bits: int, signed: bool) -> None:
    x = torch.randn(500, generator=torch.Generator().manual_seed(0)) * 2
    limit = torch.tensor(1.5)
    torch.testing.assert_close(
        fixed_quantise(x, limit, bits, signed), quantise(x, limit, torch.tensor(float(bits)), signed)
    )


def test_slices_of_different_bits_get_what_each_gets_alone() -> None:
    torch.manual_seed(0)
    layer = QuantisedConv2d(3, 5, 3, padding=1)
    layer.limit.fill_(2.0)
    layer.eval()
    x, bits = torch.randn(4, 3, 6, 6), torch.tensor([8.0, 4.0, 8.0, 16.0])
    together = layer(x, bits)
    for index, width in enumerate(bits):
        torch.testing.assert_close(together[index : index + 1], layer(x[index : index + 1], int(width)))


def test_gradients_reach_the_bits_of_each_slice_in_a_mixed_batch() -> None:
    torch.manual_seed(0)
    layer, bits = QuantisedConv2d(3, 5, 3), torch.tensor([4.0, 6.0, 4.0], requires_grad=True)
    layer(torch.randn(3, 3, 6, 6), bits).square().sum().backward()
    assert bits.grad is not None
    assert torch.all(bits.grad != 0)


def test_fewer_bits_mean_a_larger_error() -> None:
    torch.manual_seed(0)
    layer = QuantisedConv2d(8, 8, 3).eval()
    layer.limit.fill_(4.0)
    x = torch.randn(1, 8, 12, 12)
    errors = [float((layer(x, bits) - layer(x)).detach().abs().mean()) for bits in (4, 8, 12)]
    assert errors[0] > 8 * errors[1] > 64 * errors[2]


def test_the_limit_follows_the_largest_input_in_training_and_stands_still_after() -> None:
    layer = QuantisedConv2d(1, 1, 1)
    layer(torch.full((1, 1, 2, 2), -3.0))
    assert float(layer.limit) == 3.0
    layer(torch.full((1, 1, 2, 2), 5.0))
    assert float(layer.limit) == 4.0
    layer.eval()
    layer(torch.full((1, 1, 2, 2), 50.0))
    assert float(layer.limit) == 4.0


def test_without_quantisation_the_encoder_is_the_banks_with_the_same_weights() -> None:
    torch.manual_seed(0)
    plain, ours = Encoder(2, 4).eval(), QuantisedEncoder(2, 4).eval()
    missing = ours.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert {name.rsplit(".", 1)[1] for name in missing} == {"limit", "observed"}
    x = torch.randn(2, 2, 16, 24)
    levels, features = [], ours.begin(x)
    for index in range(4):
        level, features = ours.stage(index, features)
        levels.append(level)
    for own, other in zip(levels, plain(x), strict=True):
        torch.testing.assert_close(own, other)


def test_eight_bits_are_a_quarter_of_the_paper_flops_and_all_of_the_macs() -> None:
    class AtBits(torch.nn.Module):
        def __init__(self, bits: int) -> None:
            super().__init__()
            self.block, self.bits = QuantisedResidual(16), bits

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(x, self.bits)

    full, eight = count(AtBits(32), (1, 16, 8, 8)), count(AtBits(8), (1, 16, 8, 8))
    norms = 2 * 5 * 16 * 64
    assert full.macs == eight.macs == 2 * 16 * 16 * 9 * 64
    assert full.paper_flops == full.macs + norms
    assert eight.paper_flops == full.macs // 4 + norms
