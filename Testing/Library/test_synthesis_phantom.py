"""Phantoms: geometry, labels and contrasts of whole cases."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.errors import InputError
from DynamicSegLib.synthesis import MODALITIES, SMALL_SLICES, make_phantom, phantom_arrays, write_phantom

SLICES = 24
SEEDS = (0, 7, 8)


@pytest.fixture(scope="module")
def cases() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    return {seed: phantom_arrays(seed, SLICES) for seed in SEEDS}


def z_scored(volume: np.ndarray) -> np.ndarray:
    inside = volume[volume > 0].astype(np.float64)
    return (volume - inside.mean()) / inside.std()


def test_one_seed_always_gives_the_same_case_and_another_seed_another(
    cases: dict[int, tuple[np.ndarray, np.ndarray]],
) -> None:
    volumes, labels = phantom_arrays(7, SLICES)
    assert np.array_equal(volumes, cases[7][0])
    assert np.array_equal(labels, cases[7][1])
    assert not np.array_equal(volumes, cases[8][0])


def test_images_lie_as_brats_cases_do() -> None:
    phantom = make_phantom(0, SMALL_SLICES)
    assert tuple(phantom.images) == MODALITIES
    for image in (*phantom.images.values(), phantom.labels):
        assert image.GetSize() == (240, 240, 48)
        assert image.GetSpacing() == (1.0, 1.0, 3.0)
        assert image.GetOrigin()[:2] == (0.0, -239.0)
        assert image.GetDirection() == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    assert all(image.GetPixelID() == sitk.sitkInt16 for image in phantom.images.values())
    assert phantom.labels.GetPixelID() == sitk.sitkUInt8


def test_fewer_slices_show_the_same_head() -> None:
    _, thin = phantom_arrays(8, 51)
    _, thick = phantom_arrays(8, 17)
    # 51 slices of 3 mm start at 1 + 1 mm, 17 of 9 mm at 1 + 4 mm: every third thin slice is a thick one's centre.
    same = thin[1::3]
    overlap = 2 * np.sum((same > 0) & (thick > 0)) / (np.sum(same > 0) + np.sum(thick > 0))
    assert overlap > 0.98


def test_all_modalities_share_one_brain_of_a_head_s_size(cases: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    for volumes, labels in cases.values():
        brain = volumes[0] > 0
        assert all(np.array_equal(volume > 0, brain) for volume in volumes)
        assert not np.any(labels[~brain])
        millilitres = brain.sum() * (155 // SLICES) / 1000
        assert 1000 < millilitres < 1800


def test_labels_are_those_of_brats_and_some_slices_hold_none(cases: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    for _, labels in cases.values():
        assert set(np.unique(labels)) <= {0, 1, 2, 4}
        with_tumour = np.any(labels > 0, axis=(1, 2))
        assert 2 <= with_tumour.sum() < SLICES


def test_the_sample_shows_every_label(cases: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    assert set(np.unique(cases[0][1])) == {0, 1, 2, 4}


def test_lesions_look_in_each_modality_as_they_should(cases: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    volumes, labels = cases[0]
    flair, t1ce, t1, t2 = (z_scored(volume) for volume in volumes)
    brain = volumes[0] > 0
    normal, necrosis, oedema, enhancing = (brain & (labels == value) for value in (0, 1, 2, 4))
    assert flair[oedema].mean() > flair[normal].mean() + 1
    assert t2[oedema].mean() > t2[normal].mean() + 0.4
    assert t1ce[enhancing].mean() > t1ce[normal].mean() + 1
    assert t1ce[enhancing].mean() > t1ce[oedema].mean() + 1
    assert t1[enhancing].mean() < t1[normal].mean() + 0.8
    assert t1ce[necrosis].mean() < t1ce[enhancing].mean() - 1
    assert t2[necrosis].mean() > t2[normal].mean() + 1


def test_fluid_is_dark_on_t1_and_flair_and_bright_on_t2(cases: dict[int, tuple[np.ndarray, np.ndarray]]) -> None:
    volumes, labels = cases[7]
    flair, _, t1, t2 = (z_scored(volume) for volume in volumes)
    fluid = (volumes[0] > 0) & (labels == 0) & (t2 > 2.5)
    assert fluid.sum() > 500
    assert np.median(flair[fluid]) < -1
    assert np.median(t1[fluid]) < -1


def test_many_seeds_all_hold_a_tumour_core_and_oedema() -> None:
    for seed in range(100, 106):
        _, labels = phantom_arrays(seed, 16)
        assert np.any(np.isin(labels, (1, 4))), seed
        assert np.any(labels == 2), seed


def test_a_written_phantom_reads_back_unchanged(tmp_path: Path) -> None:
    phantom = make_phantom(3, 5)
    case = write_phantom(tmp_path, "phantom", phantom)
    assert sorted(path.name for path in case.iterdir()) == sorted(
        f"phantom_{suffix}.nii.gz" for suffix in (*MODALITIES, "seg")
    )
    for suffix, image in (*phantom.images.items(), ("seg", phantom.labels)):
        read = sitk.ReadImage(str(case / f"phantom_{suffix}.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
        assert read.GetOrigin() == pytest.approx(image.GetOrigin())
        assert read.GetDirection() == pytest.approx(image.GetDirection())


@pytest.mark.parametrize(("seed", "slices", "value"), [(0, 0, "0 slices"), (0, 156, "156 slices"), (-1, 5, "-1")])
def test_what_cannot_be_made_is_refused_with_the_value(seed: int, slices: int, value: str) -> None:
    with pytest.raises(InputError, match=value):
        make_phantom(seed, slices)
