"""Crop and paste."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from DynamicSegLib.networks.cropping import PositionNetwork, crop, paste

SIZE = (24, 40)


def image(n: int = 2, channels: int = 3) -> torch.Tensor:
    return torch.randn(n, channels, *SIZE, generator=torch.Generator().manual_seed(1))


def test_a_crop_off_the_centre_with_unequal_coordinates_is_exact() -> None:
    x = image()
    centre = torch.tensor([[4.0 + 3, 4.0 + 29], [4.0 + 11, 4.0 + 7]])
    found = crop(x, centre, 8)
    assert torch.equal(found[0], x[0, :, 3:11, 29:37])
    assert torch.equal(found[1], x[1, :, 11:19, 7:15])


def test_features_pasted_off_the_centre_with_unequal_coordinates_lie_exactly_where_they_were_cropped() -> None:
    x = image()
    centre = torch.tensor([[4.0 + 3, 4.0 + 29], [4.0 + 11, 4.0 + 7]])
    whole = paste(crop(x, centre, 8), centre, SIZE)
    expected = torch.zeros_like(x)
    expected[0, :, 3:11, 29:37] = x[0, :, 3:11, 29:37]
    expected[1, :, 11:19, 7:15] = x[1, :, 11:19, 7:15]
    assert torch.equal(whole, expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, SIZE[0] - 8), st.integers(0, SIZE[1] - 8))
def test_crop_and_paste_agree_at_every_whole_pixel(row: int, column: int) -> None:
    x, centre = image(1, 1), torch.tensor([[row + 4.0, column + 4.0]])
    whole = paste(crop(x, centre, 8), centre, SIZE)
    assert torch.equal(whole[..., row : row + 8, column : column + 8], x[..., row : row + 8, column : column + 8])
    assert whole.count_nonzero() <= 64


def test_between_pixels_neighbours_are_averaged() -> None:
    x = image(1)
    found = crop(x, torch.tensor([[4.0 + 3.5, 4.0 + 6.25]]), 8)
    rows = (x[..., 3:11, :] + x[..., 4:12, :]) / 2
    torch.testing.assert_close(found, 0.75 * rows[..., 6:14] + 0.25 * rows[..., 7:15])


@pytest.mark.parametrize("way", ["crop", "paste"])
def test_the_gradient_into_the_position_is_that_of_small_moves(way: str) -> None:
    x, weights = image(1).double(), image(1, 3).double()[..., :8, :8]

    def value(centre: torch.Tensor) -> torch.Tensor:
        if way == "crop":
            return (crop(x, centre, 8) * weights).sum()
        return (paste(weights, centre, SIZE) * x).sum()

    centre = torch.tensor([[9.3, 21.6]], requires_grad=True)
    value(centre).backward()
    assert centre.grad is not None
    for axis in range(2):
        step = torch.zeros(1, 2)
        step[0, axis] = 0.05
        small = (value(centre.detach() + step) - value(centre.detach() - step)) / 0.1
        assert float(centre.grad[0, axis]) == pytest.approx(float(small), rel=1e-2, abs=1e-3)
        assert abs(float(small)) > 0.1


def test_gradients_reach_the_features_and_the_position_network_through_crop_and_paste() -> None:
    torch.manual_seed(0)
    network = PositionNetwork(3, (8,))
    x, layer = image(), torch.nn.Conv2d(3, 3, 1)
    centre = network(x)[:, 0]
    paste(layer(crop(x, centre, 8)), centre, SIZE).square().sum().backward()
    for parameter in (*network.parameters(), *layer.parameters()):
        assert parameter.grad is not None
    assert network.backbone.classifier.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_predicted_crops_always_lie_inside_the_slice() -> None:
    torch.manual_seed(0)
    network = PositionNetwork(3, (8, 16)).eval()
    centres = network(image(5) * 50)
    assert centres.shape == (5, 2, 2)
    for place, size in enumerate((8, 16)):
        for axis in range(2):
            start = centres[:, place, axis] - size / 2
            assert torch.all(start >= 0)
            assert torch.all(start + size <= SIZE[axis])
