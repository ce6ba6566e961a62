"""The log of a run: one CSV row every so many steps, and one line on standard error with the time left."""

import csv
import io
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.files import write_text_whole


@dataclass
class Means:
    """The mean of each value since the last row of the log; a checkpoint holds it, so that a resumed run goes on.

    A value that some steps lack (a candidate's loss once it is detached) is averaged over the others.
    """

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        """Count the values of one step."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means so far; counting begins anew."""
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


class RunLog:
    """Writes `path`; a resumed run goes on in the same file, without the rows of steps that it takes again.

    Parameters
    ----------
    path: the CSV file.
    start: the step from which this process goes on (the time left is estimated from its own pace).
    steps: the length of the schedule.
    """

    def __init__(self, path: Path, start: int, steps: int) -> None:
        self.path = path
        self.start = start
        self.steps = steps
        self.begun = time.monotonic()
        self.rows = _rows_until(path, start)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log `values` after `step` steps."""
        seconds = time.monotonic() - self.begun
        left = seconds / max(step - self.start, 1) * (self.steps - step)
        row: dict[str, object] = {"step": step, "seconds": round(seconds, 1), "left_seconds": round(left)}
        self.rows.append(row | {name: float(f"{value:.5g}") for name, value in values.items()})
        try:
            write_text_whole(self.path, _as_csv(self.rows))
        except OSError as error:
            raise TrainingError(f"The log {self.path} cannot be written: {error}. Free some space.") from error
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        print(f"{step}/{self.steps}  {text}  {left / 60:.0f} min left", file=sys.stderr, flush=True)


def _rows_until(path: Path, last: int) -> list[dict[str, object]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    kept = [row for row in rows if (row.get("step") or "").isdecimal() and int(row["step"]) <= last]
    # Earlier versions wrote rows that were longer than their header: what is too much has no name.
    return [{name: value for name, value in row.items() if name} for row in kept]


def _as_csv(rows: list[dict[str, object]]) -> str:
    """Rows whose columns may differ, under one header."""
    stream = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(stream, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
