"""Calibration: measured once, kept by circumstances, corrected by real runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from DynamicSegLib.backends.base import BackendFacts
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.calibration import Calibration
from Testing.tiny import write_tiny_bundle

FACTS = BackendFacts("torch", "cpu", "fp32", "")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))
    return write_tiny_bundle(tmp_path)


def load(bundle: Bundle, facts: BackendFacts = FACTS, size: tuple[int, int] = (40, 32), batch: int = 4) -> Calibration:
    return Calibration.load(bundle, facts, size, "whole", batch)


def test_what_was_measured_is_kept_for_the_next_run(bundle: Bundle) -> None:
    first = load(bundle)
    assert not first.known
    first.measure(lambda option: 10.0 * option)
    assert load(bundle).milliseconds == [10.0, 20.0]


def test_other_circumstances_are_measured_anew(bundle: Bundle) -> None:
    load(bundle).measure(lambda option: 10.0 * option)
    assert not load(bundle, replace(FACTS, precision="bf16")).known
    assert not load(bundle, size=(80, 64)).known
    assert not load(bundle, batch=1).known
    assert not load(replace(bundle, checksum="other")).known


@pytest.mark.parametrize("text", ["{", "[1.0]", '["a", "b"]', "7"])
def test_a_damaged_file_counts_as_none(bundle: Bundle, text: str) -> None:
    calibration = load(bundle)
    calibration.measure(lambda option: 1.0)
    assert calibration.path is not None
    calibration.path.write_text(text)
    assert not load(bundle).known


def test_real_runs_correct_what_was_measured(bundle: Bundle) -> None:
    calibration = load(bundle)
    calibration.measure(lambda option: 100.0)
    calibration.observe(1, 200.0, fullness=1.0)
    assert calibration.milliseconds == [pytest.approx(110.0), 100.0]
    calibration.observe(2, 200.0, fullness=0.25)
    assert calibration.milliseconds[1] == pytest.approx(102.5)
    for _ in range(50):
        calibration.observe(1, 200.0, fullness=1.0)
    assert calibration.milliseconds[0] == pytest.approx(200.0, rel=0.01)
