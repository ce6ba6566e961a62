"""Counted once, then read; never wrong where the file is."""

from pathlib import Path

import pytest

from DynamicSegLib.cost import Cost
from DynamicSegLib.cost_cache import remembered


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path))
    return tmp_path


def test_the_same_circumstances_are_counted_once_and_others_anew() -> None:
    counted: list[int] = []

    def count() -> Cost:
        counted.append(1)
        return Cost(len(counted), 20, 30)

    assert remembered(("router", 240), count) == Cost(1, 20, 30)
    assert remembered(("router", 240), count) == Cost(1, 20, 30)
    assert remembered(("router", 128), count) == Cost(2, 20, 30)


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"unknown": 3}'])
def test_a_damaged_file_is_counted_anew(own_home: Path, damage: str) -> None:
    remembered(("router",), lambda: Cost(1))
    (path,) = (own_home / "cache" / "costs").iterdir()
    path.write_text(damage)
    assert remembered(("router",), lambda: Cost(2)) == Cost(2)
    assert remembered(("router",), lambda: Cost(3)) == Cost(2)


def test_a_home_that_cannot_be_written_to_does_not_stop_the_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "file"))
    assert remembered(("router",), lambda: Cost(7)) == Cost(7)
