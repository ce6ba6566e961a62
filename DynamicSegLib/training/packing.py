"""Labelled scans into the slice cache, and the list of cases with their folds."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DynamicSegLib.errors import InputError, TrainingError
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.reading import read_case, read_volume
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
    """
    packed = []
    for position, case in enumerate(cases):
        folder = cache / case.name
        if (folder / "case.json").is_file():
            packed.append(open_case(folder))
            continue
        packed.append(_pack(case, task, cache))
        report(f"{position + 1}/{len(cases)} {case.name}: {packed[-1].slices.shape[0]} slices")
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
    if patients and len(patients) < folds:
        raise TrainingError(f"{len(patients)} patients cannot fill {folds} folds: choose fewer folds.")
    order = sorted(patients, key=lambda patient: (-patients[patient], patient))
    dealt = {}
    for position, patient in enumerate(order):
        lap, place = divmod(position, folds)
        dealt[patient] = place if lap % 2 == 0 else folds - 1 - place
    return [dealt[case.patient] if case.fold is None else case.fold for case in cases]


def _pack(case: LabelledCase, task: Task, cache: Path) -> CachedCase:
    try:
        study = build_study(read_case(case.folder, task.input.modalities, case.images), task.input)
        label = read_volume(case.label)
        values = study.grid.sample(label, sitk.sitkNearestNeighbor)
    except InputError as error:
        raise TrainingError(f"Case {case.name} cannot be packed: {error}") from error
    classes = task.class_indices(np.rint(values).astype(np.uint8), case.name, case.same_labels)
    return write_case(cache, case.name, task.input.modalities, study.volumes, classes, task.classes, study.spacing_mm)
