"""Reading: formats, the usual folder layouts, and one clear error where something is amiss."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.errors import InputError
from DynamicSegLib.reading import DECATHLON_ORDER, read_case, read_volume

GLIOMA = ("flair", "t1ce", "t1", "t2")
BRATS_2021 = {name: f"case_{name}.nii.gz" for name in GLIOMA}
BRATS_2023 = {"flair": "x-t2f.nii.gz", "t1ce": "x-t1c.nii.gz", "t1": "x-t1n.nii.gz", "t2": "x-t2w.nii.gz"}


def volume(value: int) -> sitk.Image:
    array = np.full((5, 6, 7), value, np.int16)
    array[1, 2, 3] = 100 + value
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.5, 2.0))
    image.SetOrigin((3.0, -4.0, 5.0))
    return image


def write_case(folder: Path, names: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(GLIOMA):
        sitk.WriteImage(volume(index + 1), str(folder / names[name]))
    sitk.WriteImage(volume(9), str(folder / "case_seg.nii.gz"))
    return folder


def write_dicom(folder: Path, image: sitk.Image, description: str, uid: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetSize()[2]):
        piece = image[:, :, k]
        for tag, value in {
            "0008|0060": "MR",
            "0008|103e": description,
            "0020|000e": uid,
            "0020|000d": "1.2.3",
            "0020|0032": "\\".join(str(x) for x in image.TransformIndexToPhysicalPoint((0, 0, k))),
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(k),
            "0008|0018": f"{uid}.{k + 1}",
            "0018|0050": str(image.GetSpacing()[2]),
        }.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}-{k}.dcm"))
        writer.Execute(piece)


def values(images: dict[str, sitk.Image]) -> dict[str, int]:
    return {name: int(sitk.GetArrayFromImage(image).min()) for name, image in images.items()}


@pytest.mark.parametrize("names", [BRATS_2021, BRATS_2023], ids=["BraTS 2018-2021", "BraTS 2023"])
def test_a_folder_is_recognised_by_its_names(tmp_path: Path, names: dict[str, str]) -> None:
    images = read_case(write_case(tmp_path / "case", names), GLIOMA)
    assert list(images) == list(GLIOMA)
    assert values(images) == {"flair": 1, "t1ce": 2, "t1": 3, "t2": 4}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_each_format_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(volume(4), str(path))
    image = read_volume(path)
    assert image.GetSpacing() == (1.0, 1.5, 2.0) and image.GetOrigin() == pytest.approx((3.0, -4.0, 5.0))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(volume(4)))


def test_a_dicom_series_is_read_in_its_place(tmp_path: Path) -> None:
    write_dicom(tmp_path / "series", volume(4), "Ax T2", "1.2.3.4")
    image = read_volume(tmp_path / "series")
    assert image.GetSpacing() == pytest.approx((1.0, 1.5, 2.0)) and image.GetOrigin() == pytest.approx((3.0, -4.0, 5.0))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(volume(4)))


@pytest.mark.parametrize("flat", [True, False], ids=["one folder", "a folder a series"])
def test_a_dicom_study_is_recognised_by_its_descriptions(tmp_path: Path, flat: bool) -> None:
    for index, description in enumerate(("AX T2 FLAIR", "Ax T1 post GD", "Ax T1", "Ax T2")):
        folder = tmp_path / ("study" if flat else f"study/series{index}")
        write_dicom(folder, volume(index + 1), description, f"1.2.3.{index + 4}")
    assert values(read_case(tmp_path / "study", GLIOMA)) == {"flair": 1, "t1ce": 2, "t1": 3, "t2": 4}


def test_several_series_in_one_folder_are_not_guessed_between(tmp_path: Path) -> None:
    for index in range(2):
        write_dicom(tmp_path, volume(index), "Ax T2", f"1.2.3.{index + 4}")
    with pytest.raises(InputError, match="2 DICOM series where one was expected"):
        read_volume(tmp_path)


def test_a_file_of_a_dicom_series_stands_for_all_of_it(tmp_path: Path) -> None:
    for number in (1, 2):
        write_dicom(tmp_path, volume(number), "Ax T2", f"1.2.3.{number}")
    found = read_volume(tmp_path / "1.2.3.2-0.dcm")
    assert found.GetSize() == volume(2).GetSize() and sitk.GetArrayFromImage(found).min() == 2


def test_reading_a_folder_without_series_says_nothing_of_itks_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="t1ce"):
        read_case(tmp_path, GLIOMA)
    assert capfd.readouterr() == ("", "")


def test_a_series_with_a_missing_slice_is_refused(tmp_path: Path) -> None:
    image = volume(1)
    write_dicom(tmp_path / "whole", image, "Ax T2", "1.2.3.4")
    read_volume(tmp_path / "whole")
    write_dicom(tmp_path / "gap", image, "Ax T2", "1.2.3.5")
    (tmp_path / "gap" / "1.2.3.5-2.dcm").unlink()
    with pytest.raises(InputError, match=r"slices at unequal distances \(2\.00 to 4\.00 mm\)"):
        read_volume(tmp_path / "gap")


@pytest.mark.parametrize("described", [True, False], ids=["dataset.json", "the Decathlon's order"])
def test_the_decathlons_four_d_file_is_split_in_its_own_order(tmp_path: Path, described: bool) -> None:
    stack = sitk.JoinSeries([volume(1), volume(2), volume(3), volume(4)])
    (tmp_path / "imagesTr").mkdir()
    path = tmp_path / "imagesTr" / "BRATS_001.nii.gz"
    sitk.WriteImage(stack, str(path))
    order = ("t2", "flair", "t1", "t1ce") if described else DECATHLON_ORDER
    if described:
        modality = {"0": "T2w", "1": "FLAIR", "2": "T1w", "3": "t1gd"}
        (tmp_path / "dataset.json").write_text(json.dumps({"modality": modality}))
    assert values(read_case(path, GLIOMA)) == {name: order.index(name) + 1 for name in GLIOMA}


def test_a_relative_four_d_file_finds_its_dataset_json_and_a_broken_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imagesTr").mkdir()
    stack = sitk.JoinSeries([volume(1), volume(2), volume(3), volume(4)])
    sitk.WriteImage(stack, str(tmp_path / "imagesTr" / "case.nii.gz"))
    description = tmp_path / "dataset.json"
    description.write_text(json.dumps({"modality": {"0": "T2w", "1": "FLAIR", "2": "T1w", "3": "t1gd"}}))
    monkeypatch.chdir(tmp_path / "imagesTr")
    assert values(read_case("case.nii.gz", GLIOMA))["t2"] == 1
    for text in ("{", '{"modality": {"first": "T2w"}}', "[]"):
        description.write_text(text)
        with pytest.raises(InputError, match=r"dataset\.json does not say which volume is which"):
            read_case("case.nii.gz", GLIOMA)


def test_named_volumes_win_over_the_folder(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case", BRATS_2021)
    sitk.WriteImage(volume(50), str(tmp_path / "other.nrrd"))
    assert values(read_case(case, GLIOMA, {"t2": tmp_path / "other.nrrd"}))["t2"] == 50


def test_a_missing_modality_is_named_with_the_way_out(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case", BRATS_2021)
    (case / "case_t1ce.nii.gz").unlink()
    with pytest.raises(InputError, match=r"t1ce not found in .*--volume t1ce=FILE"):
        read_case(case, GLIOMA)


def test_two_files_of_one_modality_are_not_guessed_between(tmp_path: Path) -> None:
    case = write_case(tmp_path / "case", BRATS_2021)
    sitk.WriteImage(volume(1), str(case / "second_t2.nii.gz"))
    with pytest.raises(InputError, match=r"both look like t2.*--volume t2=FILE"):
        read_case(case, GLIOMA)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(b"\x1f\x8b not really")
    with pytest.raises(InputError, match=r"scan\.nii\.gz is damaged \(Unknown compression method\)"):
        read_volume(path)


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_volume(tmp_path / "nothing.nii")
    with pytest.raises(InputError, match="does not exist"):
        read_case(tmp_path / "nothing", GLIOMA)


def test_a_volume_the_bundle_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'pet' is not one of this bundle's modalities"):
        read_case(tmp_path, GLIOMA, {"pet": tmp_path / "pet.nii"})


def test_threads_that_read_wait_for_each_other_since_itk_keeps_a_file_name_that_all_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = write_case(tmp_path / "case", BRATS_2021)
    free, alone = threading.Semaphore(1), []

    def slow_read(path: str) -> sitk.Image:
        alone.append(free.acquire(blocking=False))
        time.sleep(0.02)
        free.release()
        return volume(1)

    monkeypatch.setattr(sitk, "ReadImage", slow_read)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: read_case(case, GLIOMA), range(2)))

    assert alone == [True] * 8
