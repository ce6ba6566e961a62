"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from DynamicSegLib.errors import InputError
from DynamicSegLib.files import write_text_whole, written_together


def test_files_appear_together_at_the_end(tmp_path: Path) -> None:
    with written_together(tmp_path / "out") as scratch:
        (scratch / "a.txt").write_text("1")
        (scratch / "b.txt").write_text("2")
        assert {path.name for path in (tmp_path / "out").iterdir()} == {scratch.name}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.txt", "b.txt"}


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), written_together(tmp_path) as scratch:
        (scratch / "a.txt").write_text("new")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file cannot be written to .*choose another"),
        written_together(tmp_path / "file"),
    ):
        pass


def test_a_text_file_is_replaced_whole(tmp_path: Path) -> None:
    write_text_whole(tmp_path / "deep" / "a.txt", "one")
    write_text_whole(tmp_path / "deep" / "a.txt", "two")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.txt"]
    assert (tmp_path / "deep" / "a.txt").read_text() == "two"
