"""The slice cache: every case once as 8-bit slices, cropped to the brain, memory-mapped, so that two cores keep up.

One folder a case holds `slices.npy`, uint8 `[slice, modality + 1, row, column]` whose last plane is the class index
(0 background), and `case.json` with what turns codes back into normalised intensities: 0 stays 0 (outside the
mask), code c >= 1 becomes `offset + step * c`, modality by modality. Slices without any voxel in the mask are left out.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from DynamicSegLib.errors import TrainingError

FORMAT = 1
CODES = 254
"""Codes 1 to 255 span a modality's intensities; its highest 0.05 % are clipped."""


@dataclass(frozen=True)
class CaseRecord:
    """What `case.json` says of a case; `origin` and `shape` place the crop on the working grid (slice, row, column).

    `labels`: values of the task's labels, class 1 first; empty where it is not known.
    """

    case: str
    modalities: tuple[str, ...]
    classes: int
    offset: tuple[float, ...]
    step: tuple[float, ...]
    origin: tuple[int, int, int]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    foreground: tuple[int, ...]
    format: int = FORMAT
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class CachedCase:
    """One case of the cache, opened read-only. `slices` is uint8 `[slice, modality + 1, row, column]`."""

    folder: Path
    record: CaseRecord

    @cached_property
    def slices(self) -> np.ndarray:
        return np.load(self.folder / "slices.npy", mmap_mode="r")

    def volumes(self) -> np.ndarray:
        """The normalised volumes on the whole working grid, float32 `[modality, slice, row, column]`."""
        codes = np.asarray(self.slices[:, :-1]).transpose(1, 0, 2, 3)
        offset, step = (np.array(v, np.float32).reshape(-1, 1, 1, 1) for v in (self.record.offset, self.record.step))
        decoded = np.where(codes > 0, offset + step * codes, np.float32(0)).astype(np.float32)
        return self._on_working_grid(decoded)

    def classes(self) -> np.ndarray:
        """The class indices on the whole working grid, uint8 `[slice, row, column]`."""
        return self._on_working_grid(np.asarray(self.slices[:, -1]))

    def _on_working_grid(self, crop: np.ndarray) -> np.ndarray:
        whole = np.zeros(crop.shape[:-3] + self.record.shape, crop.dtype)
        box = [slice(o, o + n) for o, n in zip(self.record.origin, crop.shape[-3:], strict=True)]
        whole[..., box[0], box[1], box[2]] = crop
        return whole


def write_case(
    folder: Path,
    case: str,
    modalities: Sequence[str],
    volumes: np.ndarray,
    classes: np.ndarray,
    class_count: int,
    spacing_mm: tuple[float, float, float],
    labels: Sequence[int] = (),
) -> CachedCase:
    """Write one case below `folder`, whole or not at all.

    `volumes`: float32 `[modality, slice, row, column]`, normalised, 0 outside the mask.
    `classes`: uint8 `[slice, row, column]`, class indices below `class_count`.
    `labels`: see `CaseRecord`.
    """
    if classes.max() >= class_count:
        raise TrainingError(
            f"Case {case} has class {classes.max()} where {class_count} classes (from 0) were expected: check the "
            "label map of its data set."
        )
    box = _bounding_box((volumes != 0).any(axis=0) | (classes > 0), case)
    crop, found = volumes[(slice(None), *box)], classes[box]
    codes, offset, step = _encode(crop)
    record = CaseRecord(
        case,
        tuple(modalities),
        class_count,
        tuple(map(float, offset)),
        tuple(map(float, step)),
        (box[0].start, box[1].start, box[2].start),
        (classes.shape[0], classes.shape[1], classes.shape[2]),
        spacing_mm,
        tuple(int(n) for n in (found > 0).sum(axis=(1, 2))),
        labels=tuple(labels),
    )
    planes = np.concatenate([codes, found[None]]).transpose(1, 0, 2, 3)
    return _written(folder, record, np.ascontiguousarray(planes, dtype=np.uint8))


def _written(folder: Path, record: CaseRecord, planes: np.ndarray) -> CachedCase:
    """The case on disk: written beside, then renamed."""
    final, beside = folder / record.case, folder / f".{record.case}.part"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        np.save(beside / "slices.npy", planes)
        (beside / "case.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        beside.rename(final)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise TrainingError(
            f"Case {record.case} could not be written to the slice cache {folder}: {error}. About "
            f"{planes.size / 2**20:.0f} MiB are needed for it: free some space, or name another cache folder."
        ) from error
    return CachedCase(final, record)


def open_case(folder: Path) -> CachedCase:
    """Open one case folder of a cache; TrainingError where it is absent, damaged or of another format."""
    try:
        fields = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        if fields.get("format") != FORMAT:
            raise TrainingError(
                f"{folder} has slice cache format {fields.get('format')} where {FORMAT} was expected: pack "
                "the data again."
            )
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
        record = CaseRecord(**values)
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{folder} is not a case of a slice cache ({error}): pack the data again.") from error
    case = CachedCase(folder, record)
    if case.slices.shape[:2] != (len(record.foreground), len(record.modalities) + 1):
        raise TrainingError(
            f"{folder / 'slices.npy'} has shape {case.slices.shape}, which its case.json does not describe: pack again."
        )
    return case


def open_cases(cache: Path, names: Sequence[str]) -> list[CachedCase]:
    """Open cases by name, in the order of `names`; all must share modalities and classes."""
    if not names:
        raise TrainingError(f"No case was chosen from the slice cache {cache}: check the folds and the list of cases.")
    cases = [open_case(cache / name) for name in names]
    first = cases[0].record
    for case in cases[1:]:
        if (case.record.modalities, case.record.classes) != (first.modalities, first.classes):
            raise TrainingError(
                f"Case {case.record.case} has modalities {case.record.modalities} and {case.record.classes} classes "
                f"where {first.case} has {first.modalities} and {first.classes}: train on one kind of data at a time."
            )
    return cases


def _bounding_box(mask: np.ndarray, case: str) -> tuple[slice, slice, slice]:
    if not mask.any():
        raise TrainingError(f"Case {case} is empty: no voxel differs from zero after normalisation. Leave it out.")
    found = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(int(f[0]), int(f[-1]) + 1) for f in found)  # type: ignore[return-value]


def _encode(volumes: np.ndarray) -> tuple[np.ndarray, list[float], list[float]]:
    codes = np.zeros(volumes.shape, np.uint8)
    offsets, steps = [], []
    for index, volume in enumerate(volumes):
        inside = volume != 0
        values = volume[inside] if inside.any() else np.zeros(1, np.float32)
        low, high = float(values.min()), float(np.quantile(values, 0.9995))
        step = max(high - low, 1e-6) / CODES
        code = np.clip(np.rint((volume - low) / step), 0, CODES) + 1
        codes[index] = np.where(inside, code, 0)
        offsets.append(low - step)
        steps.append(step)
    return codes, offsets, steps
