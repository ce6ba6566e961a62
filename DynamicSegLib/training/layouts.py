"""How data sets are organised on disk: each layout finds the cases of a folder, without reading any voxel."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.naming import is_label_name
from DynamicSegLib.reading import is_volume_file


@dataclass(frozen=True)
class LabelledCase:
    """One case on disk.

    Parameters
    ----------
    name: unique in the data set.
    patient: cases of one patient stay in one fold.
    folder: read by `reading.read_case` (a folder, or one 4D file); None where `images` names every file.
    images: files by modality.
    label: the label volume.
    same_labels: the data set's label values -> the task's, where they differ.
    fold: fixed by the data set, or None.
    """

    name: str
    patient: str
    folder: Path | None
    label: Path
    images: Mapping[str, Path] = field(default_factory=dict)
    same_labels: Mapping[int, int] = field(default_factory=dict)
    fold: int | None = None


Layout = Callable[[Path, Sequence[str]], list[LabelledCase]]


def brats(data: Path, modalities: Sequence[str]) -> list[LabelledCase]:
    """BraTS 2018 to 2021: `<case>/<case>_{flair,t1ce,t1,t2,seg}.nii.gz`, at any depth; labels 1, 2, 4."""
    return _case_folders(data, {})


def brats_2023(data: Path, modalities: Sequence[str]) -> list[LabelledCase]:
    """BraTS 2023: `<case>/<case>-{t2f,t1c,t1n,t2w,seg}.nii.gz`; enhancing tumour is 3 there.

    `BraTS-GLI-00012-001` is the second scan of patient `BraTS-GLI-00012`.
    """
    return _case_folders(data, {3: 4})


def decathlon(data: Path, modalities: Sequence[str]) -> list[LabelledCase]:
    """Medical Segmentation Decathlon: `dataset.json`, one file a case (4D where there are several modalities).

    The brain tumours' labels there are 1 oedema, 2 non-enhancing, 3 enhancing.
    """
    path = data / "dataset.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pairs = [(data / item["image"], data / item["label"]) for item in content["training"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} cannot be read as a Decathlon description ({error}).") from error
    same = {1: 2, 2: 1, 3: 4} if len(content.get("modality", {})) == 4 else {}
    cases = []
    for image, label in pairs:
        name = _stem(image)
        single = len(modalities) == 1
        images = {modalities[0]: image} if single else {}
        cases.append(LabelledCase(name, name, None if single else image, label, images, same))
    return _not_empty(cases, data, "a dataset.json with training cases")


def lits(data: Path, modalities: Sequence[str]) -> list[LabelledCase]:
    """LiTS: `volume-<n>.nii` beside `segmentation-<n>.nii`, at any depth (CT; labels 1 liver, 2 tumour)."""
    cases = []
    for image in sorted(data.rglob("volume-*.nii*"), key=_number):
        label = image.with_name(image.name.replace("volume-", "segmentation-", 1))
        name = _stem(image)
        cases.append(LabelledCase(name, name, None, _existing(label, name), {modalities[0]: image}))
    return _not_empty(cases, data, "volume-<n>.nii files")


def table(data: Path, modalities: Sequence[str]) -> list[LabelledCase]:
    """A CSV with columns `case`, one a modality, `label`, and optionally `patient` and `fold`; paths relative to it."""
    cases = []
    for row in _rows(data, ["case", *modalities, "label"]):
        images = {name: _existing(data.parent / row[name], row["case"]) for name in modalities}
        label = _existing(data.parent / row["label"], row["case"])
        patient = row.get("patient") or row["case"]
        cases.append(LabelledCase(row["case"], patient, None, label, images, fold=_fold(row, data)))
    return _not_empty(cases, data, "rows")


LAYOUTS: dict[str, Layout] = {
    "brats": brats,
    "brats2023": brats_2023,
    "decathlon": decathlon,
    "lits": lits,
    "table": table,
}


def _case_folders(data: Path, same: Mapping[int, int]) -> list[LabelledCase]:
    """Every folder below `data` with exactly one label file, named after its folder."""
    if not data.is_dir():
        raise TrainingError(f"{data} is not a folder: name the folder that holds the cases.")
    folds = _fold_column(data / "cases.csv")
    cases = []
    for folder in sorted({path.parent for path in data.rglob("*seg.*") if is_volume_file(path)}):
        labels = [path for path in sorted(folder.iterdir()) if is_volume_file(path) and is_label_name(path.name)]
        if len(labels) != 1:
            raise TrainingError(f"{folder} has {len(labels)} label files where one was expected.")
        name = folder.name
        cases.append(LabelledCase(name, patient_of(name), folder, labels[0], {}, same, folds.get(name)))
    return _not_empty(cases, data, "folders with a *seg.nii.gz")


def patient_of(case: str) -> str:
    """The patient of a case's name: BraTS 2023 ends it with the number of the scan."""
    return re.sub(r"^(BraTS-[A-Za-z]+-\d+)-\d+$", r"\1", case)


def left_out(data: Path, cases: Sequence[LabelledCase]) -> list[Path]:
    """Folders below `data` that hold volumes but are none of `cases`, where these are folders: no label was found."""
    known = {case.folder for case in cases if case.folder is not None and case.folder.is_dir()}
    return sorted({path.parent for path in data.rglob("*") if is_volume_file(path)} - known) if known else []


def _fold_column(path: Path) -> dict[str, int | None]:
    if not path.is_file():
        return {}
    return {row["case"]: _fold(row, path) for row in _rows(path, ["case"])}


def _rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV; TrainingError where it cannot be read, lacks a column, or a row is of another length."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"The table {path} cannot be read as CSV in UTF-8: {error}.") from error
    missing = [name for name in needed if rows and name not in rows[0]]
    if missing:
        raise TrainingError(f"The table {path} has no column {missing[0]!r}; it needs {', '.join(needed)}.")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise TrainingError(f"Row {number} of the table {path} has more or fewer values than there are columns.")
        empty = [name for name in needed if not row[name].strip()]
        if empty:
            raise TrainingError(f"Row {number} of the table {path} has no {empty[0]}: expected a value.")
    return rows


def _fold(row: Mapping[str, str], path: Path) -> int | None:
    fold = row.get("fold", "").strip()
    if fold and not fold.isdecimal():
        raise TrainingError(f"Case {row['case']} of {path} has fold {fold!r}: expected a whole number from 0, or none.")
    return int(fold) if fold else None


def _existing(path: Path, case: str) -> Path:
    if not path.exists():
        raise TrainingError(f"Case {case}: {path} does not exist.")
    return path


def _not_empty(cases: list[LabelledCase], data: Path, expected: str) -> list[LabelledCase]:
    if not cases:
        raise TrainingError(f"{data} holds no case: expected {expected}. Check --layout.")
    return cases


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name)


def _number(path: Path) -> int:
    return int("".join(re.findall(r"\d+", _stem(path))) or 0)
