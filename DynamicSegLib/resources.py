"""Where DynamicSeg finds and keeps its files: what is shipped, what the user installed, what can be made again."""

import os
import sys
from pathlib import Path


def shipped_folder(name: str) -> Path:
    """A folder of `Resources/`: inside the package when installed from a wheel, else beside it (checkout, Slicer)."""
    package = Path(__file__).resolve().parent
    inside = package / "Resources" / name
    return inside if inside.is_dir() else package.parent / "Resources" / name


def home_folder() -> Path:
    """The user's folder for installed bundles, and for the cache; `DYNAMICSEG_HOME` moves it."""
    chosen = os.environ.get("DYNAMICSEG_HOME")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "DynamicSeg"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "DynamicSeg"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "DynamicSeg"


def cache_folder() -> Path:
    """What can be made again at any time; `DYNAMICSEG_CACHE` moves it."""
    chosen = os.environ.get("DYNAMICSEG_CACHE")
    return Path(chosen).expanduser() if chosen else home_folder() / "cache"
