"""Starts the host and drives a module on it."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from . import qtmodule  # first: it sets PySide6's enum options
from .pythonqt import wrap

from PySide6.QtCore import QEvent, QObject  # isort: skip
from PySide6.QtWidgets import QApplication  # isort: skip

import slicer

from . import node_selector  # noqa: F401  (registers its stand-in)
from .scene import start_scene
from .widgets import implemented

_running: Host | None = None


class Host:
    """The running host; there is one a process, as there is one Slicer a process."""

    def __init__(self) -> None:
        temporary = Path(tempfile.mkdtemp(prefix="slicer-host-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        self.errors: list[str] = []
        """Tracebacks of exceptions in slots and observers, which Qt and VTK print and go on from."""
        sys.excepthook = self._record
        _use_slicer_files()
        qtmodule.install()
        parts = start_scene(temporary)
        self.scene = parts.scene
        slicer.modules = ModuleType("slicer.modules")
        slicer.moduleNames = ModuleType("slicer.moduleNames")
        sys.modules["slicer.modules"] = slicer.modules
        from .application import qSlicerApplication, light_palette

        self._application = qSlicerApplication(parts, temporary)
        self._application.setPalette(light_palette())
        slicer.app = wrap(self._application)
        for name, native in implemented.items():
            if name.startswith("q"):
                setattr(slicer, name, wrap_class(native))
        from .modules import qSlicerLoadableModule

        for name, logic in parts.logics.items():
            module = qSlicerLoadableModule(name, logic)
            self._application.moduleManager()._modules[name] = module
            setattr(slicer.modules, name.lower(), wrap(module))
            self._keep(module)

    def _keep(self, thing: Any) -> None:
        self.__dict__.setdefault("_kept", []).append(thing)

    def _record(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        self.errors.append(text)
        sys.stderr.write(text)

    def load_module(self, path: Path | str) -> Any:
        """Loads a scripted module's file; returns what ``slicer.modules.<name>`` is."""
        from .modules import qSlicerScriptedLoadableModule

        module = qSlicerScriptedLoadableModule(Path(path).resolve())
        self._keep(module)
        self._application.moduleManager()._modules[Path(path).stem] = module
        module._start()
        self._application.moduleManager().moduleLoaded.emit(Path(path).stem)
        return wrap(module)

    def open_panel(self, module: Any, width: int = 480, height: int = 900) -> Any:
        """Shows a module's panel and returns its Python object, as ``slicer.util.getModuleWidget`` does."""
        frame = module._native.widgetRepresentation()
        frame.resize(width, height)
        frame.show()
        frame.enter()
        self.process_events()
        return frame.self()

    def process_events(self, seconds: float = 0.0) -> None:
        """Lets the event loop run at least once, and at least so long."""
        end = time.monotonic() + seconds
        while True:
            QApplication.processEvents()
            QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
            if time.monotonic() >= end:
                return
            time.sleep(0.002)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Lets the event loop run until something is so; raises TimeoutError when it does not come."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds} s in vain")
            self.process_events(0.005)

    def close_scene(self) -> None:
        """Empties the scene, as File > Close Scene does."""
        self.scene.Clear(False)
        self.process_events()

    def take_errors(self) -> list[str]:
        """Returns the errors of slots and observers since the last call and forgets them."""
        taken, self.errors = self.errors, []
        return taken


def wrap_class(native: type[QObject]) -> Any:
    """Returns the face class of a stand-in."""
    from .pythonqt import face_class

    return face_class(native)


def start() -> Host:
    """Starts the host, or returns the one that runs."""
    global _running
    if _running is None:
        _running = Host()
    return _running


def _use_slicer_files() -> None:
    """Puts Slicer's own Python files, or the stand-ins of them, where ``import slicer.X`` looks."""
    source = os.environ.get("SLICER_PYTHON_SOURCE")
    slicer.__path__.append(source if source else str(Path(__file__).parent / "slicer_files"))
