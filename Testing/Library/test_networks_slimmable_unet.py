"""The slimmable UNet and its configurations as plain networks."""

from itertools import product

import pytest
import torch

from DynamicSegLib.cost import count
from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_network import Slimmable, recalibrate
from DynamicSegLib.networks.slimmable_unet import (
    RESOLUTIONS,
    WIDTHS,
    SlimmableUNet2DConfiguration,
    slimmable_unet2d,
)
from DynamicSegLib.networks.unet import UNet2D


def _trained(configurations: list[Configuration], base: int = 8) -> Slimmable:
    """A slimmable network with weights and norm statistics that are far from their initial values."""
    torch.manual_seed(0)
    network = slimmable_unet2d(base=base)
    for _, norm in network.norms():
        torch.nn.init.normal_(norm.weight, 1.0, 0.3)
        torch.nn.init.normal_(norm.bias, 0.0, 0.3)
    for configuration in configurations:
        recalibrate(network, configuration, [torch.randn(2, 4, 32, 32)])
    return network.eval()


def test_there_are_16_widths_from_a_quarter_to_one() -> None:
    assert len(WIDTHS) == 16
    assert (WIDTHS[0], WIDTHS[1], WIDTHS[-1]) == (0.25, 0.3, 1.0)


def test_every_configuration_is_a_plain_network_of_the_same_output() -> None:
    configurations = [Configuration(*pair) for pair in product((0.25, 0.35, 0.6, 0.85, 1.0), (96, 144, None))]
    network = _trained(configurations)
    shared = network.shared_state(tuple(configurations))
    x = torch.randn(2, 4, 48, 32)

    for configuration in configurations:
        plain = SlimmableUNet2DConfiguration(base=8, width=configuration.width, resolution=configuration.resolution)
        plain.load_state_dict(plain.weights_from(shared))
        with torch.no_grad():
            torch.testing.assert_close(plain.eval()(x), network(x, configuration), atol=1e-5, rtol=1e-4)


def test_full_width_is_the_unet_parameter_for_parameter() -> None:
    torch.manual_seed(0)
    unet, x = UNet2D(base=4, dropout=0.0), torch.randn(2, 4, 16, 16)
    network = slimmable_unet2d(base=4, dropout=0.0)
    network.network.load_state_dict(unet.state_dict(), strict=False)

    assert [name for name, _ in network.network.named_parameters()] == [name for name, _ in unet.named_parameters()]
    # In training mode both normalise by the batch.
    torch.testing.assert_close(network.train()(x), unet.train()(x))


def test_half_width_costs_what_a_unet_of_half_the_base_costs() -> None:
    assert count(SlimmableUNet2DConfiguration(width=0.5), (1, 4, 48, 48)) == count(UNet2D(base=8), (1, 4, 48, 48))


def test_full_width_costs_what_m2_costs() -> None:
    assert count(SlimmableUNet2DConfiguration(), (1, 4, 240, 240)).macs == 3_575_808_000


def test_every_width_and_every_resolution_costs_more_than_the_one_below() -> None:
    by_width = [count(SlimmableUNet2DConfiguration(width=width), (1, 4, 240, 240)).macs for width in WIDTHS]
    by_resolution = [
        count(SlimmableUNet2DConfiguration(width=0.25, resolution=resolution), (1, 4, 240, 240)).macs
        for resolution in RESOLUTIONS
    ]

    assert by_width == sorted(set(by_width))
    assert by_resolution == sorted(set(by_resolution))


def test_half_the_resolution_costs_a_quarter() -> None:
    whole = count(SlimmableUNet2DConfiguration(width=0.5), (1, 4, 240, 240))
    half = count(SlimmableUNet2DConfiguration(width=0.5, resolution=120), (1, 4, 240, 240))

    assert 4 * half.macs == whole.macs


def test_the_file_of_all_configurations_is_far_below_8_megabytes() -> None:
    configurations = [Configuration(*pair) for pair in product(WIDTHS, RESOLUTIONS)]
    network = slimmable_unet2d()
    for configuration in configurations:
        for _, norm in network.norms():
            kept = norm.channels.at(configuration.width)
            norm.statistics[configuration.name] = (torch.zeros(kept), torch.ones(kept))
    state = network.shared_state(tuple(configurations))

    weights = sum(t.numel() for name, t in state.items() if not name.startswith("statistics/"))
    statistics = sum(t.numel() for name, t in state.items() if name.startswith("statistics/"))

    # weights at 16 bits, statistics at 32
    assert weights == 1_611_332
    assert 2 * weights + 4 * statistics < 5e6


def test_a_configuration_without_statistics_is_a_clear_error() -> None:
    network = _trained([Configuration(0.5)])
    shared = network.shared_state((Configuration(0.5),))

    with pytest.raises(BundleError, match=r"0\.25x-96"):
        SlimmableUNet2DConfiguration(base=8, width=0.25, resolution=96).weights_from(shared)


def test_weights_of_another_base_are_a_clear_error() -> None:
    shared = _trained([Configuration()]).shared_state((Configuration(),))

    with pytest.raises(BundleError, match="do not fit"):
        SlimmableUNet2DConfiguration(base=16).weights_from(shared)


@pytest.mark.parametrize("arguments", [{"width": 0.0}, {"width": 1.2}, {"resolution": 4}])
def test_a_width_or_resolution_out_of_range_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"width|resolution"):
        SlimmableUNet2DConfiguration(**arguments)  # type: ignore[arg-type]
