"""Files that appear whole or not at all."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from DynamicSegLib.errors import InputError


def require_utf8(path: Path) -> None:
    """InputError for a path that is no UTF-8: SimpleITK ends the process over one."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode(errors="replace").decode()
        raise InputError(f"The name of {shown} is not UTF-8: rename it.") from error


def is_writable(folder: Path) -> bool:
    """Whether files can be written to a folder that need not exist yet; nothing is made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def require_writable(folder: Path) -> None:
    """InputError where `written_together` would fail; nothing is made."""
    require_utf8(folder)
    if not is_writable(folder):
        raise InputError(f"{folder} cannot be written to: choose another output folder.")


@contextmanager
def written_together(folder: Path) -> Iterator[Path]:
    """A scratch folder inside `folder`; its files move into `folder` when the block ends well, and vanish otherwise.

    Raises
    ------
    InputError: `folder` is a file, or cannot be written to; a file of it cannot be replaced (then all are as before).
    """
    require_utf8(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".dynamicseg-", dir=folder))
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}): choose another output folder.") from error
    try:
        yield scratch
        _move_together(sorted(scratch.iterdir()), folder, scratch / "replaced")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move_together(files: list[Path], folder: Path, aside: Path) -> None:
    aside.mkdir()
    target = folder
    try:
        for path in files:
            target = folder / path.name
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if target.exists():
                target.replace(aside / path.name)
            path.replace(target)
    except BaseException as error:  # the user's interruption too
        for path in files:
            if not path.exists():
                (folder / path.name).replace(path)
            if (aside / path.name).exists():
                (aside / path.name).replace(folder / path.name)
        if not isinstance(error, OSError):
            raise
        raise InputError(
            f"{target} cannot be replaced ({error.strerror}), and nothing was: close the program that uses it, or "
            "choose another output folder."
        ) from error


def put_in_place(folder: Path, target: Path) -> None:
    """Let `folder` become `target`, on the same disk; what is there is lost only when that has worked."""
    if not target.exists():
        folder.replace(target)
        return
    # Renamed first: a file of it that is in use can be renamed everywhere, but not deleted on Windows.
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    try:
        target.replace(aside / target.name)
        try:
            folder.replace(target)
        except OSError:
            (aside / target.name).replace(target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by `tempfile`, whose files no other user may read: caches are shared.
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_text_whole(path: Path, text: str) -> None:
    """`write_whole` for a text, in UTF-8."""
    write_whole(path, text.encode())


def keep_text(path: Path, text: str) -> None:
    """Keep what can be made again: a folder that cannot be written to costs time next time, nothing else."""
    with suppress(OSError):
        write_text_whole(path, text)
