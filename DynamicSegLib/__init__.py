"""DynamicSeg: segments a scan slice by slice and spends compute only where a slice needs it.

from DynamicSegLib import load_bundle, read_study, segment

bundle = load_bundle("glioma")
result = segment(read_study("path/to/case", bundle), bundle, budget="40%")
"""

from typing import TYPE_CHECKING, Any

from DynamicSegLib.version import __version__

if TYPE_CHECKING:
    from DynamicSegLib.api import load_bundle, read_study, segment

__all__ = ["__version__", "load_bundle", "read_study", "segment"]


def __getattr__(name: str) -> Any:
    # Lazy, so that importing the package costs nothing where torch or SimpleITK are slow to load or absent.
    if name in ("load_bundle", "read_study", "segment"):
        from DynamicSegLib import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
