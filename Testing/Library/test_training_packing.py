"""From scans to the slice cache."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.bundle import Label
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.study import InputSpec
from DynamicSegLib.training.layouts import LabelledCase, table
from DynamicSegLib.training.packing import assign_folds, pack_cases
from DynamicSegLib.training.task import GLIOMA, Task, read_task
from Testing.Library.training_cases import tiny_arrays

TASK = Task(
    "squares",
    InputSpec(("a", "b"), size=(24, 24)),
    (Label(10, "outer", (255, 0, 0)), Label(20, "inner", (0, 255, 0))),
    {"whole": (10, 20)},
)


SCRIPTED = "case,a,b,label\none,one_a.nii.gz,one_b.nii.gz,one_label.nii.gz\n"


def one_case(folder: Path, change: Callable[[np.ndarray], np.ndarray] = np.asarray) -> list[LabelledCase]:
    """The scans of one case whose labels went through `change`."""
    write_scans(folder, "one", 0)
    path = str(folder / "one_label.nii.gz")
    before = sitk.ReadImage(path)
    after = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(before)))
    after.CopyInformation(before)
    sitk.WriteImage(after, path)
    (folder / "list.csv").write_text(SCRIPTED, encoding="utf-8")
    return table(folder / "list.csv", ("a", "b"))


def write_scans(folder: Path, case: str, seed: int) -> np.ndarray:
    """Files of one case, stored from posterior to anterior; returns the classes in the library's order."""
    volumes, classes = tiny_arrays(seed)
    for name, array in (("a", volumes[0]), ("b", volumes[1]), ("label", classes.astype(np.uint8) * 10)):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array[:, ::-1]))
        image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))
        sitk.WriteImage(image, str(folder / f"{case}_{name}.nii.gz"))
    return classes


def test_scans_become_cases_in_the_order_of_the_library(tmp_path: Path) -> None:
    truth = {case: write_scans(tmp_path, case, seed) for seed, case in enumerate(("one", "two"))}
    lines = ["case,a,b,label"] + [f"{c},{c}_a.nii.gz,{c}_b.nii.gz,{c}_label.nii.gz" for c in truth]
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    cases = table(tmp_path / "list.csv", ("a", "b"))
    packed = pack_cases(cases, TASK, tmp_path / "cache", folds=2)
    for case in packed:
        np.testing.assert_array_equal(case.classes(), truth[case.record.case])
        inside = case.volumes()[0] != 0
        assert abs(float(case.volumes()[0][inside].mean())) < 0.05
    assert (tmp_path / "cache" / "cases.csv").read_text(encoding="utf-8").splitlines()[0] == "case,fold,patient"
    again = pack_cases(cases, TASK, tmp_path / "cache", folds=2)
    assert [case.record for case in again] == [case.record for case in packed]


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (lambda labels: np.where(labels == 10, np.int16(266), labels), "266"),
        (lambda labels: np.where(labels == 10, np.int16(-1), labels), "-1"),
        (lambda labels: labels + np.float32(0.4) * (labels > 0), "10.4"),
    ],
)
def test_values_that_are_no_labels_are_refused_as_they_are(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], value: str
) -> None:
    with pytest.raises(TrainingError, match=rf"Case one cannot be packed.*holds the value {value}, which is no label"):
        pack_cases(one_case(tmp_path, change), TASK, tmp_path / "cache", folds=1)
    assert not (tmp_path / "cache").exists()


def test_labels_on_another_grid_than_the_volumes_are_refused(tmp_path: Path) -> None:
    cases = one_case(tmp_path)
    label = sitk.ReadImage(str(cases[0].label))
    label.SetOrigin((5000.0, 0.0, 0.0))
    sitk.WriteImage(label, str(cases[0].label))
    with pytest.raises(TrainingError, match=r"origin \(5000, 0, 0\).* lies on another grid than the volumes"):
        pack_cases(cases, TASK, tmp_path / "cache", folds=1)


def test_millilitres_are_reported_and_a_case_without_tumour_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    (packed,) = pack_cases(one_case(tmp_path), TASK, tmp_path / "cache", 1, said.append)
    voxels = int((packed.classes() > 0).sum())
    pack_cases(one_case(tmp_path, np.zeros_like), TASK, tmp_path / "empty", 1, said.append)
    assert said == [
        f"1/1 one: 6 slices, {voxels / 1000:.1f} ml labelled",
        "1/1 one: 6 slices, no tumour (nothing is labelled)",
    ]


@pytest.mark.parametrize("name", ["../../out", "a/b", "a\\b", "..", ""])
def test_a_case_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrainingError, match="cannot be that of a folder"):
        pack_cases([case_of(name, "p")], TASK, tmp_path / "cache", folds=1)


def test_cases_of_the_same_name_are_refused(tmp_path: Path) -> None:
    first, second = (replace(case_of("x1", "p"), label=Path(grade) / "x1_seg.nii.gz") for grade in ("HGG", "LGG"))
    with pytest.raises(TrainingError, match=r"Two cases are called 'x1' \(HGG.x1_seg.* and LGG.x1_seg"):
        pack_cases([first, second], TASK, tmp_path / "cache", folds=1)


def test_a_cache_of_another_task_is_refused(tmp_path: Path) -> None:
    cases = one_case(tmp_path)
    pack_cases(cases, TASK, tmp_path / "cache", folds=1)
    other = replace(TASK, name="others", labels=tuple(replace(each, value=each.value + 1) for each in TASK.labels))
    with pytest.raises(TrainingError, match=r"holds one for another task .*labels \(10, 20\).* than 'others'"):
        pack_cases(cases, other, tmp_path / "cache", folds=1)


def test_a_missing_volume_is_told_without_the_advice_of_other_commands(tmp_path: Path) -> None:
    write_scans(tmp_path, "one", 0)
    (tmp_path / "one_b.nii.gz").unlink()
    case = LabelledCase("one", "one", tmp_path, tmp_path / "one_label.nii.gz")
    with pytest.raises(TrainingError, match=r"b not found in .* list them \(--layout table\)\.$"):
        pack_cases([case], TASK, tmp_path / "cache", folds=1)


def test_an_unknown_label_value_is_named() -> None:
    with pytest.raises(TrainingError, match=r"label 3, which task 'glioma' .*--layout brats2023"):
        GLIOMA.class_indices(np.array([0, 3], np.uint8), "case")
    with pytest.raises(TrainingError, match=r"label 5, which task 'glioma' .*relabel the volume"):
        GLIOMA.class_indices(np.array([0, 5], np.uint8), "case")


def test_label_values_of_another_data_set_are_translated() -> None:
    values = np.array([0, 1, 2, 3], np.uint8)
    assert GLIOMA.class_indices(values, "case", {3: 4}).tolist() == [0, 1, 2, 3]
    assert GLIOMA.class_indices(values, "case", {1: 2, 2: 1, 3: 4}).tolist() == [0, 2, 1, 3]


def case_of(name: str, patient: str, fold: int | None = None) -> LabelledCase:
    return LabelledCase(name, patient, None, Path(name), fold=fold)


def test_scans_of_one_patient_share_a_fold_and_sizes_are_spread() -> None:
    cases = [case_of(f"c{i}", f"p{i // 2}") for i in range(8)]
    folds = assign_folds(cases, [80, 80, 60, 60, 40, 40, 20, 20], 2)
    assert folds == [0, 0, 1, 1, 1, 1, 0, 0]


def test_folds_of_the_data_set_are_kept() -> None:
    assert assign_folds([case_of("a", "a", 4), case_of("b", "b", 2)], [1, 1], 5) == [4, 2]


@pytest.mark.parametrize(("folds", "message"), [(5, "1 patients cannot fill 5 folds"), (0, "0 folds: expected 1")])
def test_folds_that_would_stay_empty_are_refused_before_anything_is_packed(
    tmp_path: Path, folds: int, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        pack_cases([case_of("a", "p"), case_of("b", "p")], TASK, tmp_path / "cache", folds)


def test_a_task_is_read_from_yaml(tmp_path: Path) -> None:
    text = """
name: liver
input: {modalities: [ct], spacing_mm: [0.8, 0.8], size: [512, 512], skull_stripped: false,
        normalisation: {kind: window, low: -100, high: 250}}
labels:
  - {value: 1, name: liver, color: [200, 100, 80]}
  - {value: 2, name: tumour, color: [80, 100, 200]}
regions: {liver: [1, 2], tumour: [2]}
"""
    (tmp_path / "liver.yaml").write_text(text, encoding="utf-8")
    task = read_task(str(tmp_path / "liver.yaml"))
    assert task.input.normalisation.low == -100
    assert task.classes == 3
    assert task.regions == {"liver": (1, 2), "tumour": (2,)}
