"""From scans to the slice cache."""

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


def test_an_unknown_label_value_is_named() -> None:
    with pytest.raises(TrainingError, match="label 3, which task 'glioma'"):
        GLIOMA.class_indices(np.array([0, 3], np.uint8), "case")


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


def test_too_few_patients_for_the_folds_are_refused() -> None:
    with pytest.raises(TrainingError, match="1 patients cannot fill 5 folds"):
        assign_folds([case_of("a", "p"), case_of("b", "p")], [1, 1], 5)


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
