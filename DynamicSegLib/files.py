"""Files that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from DynamicSegLib.errors import InputError


@contextmanager
def written_together(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder`; its files move into `folder` when the block ends well, and vanish otherwise.

    Raises
    ------
    InputError: `folder` is a file, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".dynamicseg-", dir=folder))
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}): choose another output folder.") from error
    try:
        yield scratch
        for path in sorted(scratch.iterdir()):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
