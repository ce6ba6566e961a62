"""Augmentation of whole batches."""

import pytest
import torch

from DynamicSegLib.training.augmentation import Augmentation, Draws, augment, decode
from DynamicSegLib.training.mixing import carve_mix
from DynamicSegLib.training.sampling import CodedBatch

CPU = torch.device("cpu")
STILL = Augmentation(mirror=0.0, intensity_scale=0.0, intensity_shift=0.0)


def batch_of(rows: int = 12, columns: int = 10, n: int = 2) -> CodedBatch:
    """Two modalities of increasing codes, one square of class 1, a margin of nothing."""
    planes = torch.zeros(n, 3, rows, columns, dtype=torch.uint8)
    values = torch.arange((rows - 2) * (columns - 2)).reshape(rows - 2, columns - 2) + 1
    planes[:, 0, 1:-1, 1:-1] = values.to(torch.uint8)
    planes[:, 1, 1:-1, 1:-1] = (values + 50).to(torch.uint8)
    planes[:, 2, 3:6, 4:7] = 1
    return CodedBatch(planes, torch.tensor([[-1.0, 0.0]] * n), torch.tensor([[0.5, 0.25]] * n))


def draws(seed: int = 0) -> Draws:
    return Draws.seeded(seed, CPU)


def test_codes_become_intensities_and_nothing_stays_nothing() -> None:
    images, classes = decode(batch_of())
    assert images[0, 0, 1, 1] == -1.0 + 0.5
    assert images[0, 1, 1, 1] == 51 * 0.25
    assert not images[:, :, 0].any()
    assert classes.sum() == 2 * 9


def test_without_options_the_batch_comes_back() -> None:
    batch = batch_of()
    images, classes = augment(batch, STILL, (12, 10), draws())
    torch.testing.assert_close(images, decode(batch)[0], atol=1e-4, rtol=1e-4)
    assert torch.equal(classes, batch.planes[:, 2].long())


def test_neighbours_are_changed_as_their_slice_is() -> None:
    batch = batch_of()
    seen = torch.cat([batch.planes[:, :2], batch.planes[:, :2], batch.planes[:, 2:]], dim=1)
    options = Augmentation(
        rotate_degrees=30, scale=0.2, spatial_probability=1, elastic_pixels=2, elastic_probability=1, gamma=0.5,
        gamma_probability=1, bias_field=0.3, bias_field_probability=1, blur_pixels=1.0, blur_probability=1,
        intensity_scale=0.2, intensity_shift=0.3, modality_dropout=0.5,
    )  # fmt: skip
    images, classes = augment(batch._replace(planes=seen), options, (16, 16), draws())
    torch.testing.assert_close(images[:, :2], images[:, 2:])
    alone, same = augment(batch, options, (16, 16), draws())
    torch.testing.assert_close(images[:, :2], alone)
    assert torch.equal(classes, same)


def test_mirroring_both_axes_turns_by_half() -> None:
    batch = batch_of()
    images, classes = augment(batch, Augmentation(mirror=1.0, intensity_scale=0, intensity_shift=0), (12, 10), draws())
    torch.testing.assert_close(images, decode(batch)[0].flip(2, 3), atol=1e-4, rtol=1e-4)
    assert torch.equal(classes, batch.planes[:, 2].long().flip(1, 2))


def test_a_quarter_turn_moves_rows_to_columns() -> None:
    batch = batch_of(12, 12)
    quarter = Augmentation(
        mirror=0.0, intensity_scale=0.0, intensity_shift=0.0, rotate_degrees=90.0, spatial_probability=1.0
    )

    class Always(Draws):
        def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
            return torch.full(shape, high)

        def chosen(self, count: int, probability: float) -> torch.Tensor:
            return torch.full((count,), probability >= 1)

    _, classes = augment(batch, quarter, (12, 12), Always(torch.Generator(), CPU))
    expected = {torch.rot90(batch.planes[0, 2].long(), k).numpy().tobytes() for k in (1, 3)}
    assert classes[0].numpy().tobytes() in expected


def test_a_crop_lies_inside_the_canvas() -> None:
    batch = batch_of(16, 16, n=16)
    images, _ = augment(batch, STILL, (8, 8), draws())
    # Only the outermost ring of the canvas is empty, so a crop has at most one empty row and column.
    assert ((images[:, 0] == 0).sum(dim=(1, 2)) <= 15).all()


def test_a_crop_larger_than_the_canvas_is_centred_with_zeros_around() -> None:
    batch = batch_of()
    images, classes = augment(batch, STILL, (16, 14), draws())
    torch.testing.assert_close(images[:, :, 2:14, 2:12], decode(batch)[0], atol=1e-4, rtol=1e-4)
    assert classes.sum() == 2 * 9


@pytest.mark.parametrize(
    "options",
    [
        Augmentation(gamma=0.5, gamma_probability=1.0),
        Augmentation(bias_field=0.5, bias_field_probability=1.0),
        Augmentation(blur_pixels=1.5, blur_probability=1.0),
        Augmentation(noise=0.5, noise_probability=1.0),
    ],
)
def test_intensity_changes_stay_inside_the_head_and_are_reproducible(options: Augmentation) -> None:
    batch = batch_of(n=4)
    first, classes = augment(batch, options, (12, 10), draws(3))
    second, _ = augment(batch, options, (12, 10), draws(3))
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()
    assert not first[:, :, 0].any() and not first[:, :, :, -1].any()
    assert classes.sum() == 4 * 9
    assert not torch.allclose(first, augment(batch, STILL, (12, 10), draws(3))[0], atol=0.01)


def test_gamma_keeps_the_order_of_intensities() -> None:
    batch = batch_of(n=1)
    options = Augmentation(mirror=0, intensity_scale=0, intensity_shift=0, gamma=0.5, gamma_probability=1.0)
    images, _ = augment(batch, options, (12, 10), draws(1))
    inside = images[0, 1, 1:-1, 1:-1].flatten()
    assert (inside.diff() > 0).all()


def test_dropping_all_modalities_leaves_nothing() -> None:
    images, _ = augment(batch_of(), Augmentation(modality_dropout=1.0), (12, 10), draws())
    assert not images.any()


def test_a_carved_tumour_arrives_with_its_margin_and_its_labels() -> None:
    images = torch.ones(2, 1, 9, 9)
    images[1] = 5
    classes = torch.zeros(2, 1, 9, 9)
    classes[1, 0, 4, 4] = 2
    mixed, labels = carve_mix(images, classes, torch.tensor([True, False]), margin=1)
    assert (mixed[0] == 5).sum() == 9
    assert labels[0, 0, 4, 4] == 2 and labels[0].sum() == 2
    assert torch.equal(mixed[1], images[1]) and torch.equal(labels[1], classes[1])


def test_nothing_is_pasted_outside_the_receiving_head() -> None:
    images = torch.ones(2, 1, 9, 9)
    images[0, :, :, 4:] = 0
    classes = torch.zeros(2, 1, 9, 9)
    classes[1, 0, :, :] = 1
    mixed, labels = carve_mix(images, classes, torch.tensor([True, False]), margin=0)
    assert not mixed[0, :, :, 4:].any()
    assert labels[0].sum() == 9 * 4
