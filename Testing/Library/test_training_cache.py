"""The slice cache."""

from pathlib import Path

import numpy as np
import pytest

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.cache import open_case, open_cases, write_case
from Testing.Library.training_cases import CLASSES, MODALITIES, tiny_arrays, tiny_cache


def test_a_case_comes_back_within_half_a_code(tmp_path: Path) -> None:
    volumes, classes = tiny_arrays(0)
    write_case(tmp_path, "case", MODALITIES, volumes, classes, CLASSES, (2.0, 1.0, 1.0))
    case = open_case(tmp_path / "case")
    step = np.array(case.record.step).reshape(-1, 1, 1, 1)
    # The brightest 0.05 % of each modality are clipped.
    clipped = volumes > np.array(case.record.offset).reshape(-1, 1, 1, 1) + 255 * step
    error = np.abs(case.volumes() - volumes)
    assert (error <= 0.51 * step)[~clipped].all()
    assert clipped.mean() < 0.001
    np.testing.assert_array_equal(case.classes(), classes)
    np.testing.assert_array_equal(case.volumes() == 0, volumes == 0)


def test_only_the_head_is_stored(tmp_path: Path) -> None:
    case = tiny_cache(tmp_path, 1)[0]
    assert case.slices.shape == (6, len(MODALITIES) + 1, 20, 18)
    assert case.record.origin == (0, 2, 3)
    assert case.record.foreground == tuple(int(n) for n in (case.classes() > 0).sum(axis=(1, 2)))


def test_a_class_too_many_is_refused(tmp_path: Path) -> None:
    volumes, classes = tiny_arrays(0)
    with pytest.raises(TrainingError, match="class 2 where 2 classes"):
        write_case(tmp_path, "case", MODALITIES, volumes, classes, 2, (1.0, 1.0, 1.0))
    assert not (tmp_path / "case").exists()


def test_an_empty_case_is_refused(tmp_path: Path) -> None:
    volumes, classes = tiny_arrays(0)
    with pytest.raises(TrainingError, match="case is empty"):
        write_case(tmp_path, "case", MODALITIES, volumes * 0, classes * 0, CLASSES, (1.0, 1.0, 1.0))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    volumes, classes = tiny_arrays(0)
    with pytest.raises(TrainingError, match="free some space"):
        write_case(tmp_path, "case", MODALITIES, volumes, classes, CLASSES, (1.0, 1.0, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_case_is_named(tmp_path: Path) -> None:
    tiny_cache(tmp_path, 1)
    (tmp_path / "cache" / "case0" / "case.json").write_text("{", encoding="utf-8")
    with pytest.raises(TrainingError, match="case0 is not a case"):
        open_case(tmp_path / "cache" / "case0")


def test_cases_of_different_kinds_are_not_mixed(tmp_path: Path) -> None:
    tiny_cache(tmp_path, 1)
    volumes, classes = tiny_arrays(5)
    write_case(tmp_path / "cache", "other", ("x", "y"), volumes, classes, CLASSES, (1.0, 1.0, 1.0))
    with pytest.raises(TrainingError, match="one kind of data"):
        open_cases(tmp_path / "cache", ["case0", "other"])
