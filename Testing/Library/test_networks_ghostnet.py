"""GhostNet with squeeze-and-excite."""

import pytest
import torch

from DynamicSegLib.networks.ghostnet import GhostModule, GhostNet, SqueezeExcite, _round_channels


@pytest.mark.parametrize(("asked", "given"), [(8, 8), (9, 12), (15, 16), (92, 92), (1, 4), (13, 12)])
def test_channels_round_to_multiples_of_4_without_losing_a_tenth(asked: float, given: int) -> None:
    assert _round_channels(asked) == given


def test_the_second_half_of_a_ghost_module_is_computed_from_the_first() -> None:
    module = GhostModule(3, 8, relu=True).eval()

    y = module(torch.randn(1, 3, 5, 5))

    torch.testing.assert_close(y[:, 4:], module.cheap(y[:, :4]))


def test_an_odd_number_of_ghost_channels_is_cut_to_size() -> None:
    assert GhostModule(3, 7, relu=False).eval()(torch.randn(1, 3, 5, 5)).shape == (1, 7, 5, 5)


def test_squeeze_and_excite_scales_whole_channels() -> None:
    x = torch.rand(1, 8, 4, 4) + 0.5

    scale = SqueezeExcite(8)(x) / x

    torch.testing.assert_close(scale, scale[:, :, :1, :1].expand_as(scale))
    assert ((scale >= 0) & (scale <= 1)).all()


def test_the_width_is_an_argument() -> None:
    narrow, wide = (GhostNet(width=width) for width in (0.5, 1.0))

    assert sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in wide.parameters()) / 2
    assert narrow.eval()(torch.randn(1, 4, 64, 64)).shape == (1, 5)
