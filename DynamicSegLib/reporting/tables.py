"""Decisions as CSV, and a run's four files."""

import csv
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from DynamicSegLib.reporting.chart import write_chart
from DynamicSegLib.reporting.words import columns_added, with_words
from DynamicSegLib.segmentation import Segmentation

_FAST = 1  # labels are small at any level of compression
COLUMNS = ("slice", "option", "candidate", "macs", "paper_flops", "milliseconds")


def decision_rows(segmentation: Segmentation) -> list[dict[str, Any]]:
    """One row a slice, in the scan's own order: the fixed columns, `quality_<option>`, then the method's own and the
    same in words.
    """
    rows = []
    for decision in sorted(segmentation.decisions, key=lambda decision: decision.slice):
        row: dict[str, Any] = {name: getattr(decision, name) for name in COLUMNS}
        row["milliseconds"] = round(decision.milliseconds, 3)
        row.update({f"quality_{name}": round(value, 4) for name, value in decision.quality.items()})
        rows.append({**row, **with_words(decision.extra)})
    return rows


def write_decisions(segmentation: Segmentation, path: Path) -> None:
    """Write decisions.csv."""
    rows = decision_rows(segmentation)
    added = columns_added(decision.extra for decision in segmentation.decisions)
    with path.open("w", newline="", encoding="utf-8") as file:
        qualities = [f"quality_{name}" for name in segmentation.options]
        writer = csv.DictWriter(file, [*COLUMNS, *qualities, *added])
        writer.writeheader()
        writer.writerows(rows)


def write_results(segmentation: Segmentation, folder: Path) -> None:
    """Write segmentation.nii.gz, decisions.csv and chart.png into an existing folder."""
    file = str(folder / "segmentation.nii.gz")
    sitk.WriteImage(segmentation.to_native(), file, useCompression=True, compressionLevel=_FAST)
    write_decisions(segmentation, folder / "decisions.csv")
    write_chart(segmentation, folder / "chart.png")
