"""The log of a run: one CSV row every so many steps, and one line on standard error with the time left."""

import csv
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from DynamicSegLib.errors import TrainingError


class RunLog:
    """Appends to `path`; a resumed run goes on in the same file.

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
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log `values` after `step` steps."""
        seconds = time.monotonic() - self.begun
        left = seconds / max(step - self.start, 1) * (self.steps - step)
        row = {"step": step, "seconds": round(seconds, 1), "left_seconds": round(left)}
        row |= {name: float(f"{value:.5g}") for name, value in values.items()}
        try:
            new = not self.path.exists()
            with self.path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, row.keys())
                if new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise TrainingError(f"The log {self.path} cannot be written: {error}. Free some space.") from error
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        print(f"{step}/{self.steps}  {text}  {left / 60:.0f} min left", file=sys.stderr, flush=True)
