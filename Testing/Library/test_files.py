"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from DynamicSegLib.errors import InputError
from DynamicSegLib.files import keep_text, put_in_place, write_text_whole, written_together


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
