"""Files appear whole or not at all."""

import os
import sys
from pathlib import Path

import pytest

from DynamicSegLib.errors import InputError
from DynamicSegLib.files import keep_text, put_in_place, require_utf8, write_text_whole, written_together


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


def test_a_file_that_cannot_be_replaced_is_named_and_all_stay_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "b.txt" / "inside").mkdir(parents=True)
    with (
        pytest.raises(InputError, match=r"b\.txt cannot be replaced .*nothing was"),
        written_together(tmp_path) as scratch,
    ):
        for name in ("a.txt", "b.txt"):
            (scratch / name).write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]
    assert (tmp_path / "a.txt").read_text() == "old" and (tmp_path / "b.txt" / "inside").is_dir()


def test_an_interruption_between_two_files_leaves_all_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("old")
    real = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == "b.txt" and path.read_text() == "new":
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), written_together(tmp_path) as scratch:
        for name in ("a.txt", "b.txt"):
            (scratch / name).write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old", "b.txt": "old"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_a_name_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(InputError, match=r"name of .*k.se is not UTF-8: rename it"):
        require_utf8(Path(os.fsdecode(b"k\xe4se")))


def test_a_folder_takes_anothers_place_or_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("new", "newer", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    put_in_place(tmp_path / "new", tmp_path / "target")
    assert (tmp_path / "target" / "name").read_text() == "new"
    real = Path.replace

    def refuses(path: Path, target: Path) -> Path:
        if path.name == "newer":
            raise PermissionError
        return real(path, target)

    monkeypatch.setattr(Path, "replace", refuses)
    with pytest.raises(PermissionError):
        put_in_place(tmp_path / "newer", tmp_path / "target")
    assert (tmp_path / "target" / "name").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newer", "target"]


def test_what_cannot_be_kept_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keep_text(tmp_path / "file" / "a.txt", "text")
    keep_text(tmp_path / "kept" / "a.txt", "text")
    assert (tmp_path / "kept" / "a.txt").read_text() == "text"


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
