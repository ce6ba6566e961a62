"""Data sets on disk."""

import json
from pathlib import Path

import pytest

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.layouts import brats, brats_2023, decathlon, left_out, lits, patient_of, table

GLIOMA = ("flair", "t1ce", "t1", "t2")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_brats_folders_are_found_at_any_depth_with_their_folds(tmp_path: Path) -> None:
    for case in ("HGG/Brats18_1", "LGG/Brats18_2"):
        name = Path(case).name
        touch(*(tmp_path / case / f"{name}_{what}.nii.gz" for what in (*GLIOMA, "seg")))
    (tmp_path / "cases.csv").write_text("case,fold\nBrats18_2,3\n", encoding="utf-8")
    cases = brats(tmp_path, GLIOMA)
    assert [(case.name, case.fold) for case in cases] == [("Brats18_1", None), ("Brats18_2", 3)]
    assert cases[0].label == tmp_path / "HGG/Brats18_1/Brats18_1_seg.nii.gz"
    assert cases[0].same_labels == {}


def test_scans_of_one_brats_2023_patient_share_the_patient(tmp_path: Path) -> None:
    for scan in ("000", "001"):
        name = f"BraTS-GLI-00012-{scan}"
        touch(*(tmp_path / name / f"{name}-{what}.nii.gz" for what in ("t2f", "t1c", "t1n", "t2w", "seg")))
    cases = brats_2023(tmp_path, GLIOMA)
    assert {case.patient for case in cases} == {"BraTS-GLI-00012"}
    assert cases[0].same_labels == {3: 4}


def test_names_of_earlier_years_are_their_own_patient() -> None:
    assert patient_of("BraTS2021_00002") == "BraTS2021_00002"
    assert patient_of("BraTS20_Training_001") == "BraTS20_Training_001"


def test_the_decathlon_is_read_from_its_description(tmp_path: Path) -> None:
    content = {
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    (case,) = decathlon(tmp_path, GLIOMA)
    assert case.name == "BRATS_001"
    assert case.folder == tmp_path / "imagesTr/BRATS_001.nii.gz"
    assert case.same_labels == {1: 2, 2: 1, 3: 4}


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("[]", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"dataset\.json cannot be read"):
        decathlon(tmp_path, GLIOMA)


def test_lits_volumes_meet_their_segmentations_in_order_of_number(tmp_path: Path) -> None:
    for number in (10, 2):
        touch(tmp_path / f"volume-{number}.nii", tmp_path / f"segmentation-{number}.nii")
    cases = lits(tmp_path, ("ct",))
    assert [case.name for case in cases] == ["volume-2", "volume-10"]
    assert cases[0].label == tmp_path / "segmentation-2.nii"
    assert cases[0].images == {"ct": tmp_path / "volume-2.nii"}


def test_a_volume_without_segmentation_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "volume-0.nii")
    with pytest.raises(TrainingError, match=r"segmentation-0\.nii does not exist"):
        lits(tmp_path, ("ct",))


def test_a_table_of_paths_is_relative_to_itself(tmp_path: Path) -> None:
    touch(tmp_path / "x.nii", tmp_path / "y.nii")
    (tmp_path / "list.csv").write_text("case,ct,label,patient,fold\na,x.nii,y.nii,p,1\n", encoding="utf-8")
    (case,) = table(tmp_path / "list.csv", ("ct",))
    assert (case.name, case.patient, case.fold) == ("a", "p", 1)
    assert case.images == {"ct": tmp_path / "x.nii"}


def test_a_table_without_a_modality_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("case,label\na,y.nii\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="no column 'ct'"):
        table(tmp_path / "list.csv", ("ct",))


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected folders with"):
        brats(tmp_path, GLIOMA)


def test_folders_whose_label_file_is_not_recognised_are_told(tmp_path: Path) -> None:
    for name, label in (("one", "one_seg"), ("BraTS20_Training_355", "W39_1998.09.19_Segm")):
        touch(*(tmp_path / name / f"{what}.nii.gz" for what in (f"{name}_flair", label)))
    cases = brats(tmp_path, GLIOMA)
    assert [case.name for case in cases] == ["one"]
    assert left_out(tmp_path, cases) == [tmp_path / "BraTS20_Training_355"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"case,ct,label\na,x.nii\n", "Row 1 of the table .* more or fewer values"),
        (b"case,ct,label\na,x.nii,x.nii,x.nii\n", "Row 1 of the table .* more or fewer values"),
        (b"case,ct,label\na,,x.nii\n", "Row 1 of the table .* has no ct"),
        (b"case,ct,label,fold\na,x.nii,x.nii,first\n", "Case a of .* has fold 'first': expected a whole number"),
        (b"\xff\xfec\x00", "cannot be read as CSV in UTF-8"),
    ],
)
def test_a_table_that_is_none_is_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    touch(tmp_path / "x.nii")
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        table(tmp_path / "list.csv", ("ct",))
