"""ShuffleNetV2 with its widths as arguments."""

import torch

from DynamicSegLib.cost import count
from DynamicSegLib.networks.shufflenet import ShuffleDownUnit, ShuffleNetV2, ShuffleUnit


def test_shufflenet_v2_m_costs_what_the_paper_says_for_one_window() -> None:
    cost = count(ShuffleNetV2(in_channels=4, classes=5), (1, 4, 128, 128))

    assert cost.macs == 4_083_200
    assert cost.parameters == 66_220


def test_even_channels_pass_a_unit_and_come_first() -> None:
    unit, x = ShuffleUnit(6).eval(), torch.randn(2, 6, 4, 4)

    y = unit(x)

    assert torch.equal(y[:, :3], x[:, [0, 2, 4]])
    torch.testing.assert_close(y[:, 3:], unit.main(x[:, [1, 3, 5]]))


def test_a_down_unit_projects_its_input_at_its_own_width() -> None:
    unit, x = ShuffleDownUnit(6, 20).eval(), torch.randn(1, 6, 7, 9)

    y = unit(x)

    assert y.shape == (1, 20, 4, 5)
    torch.testing.assert_close(y[:, :6], unit.projection(x))


def test_widths_and_repeats_are_arguments() -> None:
    network = ShuffleNetV2(in_channels=1, classes=2, widths=(4, 8, 16, 32, 10), repeats=(1, 2, 1)).eval()

    assert network.features(torch.randn(3, 1, 64, 64)).shape == (3, 10)
    assert len(network.units) == 4
    assert network(torch.randn(3, 1, 64, 64)).shape == (3, 2)
