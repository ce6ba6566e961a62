"""Agreement: compared where there is something to compare, by the worst candidate, and measured once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from DynamicSegLib.agreement import Agreement, overlap
from DynamicSegLib.backends.base import BackendFacts
from DynamicSegLib.execution import Outcome


class Named:
    """A backend of which only the facts are asked."""

    def __init__(self, precision: str) -> None:
        self.facts = BackendFacts("fake", "cpu", precision, "")


class Thresholds:
    """Foreground is what lies above a threshold; under `bf16` the second candidate's is a little higher."""

    facts: Mapping[str, Any] = {}

    def __init__(self, precision: str, runs: list[str]) -> None:
        self._precision, self._runs = precision, runs

    def prepare(self, option: int) -> None: ...

    def run(self, option: int, slices: NDArray[np.float32]) -> Outcome:
        self._runs.append(self._precision)
        threshold = 0.6 if (self._precision, option) == ("bf16", 2) else 0.5
        return Outcome((slices[:, 0] > threshold).astype(np.uint8))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path))
    monkeypatch.setattr("DynamicSegLib.agreement.FEWEST_PIXELS", 10)


def agreement(volumes: NDArray[np.float32], runs: list[str], key: str = "bundle") -> Agreement:
    return Agreement(
        volumes.shape[1],
        lambda option, indices: volumes[:, indices].swapaxes(0, 1),
        2,
        lambda backend: Thresholds(backend.facts.precision, runs),
        key,
    )


def ramp() -> NDArray[np.float32]:
    """Ten slices of ten pixels with values 0.05, 0.15, ... 0.95; only slices 4 and 5 have any."""
    volumes = np.zeros((1, 10, 1, 10), np.float32)
    volumes[0, 4:6, 0] = np.arange(10) / 10 + 0.05
    return volumes


def test_the_worst_candidate_on_the_slices_with_foreground_counts() -> None:
    # Candidate 1 agrees wholly; candidate 2 keeps 4 of 5 pixels a slice: 2 * 4 / (5 + 4).
    found = agreement(ramp(), []).dice(Named("fp32"), Named("bf16"), "cpu")  # type: ignore[arg-type]
    assert found == pytest.approx(8 / 9)


def test_it_is_measured_once_for_a_bundle_and_machine() -> None:
    runs: list[str] = []
    pair = (Named("fp32"), Named("bf16"))
    first = agreement(ramp(), runs).dice(*pair, "cpu")  # type: ignore[arg-type]
    count = len(runs)
    assert agreement(ramp(), runs).dice(*pair, "cpu") == first  # type: ignore[arg-type]
    assert len(runs) == count
    agreement(ramp(), runs).dice(*pair, "another cpu")  # type: ignore[arg-type]
    agreement(ramp(), runs, "another bundle").dice(*pair, "cpu")  # type: ignore[arg-type]
    assert len(runs) == 3 * count


def test_a_study_without_structures_says_nothing_and_the_next_one_is_asked_again() -> None:
    pair = (Named("fp32"), Named("bf16"))
    assert agreement(np.zeros((1, 10, 1, 10), np.float32), []).dice(*pair, "cpu") is None  # type: ignore[arg-type]
    assert agreement(ramp(), []).dice(*pair, "cpu") is not None  # type: ignore[arg-type]


def test_overlap_counts_a_pixel_of_another_structure_as_wrong() -> None:
    reference, other = np.array([[0, 1, 2, 2]], np.uint8), np.array([[0, 1, 1, 2]], np.uint8)
    assert overlap(reference, other) == pytest.approx(2 * 2 / 6)


def test_a_candidate_that_finds_next_to_nothing_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = (Named("fp32"), Named("bf16"))
    monkeypatch.setattr("DynamicSegLib.agreement.FEWEST_PIXELS", 19)
    # Candidate 2 has 10 pixels in float32 and 8 in bf16, one fewer than are asked for.
    assert agreement(ramp(), []).dice(*pair, "cpu") == 1  # type: ignore[arg-type]
    monkeypatch.setattr("DynamicSegLib.agreement.FEWEST_PIXELS", 21)
    assert agreement(ramp(), [], "another").dice(*pair, "cpu") is None  # type: ignore[arg-type]


def test_where_nothing_can_be_kept_it_is_measured_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "file"))
    found = [agreement(ramp(), []).dice(Named("fp32"), Named("bf16"), "cpu") for _ in range(2)]  # type: ignore[arg-type]
    assert found == [pytest.approx(8 / 9)] * 2
