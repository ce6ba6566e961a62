"""Tiny labelled cases for the tests of training: bright squares in noise, two modalities, three classes."""

import csv
from pathlib import Path

import numpy as np

from DynamicSegLib.training.cache import CachedCase, write_case

MODALITIES = ("a", "b")
CLASSES = 3


def tiny_arrays(seed: int, slices: int = 6, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Volumes float32 `[modality, slice, row, column]` with a margin of zeros, and classes uint8."""
    generator = np.random.default_rng(seed)
    volumes = np.zeros((len(MODALITIES), slices, size, size), np.float32)
    inside = (slice(None), slice(0, slices), slice(2, size - 2), slice(3, size - 3))
    volumes[inside] = generator.normal(0, 0.3, volumes[inside].shape).astype(np.float32)
    classes = np.zeros((slices, size, size), np.uint8)
    row, column = generator.integers(4, size - 12, 2)
    classes[1 : slices - 2, row : row + 8, column : column + 8] = 1
    classes[2 : slices - 2, row + 2 : row + 6, column + 2 : column + 6] = 2
    volumes[0][classes > 0] += 2
    volumes[1][classes == 2] += 2
    return volumes, classes


def tiny_cache(folder: Path, cases: int = 3) -> list[CachedCase]:
    """A cache of `cases` tiny cases in `folder/cache`, and `folder/cases.csv` with fold = index."""
    written = []
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "fold"])
        for index in range(cases):
            volumes, classes = tiny_arrays(index)
            written.append(
                write_case(folder / "cache", f"case{index}", MODALITIES, volumes, classes, CLASSES, (1.0, 1.0, 1.0))
            )
            writer.writerow([f"case{index}", index])
    return written
