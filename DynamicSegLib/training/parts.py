"""A slice cache cut into compressed parts of limited size, for carrying it to a machine with a GPU."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.packing import CASE_LIST

PATTERN = "part-*.zip"


def split_cache(cache: Path, folder: Path, limit_mib: float, report: Callable[[str], None] = lambda text: None) -> int:
    """Write `cache` as `part-000.zip`, `part-001.zip`, ... of at most `limit_mib` each. Returns how many.

    Raises
    ------
    TrainingError: the cache is empty, or one case alone is larger than a part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cases = sorted(path.parent for path in cache.glob("*/case.json"))
    if not cases:
        raise TrainingError(f"{cache} is not a slice cache: it holds no case.")
    for old in folder.glob(PATTERN):
        old.unlink()
    single = folder / "case.part"
    try:
        count = _split(cases, single, limit_mib, report)
    finally:
        single.unlink(missing_ok=True)
    if (cache / CASE_LIST).is_file():
        with zipfile.ZipFile(folder / "part-000.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.write(cache / CASE_LIST, CASE_LIST)
    return count


def _split(cases: list[Path], single: Path, limit_mib: float, report: Callable[[str], None]) -> int:
    """Write the parts beside `single`, where each case is compressed first. Returns how many."""
    limit, count, used = int(limit_mib * 2**20), 0, 0
    for case in cases:
        _compress(single, [case / "slices.npy", case / "case.json"], case.parent)
        size = single.stat().st_size
        if size > limit:
            raise TrainingError(
                f"Case {case.name} takes {size / 2**20:.1f} MiB where a part may have {limit_mib} MiB: allow more "
                "(--limit-mib)."
            )
        if count == 0 or used + size > limit:
            count, used = count + 1, 0
            report(f"part {count}: from {case.name}")
        used += size
        _append(single.with_name(f"part-{count - 1:03d}.zip"), single)
    return count


def join_parts(folder: Path, cache: Path) -> int:
    """Unpack all parts in `folder` into `cache`; parts that come later may be joined later. Returns how many cases."""
    parts = sorted(folder.glob(PATTERN))
    if not parts:
        raise TrainingError(f"{folder} holds no {PATTERN}.")
    for part in parts:
        with zipfile.ZipFile(part) as outer:
            for item in outer.infolist():
                outer.extract(item, cache)
    for inner in cache.glob("*.zip"):
        with zipfile.ZipFile(inner) as archive:
            archive.extractall(cache)
        inner.unlink()
    return len(list(cache.glob("*/case.json")))


def _compress(target: Path, files: list[Path], root: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        for file in files:
            archive.write(file, file.relative_to(root))


def _append(part: Path, single: Path) -> None:
    """Put a compressed case into a part as it is."""
    with zipfile.ZipFile(single) as archive:
        name = Path(archive.namelist()[0]).parts[0]
    with zipfile.ZipFile(part, "a", zipfile.ZIP_STORED) as outer:
        outer.write(single, f"{name}.zip")
