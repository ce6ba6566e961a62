"""Compiled models on disk: found again by what they were made of, checked before use, made anew where damaged."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from DynamicSegLib.bundle import checksum_of
from DynamicSegLib.files import write_whole

_MOST_BYTES = 2 << 30


@dataclass(frozen=True)
class ModelCache:
    """A folder of files `<circumstances>-<checksum of the content>.blob`.

    The checksum in the name lets a damaged file be told from a whole one; the least recently used files go first when
    the folder grows beyond `most_bytes`.
    """

    folder: Path
    most_bytes: int = _MOST_BYTES

    def find(self, circumstances: Sequence[object]) -> Path | None:
        """The file kept for these circumstances, or None; a damaged one is deleted."""
        for path in self.folder.glob(f"{_digest(circumstances)}-*.blob"):
            whole = path.stem.partition("-")[2] == checksum_of(path)
            with suppress(OSError):  # a folder that cannot be written to
                path.touch() if whole else path.unlink(missing_ok=True)
            if whole:
                return path
        return None

    def keep(self, circumstances: Sequence[object], content: bytes) -> None:
        """Keep a compiled model; a folder that cannot be written to costs time next time, nothing else."""
        name = f"{_digest(circumstances)}-{hashlib.sha256(content).hexdigest()}.blob"
        with suppress(OSError):
            write_whole(self.folder / name, content)
            self._make_room()

    def drop(self, path: Path) -> None:
        """Delete a file that turned out to be of no use; one that cannot be deleted is made anew every time."""
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def _make_room(self) -> None:
        files = sorted(self.folder.glob("*.blob"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > self.most_bytes:
                path.unlink(missing_ok=True)


def _digest(circumstances: Sequence[object]) -> str:
    return hashlib.sha256(repr(list(circumstances)).encode()).hexdigest()[:32]
