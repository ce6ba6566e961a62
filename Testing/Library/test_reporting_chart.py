"""The chart of a run as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DynamicSegLib.cost import Cost
from DynamicSegLib.reporting.chart import write_chart
from DynamicSegLib.segmentation import Decision, Segmentation
from DynamicSegLib.study import build_study
from Testing.tiny import COLUMNS, ROWS, SLICES, describe_tiny_bundle, head_images

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'DynamicSeg[report]'")


def picture_size(path: Path, extra: Mapping[str, Any]) -> tuple[int, int]:
    """Columns and rows of the chart of a case whose every second slice was skipped and the others had `extra`."""
    decisions = tuple(
        Decision(k, k % 2, ("skip", "crop16")[k % 2], k % 2 * 10**9, 0, 1.0, {}, extra if k % 2 else {})
        for k in range(SLICES)
    )
    study = build_study(head_images(), describe_tiny_bundle().input)
    labels = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    facts = {"bundle": "tiny"}
    write_chart(Segmentation(study, labels, decisions, ("skip", "crop16"), {}, None, Cost(), {}, facts), path)
    data = path.read_bytes()
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_bits_get_a_row_a_stage_below_the_costs(tmp_path: Path) -> None:
    plain = picture_size(tmp_path / "plain.png", {})
    two = picture_size(tmp_path / "two.png", {"bits_1": 8, "bits_2": 16})
    four = picture_size(tmp_path / "four.png", {"bits_1": 8, "bits_2": 16, "bits_3": 8, "bits_4": 8})
    assert plain[0] == two[0] == four[0]
    assert plain[1] < two[1]
    assert four[1] - two[1] == pytest.approx(two[1] - plain[1], abs=1)  # whole pixels
