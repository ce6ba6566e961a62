"""Slimmable layers and the network made of them."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.slimmable import (
    Active,
    Channels,
    Configuration,
    SlimmableBatchNorm2d,
    SlimmableConv2d,
    SlimmableConvTranspose2d,
    SlimmableLinear,
)
from DynamicSegLib.networks.slimmable_network import Slimmable, recalibrate, resized_size

HALF = Configuration(0.5)


@pytest.mark.parametrize(
    ("full", "width", "kept"),
    [
        (32, 0.25, 8),
        (128, 0.35, 48),  # 44.8: nearest multiple 48
        (32, 0.4, 16),  # 12.8: 16 is nearer than 8
        (16, 0.7, 16),  # 11.2: 8 is nearer, but below 90 % of it
        (24, 0.5, 16),  # 12 lies between 8 and 16: half up
        (8, 0.1, 8),  # never below one multiple
        (20, 1.0, 20),  # never above the full width, whatever the divisor
    ],
)
def test_channels_are_rounded_to_the_nearest_multiple_of_8_but_not_below_90_percent(
    full: int, width: float, kept: int
) -> None:
    assert Channels(full).at(width) == kept


def test_unscaled_channels_stay() -> None:
    assert Channels(3, scaled=False).at(0.25) == 3
    assert Channels(3, scaled=False).keep(torch.arange(3), 0.25).tolist() == [0, 1, 2]


def test_each_part_of_a_concatenation_keeps_its_own_first_channels() -> None:
    channels = Channels(8, divisor=1, parts=2)

    assert channels.at(0.5) == 4
    assert channels.keep(torch.arange(8), 0.5).tolist() == [0, 1, 4, 5]


def test_a_linear_layer_keeps_the_first_inputs_and_outputs() -> None:
    full = nn.Linear(4, 2)
    full.weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    full.bias.data = torch.tensor([10.0, 20.0])
    layer = SlimmableLinear(full, Channels(4, 1), Channels(2, 1), Active(HALF))

    # 1 * 1 + 2 * 1 + 10
    assert layer(torch.ones(1, 2)).tolist() == [[13.0]]


def test_a_convolution_keeps_the_first_inputs_and_outputs() -> None:
    full = nn.Conv2d(2, 2, 1)
    full.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[..., None, None]
    full.bias.data = torch.tensor([0.5, 7.0])
    active = Active()
    layer = SlimmableConv2d(full, Channels(2, 1), Channels(2, 1), active)
    x = torch.full((1, 1, 1, 1), 10.0)

    active.configuration = HALF
    assert layer(x).flatten().tolist() == [10.5]
    active.configuration = Configuration(1.0)
    assert layer(x.expand(1, 2, 1, 1)).flatten().tolist() == [30.5, 77.0]


def test_a_transposed_convolution_keeps_the_first_inputs_and_outputs() -> None:
    full = nn.ConvTranspose2d(2, 2, 2, stride=2, bias=False)
    full.weight.data = torch.arange(16.0).reshape(2, 2, 2, 2)
    layer = SlimmableConvTranspose2d(full, Channels(2, 1), Channels(2, 1), Active(HALF))

    assert layer(torch.full((1, 1, 1, 1), 2.0)).flatten().tolist() == [0.0, 2.0, 4.0, 6.0]


def test_a_depthwise_convolution_has_one_group_for_each_kept_channel() -> None:
    full = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
    layer = SlimmableConv2d(full, Channels(4, 1), Channels(4, 1), Active(HALF))
    x = torch.randn(1, 2, 5, 5)

    plain = layer.plain()

    assert plain.groups == 2
    assert tuple(plain.weight.shape) == (2, 1, 3, 3)
    torch.testing.assert_close(layer(x), full(torch.cat([x, x], 1))[:, :2])


def test_a_norm_without_statistics_is_a_clear_error() -> None:
    layer = SlimmableBatchNorm2d(nn.BatchNorm2d(4), Channels(4, 1), Active(Configuration(0.5, 96))).eval()

    with pytest.raises(BundleError, match=r"0\.50x-96"):
        layer(torch.zeros(1, 2, 2, 2))


def _tiny() -> Slimmable:
    """Two channels in, four (scaled) inside, one out, a norm between, weights all one."""
    network = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1, bias=False))
    for parameter in (network[0].weight, network[2].weight):
        nn.init.ones_(parameter)

    def rule(name: str, layer: nn.Module) -> tuple[Channels, Channels]:
        return Channels(2 if name == "0" else 4, 1, scaled=name != "0"), Channels(
            1 if name == "2" else 4, 1, scaled=name != "2"
        )

    return Slimmable(network, rule)


def test_recalibration_pools_all_pixels_of_all_batches() -> None:
    network = _tiny()
    # The first layer adds the two channels: values 0, 2 in one batch and 4, 6, 8 in the other.
    batches = [
        torch.tensor([[0.0, 2.0]]).reshape(1, 1, 1, 2).expand(1, 2, 1, 2) / 2,
        torch.tensor([[4.0, 6.0, 8.0]]).reshape(1, 1, 1, 3).expand(1, 2, 1, 3) / 2,
    ]

    recalibrate(network, HALF, iter(batches))

    ((_, norm),) = network.norms()
    mean, variance = norm.statistics["0.50x-whole"]
    # mean of 0 2 4 6 8, and of their squared distances 16 4 0 4 16
    assert mean.tolist() == pytest.approx([4.0, 4.0])
    assert variance.tolist() == pytest.approx([8.0, 8.0])


def test_each_configuration_has_its_own_statistics() -> None:
    network = _tiny().eval()
    ones, twos = torch.ones(1, 2, 2, 2), torch.full((1, 2, 2, 2), 2.0)
    recalibrate(network, Configuration(1.0), [0 * ones, ones])  # sums 0 and 2: mean 1, variance 1
    recalibrate(network, HALF, [0 * twos, twos])  # sums 0 and 4: mean 2, variance 4

    # (2 - 1) / 1 in 4 channels, (2 - 2) / 2 in 2 channels
    torch.testing.assert_close(network(ones), torch.full((1, 1, 2, 2), 4.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(network(ones, HALF), torch.zeros(1, 1, 2, 2), atol=1e-4, rtol=0)


def test_recalibration_leaves_the_mode_and_the_weights_as_they_were() -> None:
    network = _tiny().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    recalibrate(network, HALF, [torch.randn(2, 2, 4, 4)])

    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_in_training_a_norm_uses_the_batch() -> None:
    network = _tiny().train()
    x = torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2).expand(1, 2, 1, 2)

    # sums 2 and 6 become -1 and 1 in each of two channels
    torch.testing.assert_close(network(x, HALF).flatten(), torch.tensor([-2.0, 2.0]), atol=1e-4, rtol=0)


def test_the_gradient_of_a_narrow_configuration_reaches_its_own_channels_only() -> None:
    network = _tiny().train()

    network(torch.randn(2, 2, 4, 4), HALF).square().sum().backward()

    first = network.network[0].weight.grad
    assert first is not None
    assert first[2:].abs().sum() == 0
    last = network.network[2].weight.grad
    assert last is not None
    assert last[:, :2].abs().sum() > 0
    assert last[:, 2:].abs().sum() == 0


def test_the_plain_network_holds_nothing_slimmable_and_only_the_kept_channels() -> None:
    network = _tiny()
    recalibrate(network, HALF, [torch.randn(2, 2, 4, 4)])

    plain = network.plain(HALF)

    assert [type(layer).__name__ for layer in plain.children()] == ["Conv2d", "BatchNorm2d", "Conv2d"]
    assert [tuple(p.shape) for p in plain.parameters()] == [(2, 2, 1, 1), (2,), (2,), (1, 2, 1, 1)]


def test_changing_the_plain_network_leaves_the_slimmable_one_alone() -> None:
    network = _tiny()
    plain = network.plain(HALF)

    for parameter in plain.parameters():
        nn.init.zeros_(parameter)

    assert all(float(p.detach().max()) == 1 for name, p in network.named_parameters() if not name.endswith("bias"))


@pytest.mark.parametrize(
    ("size", "resolution", "inner"),
    [
        ((240, 240), None, (240, 240)),
        ((240, 240), 96, (96, 96)),
        ((240, 160), 120, (120, 80)),
        ((128, 128), 120, (64, 64)),
        ((100, 100), 120, (48, 48)),  # 50 is nearer to 48 than to 56
        ((104, 24), 120, (56, 16)),  # 52 and 12 lie half-way: up
        ((9, 9), 96, (8, 8)),
    ],
)
def test_a_resolution_scales_both_sides_alike_to_a_multiple_of_8(
    size: tuple[int, int], resolution: int | None, inner: tuple[int, int]
) -> None:
    assert resized_size(*size, resolution) == inner


def test_resizing_keeps_the_share_of_pixels_and_gives_logits_of_the_input_size() -> None:
    network = _tiny().train()
    seen = []
    network.network[0].register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape)))

    out = network(torch.randn(2, 2, 48, 32), Configuration(0.5, 120))

    assert seen == [(2, 2, 24, 16)]
    assert Fraction(24 * 16, 48 * 32) == Fraction(1, 4)
    assert out.shape == (2, 1, 48, 32)
