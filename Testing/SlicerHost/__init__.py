"""A test host for Slicer scripted modules: the real MRML libraries below, stand-ins for the Qt application above."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .host import Host

__all__ = ["missing", "start"]

# PySide6 reads both when it is first imported. Enums are integers in PythonQt and are reached without their scope.
sys.pyside6_option_python_enum = 0x02 | 0x04 | 0x08  # type: ignore[attr-defined]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")  # else VTK tries X first, and says so

_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libfontconfig.so.1": "libfontconfig1",
    "libdbus-1.so.3": "libdbus-1-3",
}
"""What PySide6 and VTK load from the system on Linux, and Debian's package of it."""


def missing() -> str | None:
    """Returns what the host needs and this machine lacks, as a reason to skip; None where it can start."""
    for module, package in (("slicer_core", "slicer-core"), ("PySide6", "PySide6-Essentials")):
        if importlib.util.find_spec(module) is None:
            return f"the test host needs {package}: pip install {package}"
    if sys.version_info < (3, 12) and metadata.version("PySide6-Essentials").startswith("6.12."):
        return "PySide6 6.12 miscounts references before Python 3.12 and aborts: pip install 'PySide6-Essentials<6.12'"
    for library, package in _LIBRARIES.items() if sys.platform == "linux" else ():
        try:
            ctypes.CDLL(library)
        except OSError:
            return f"the test host needs {library}: apt-get install {package} (README of Testing/SlicerHost)"
    return None


def start() -> Host:
    """Starts the host, or returns the one that runs; raises ImportError with the reason where it cannot start."""
    reason = missing()
    if reason is not None:
        raise ImportError(reason)
    from . import host

    return host.start()
