"""Labelled scans into the slice cache, and the list of cases with their folds."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DynamicSegLib.errors import InputError, TrainingError
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.geometry import SAME_GRID_VOXELS, describe_grid, grid_difference_voxels
from DynamicSegLib.reading import label_values, read_case, read_volume
from DynamicSegLib.study import build_study
from DynamicSegLib.training.cache import CachedCase, open_case, write_case
from DynamicSegLib.training.layouts import LabelledCase
from DynamicSegLib.training.task import Task

CASE_LIST = "cases.csv"


def pack_cases(
    cases: Sequence[LabelledCase],
    task: Task,
    cache: Path,
    folds: int = 5,
    report: Callable[[str], None] = lambda text: None,
) -> list[CachedCase]:
    """Pack every case that is not packed yet, and write `cache/cases.csv`.

    A case that cannot be read stops the packing; what was packed before stays.

    Raises
    ------
    TrainingError: two cases share a name, or a name is none of a folder; too few patients for the folds; a case cannot
        be read, has labels that are none of the task or lie on another grid, or was packed for another task.
    """
    _require_names(cases)
    _require_patients(cases, folds)
    packed = []
    for position, case in enumerate(cases):
        folder = cache / case.name
        if (folder / "case.json").is_file():
            packed.append(_of_task(open_case(folder), task, cache))
            continue
        packed.append(_pack(case, task, cache))
        report(f"{position + 1}/{len(cases)} {_described(packed[-1])}")
    numbers = assign_folds(cases, [sum(each.record.foreground) for each in packed], folds)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "fold", "patient"])
    writer.writerows((case.name, fold, case.patient) for case, fold in zip(cases, numbers, strict=True))
    write_text_whole(cache / CASE_LIST, stream.getvalue())
    return packed


def assign_folds(cases: Sequence[LabelledCase], foreground: Sequence[int], folds: int) -> list[int]:
    """A fold for each case: the data set's own where it has one, else by patient, tumour sizes spread evenly.

    Patients are sorted by foreground and dealt out to the folds back and forth, so that the result depends on the data
    alone.
    """
    patients: dict[str, int] = {}
    for case, pixels in zip(cases, foreground, strict=True):
        if case.fold is None:
            patients[case.patient] = patients.get(case.patient, 0) + pixels
    order = sorted(patients, key=lambda patient: (-patients[patient], patient))
    dealt = {}
    for position, patient in enumerate(order):
        lap, place = divmod(position, folds)
        dealt[patient] = place if lap % 2 == 0 else folds - 1 - place
    return [dealt[case.patient] if case.fold is None else case.fold for case in cases]


def _require_names(cases: Sequence[LabelledCase]) -> None:
    """TrainingError where cases would share a folder of the cache, or lie outside it."""
    known: dict[str, LabelledCase] = {}
    for case in cases:
        if case.name in ("", ".", "..") or re.search(r"[/\\]", case.name):
            raise TrainingError(
                f"The case name {case.name!r} cannot be that of a folder: choose one without path separators."
            )
        # Caches are carried to machines whose file systems do not tell cases of letters apart.
        other = known.setdefault(case.name.casefold(), case)
        if other is not case:
            raise TrainingError(
                f"Two cases are called {case.name!r} ({other.label} and {case.label}): expected names that differ; "
                "rename one of them."
            )


def _require_patients(cases: Sequence[LabelledCase], folds: int) -> None:
    """TrainingError where folds that are drawn by patient would stay empty."""
    patients = {case.patient for case in cases if case.fold is None}
    if folds < 1:
        raise TrainingError(f"{folds} folds: expected 1 or more.")
    if patients and len(patients) < folds:
        raise TrainingError(f"{len(patients)} patients cannot fill {folds} folds: choose fewer folds.")


def _of_task(case: CachedCase, task: Task, cache: Path) -> CachedCase:
    """The case; TrainingError where it was packed for another task."""
    record, labels = case.record, tuple(task.class_of_value)
    # Caches of earlier versions do not say which labels their classes are.
    same = record.labels in ((), labels)
    if not same or (record.modalities, record.classes) != (task.input.modalities, task.classes):
        raise TrainingError(
            f"{cache} holds {record.case} for another task (modalities {', '.join(record.modalities)}; "
            f"{record.classes} classes, labels {record.labels or 'unknown'}) than {task.name!r} (modalities "
            f"{', '.join(task.input.modalities)}; {task.classes} classes, labels {labels}): choose another --cache."
        )
    return case


def _described(case: CachedCase) -> str:
    record = case.record
    millilitres = sum(record.foreground) * float(np.prod(record.spacing_mm)) / 1000
    found = f"{millilitres:.1f} ml labelled" if any(record.foreground) else "no tumour (nothing is labelled)"
    return f"{record.case}: {case.slices.shape[0]} slices, {found}"


def _pack(case: LabelledCase, task: Task, cache: Path) -> CachedCase:
    try:
        images = read_case(case.folder, task.input.modalities, case.images)
        study = build_study(images, task.input)
        label = _labels(read_volume(case.label), images.values(), case)
    except InputError as error:
        # The reader's advice is of other commands.
        reason = re.sub(
            r"(Name the file|Say which one): --volume.*", "Rename the files, or list them (--layout table).", str(error)
        )
        raise TrainingError(f"Case {case.name} cannot be packed: {reason}") from error
    values = study.grid.sample(label, sitk.sitkNearestNeighbor).astype(np.uint8)
    classes = task.class_indices(values, case.name, case.same_labels)
    labels = tuple(task.class_of_value)
    return write_case(
        cache, case.name, task.input.modalities, study.volumes, classes, task.classes, study.spacing_mm, labels
    )


def _labels(label: sitk.Image, images: Iterable[sitk.Image], case: LabelledCase) -> sitk.Image:
    """The label volume; InputError where it is none, or lies on the grid of none of the case's volumes."""
    label_values(label, case.label)
    if all(grid_difference_voxels(image, label) >= SAME_GRID_VOXELS for image in images):
        grids = dict.fromkeys(_grid(image) for image in images)
        raise InputError(
            f"{case.label} ({_grid(label)}) lies on another grid than the volumes ({'; '.join(grids)}): expected "
            "labels of the same scan; resample them to it."
        )
    return label


def _grid(image: sitk.Image) -> str:
    origin, direction = (", ".join(f"{x:.4g}" for x in values) for values in (image.GetOrigin(), image.GetDirection()))
    return f"{describe_grid(image)}, origin ({origin}), direction ({direction})"
