"""Names of files, series and nodes, and the modality they speak of."""

import pytest

from DynamicSegLib.naming import guess_modality, is_label_name

GLIOMA = ("flair", "t1ce", "t1", "t2")
NAMES = [
    ("BraTS2021_00003_flair.nii.gz", "flair"),
    ("BraTS2021_00003_t1ce.nii.gz", "t1ce"),
    ("BraTS2021_00003_t1.nii.gz", "t1"),
    ("BraTS2021_00003_t2.nii.gz", "t2"),
    ("BraTS-GLI-00002-000-t2f.nii.gz", "flair"),
    ("BraTS-GLI-00002-000-t1c.nii.gz", "t1ce"),
    ("BraTS-GLI-00002-000-t1n.nii.gz", "t1"),
    ("BraTS-GLI-00002-000-t2w.nii.gz", "t2"),
    ("T1w", "t1"),
    ("t1gd", "t1ce"),
    ("Ax T1 post GD", "t1ce"),
    ("Ax T1 w/ contrast", "t1ce"),
    ("T1 post GD no FS", "t1ce"),
    ("T1 pre contrast", "t1"),
    ("Ax T1 w/o contrast", "t1"),
    ("T1 non-contrast", "t1"),
    ("T1 without Gd", "t1"),
    ("T1 unenhanced, before contrast", "t1"),
    ("AX T2 FLAIR", "flair"),
    ("MRHead", None),
    ("case_t1_and_t2.nii", None),
    ("case_t1_seg.nii.gz", None),
]


@pytest.mark.parametrize(("name", "modality"), NAMES)
def test_the_usual_names_are_understood(name: str, modality: str | None) -> None:
    assert guess_modality(name, GLIOMA) == modality


def test_another_bundles_modality_is_found_by_its_own_name() -> None:
    assert guess_modality("liver_12 CT portal", ("ct",)) == "ct"
    assert guess_modality("t1.nii", ("ct",)) is None


def test_a_contrast_scan_is_t1_where_the_bundle_knows_no_t1ce() -> None:
    assert guess_modality("t1_post", ("t1",)) == "t1"


@pytest.mark.parametrize("name", ["a_seg.nii.gz", "brain mask.nrrd", "labels.mha"])
def test_labels_and_masks_are_no_images(name: str) -> None:
    assert is_label_name(name)
