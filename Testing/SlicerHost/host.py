"""Starts the host and drives a module on it."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import slicer
import vtk
from PySide6.QtCore import QEvent, QMessageLogContext, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from . import plot_view, pythonqt, qt_module
from .application import light_palette, qSlicerApplication
from .modules import qSlicerLoadableModule, qSlicerScriptedLoadableModule
from .scene import start_scene
from .widgets import implemented

_running: Host | None = None


class Host:
    """The running host; there is one a process, as there is one Slicer a process."""

    def __init__(self) -> None:
        temporary = Path(tempfile.mkdtemp(prefix="slicer-host-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        self._errors: list[str] = []
        sys.excepthook = self._on_exception
        qInstallMessageHandler(self._on_qt_message)
        self._watch_vtk()
        _use_slicer_files()
        qt_module.install()
        parts = start_scene(temporary)
        self.scene = parts.scene
        self._application = qSlicerApplication(parts, temporary)
        self._application.setPalette(light_palette())
        slicer.app = pythonqt.wrap(self._application)
        for name, native in implemented.items():
            if name.startswith("q"):
                setattr(slicer, name, pythonqt.face_class(native))
        for name in ("modules", "moduleNames"):
            sys.modules[f"slicer.{name}"] = ModuleType(f"slicer.{name}")
            setattr(slicer, name, sys.modules[f"slicer.{name}"])
        for name, logic in parts.logics.items():
            self._add_module(qSlicerLoadableModule(name, logic), name)

    def _add_module(self, module: Any, name: str) -> None:
        self._application.moduleManager()._modules[name] = module
        setattr(slicer.modules, name.lower(), pythonqt.wrap(module))
        setattr(slicer.moduleNames, name, name)

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        self._errors.append(text)
        sys.stderr.write(text)

    def _on_qt_message(self, kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
        if kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg) and "propagateSizeHints" not in message:
            self._errors.append(message)
            sys.stderr.write(f"Qt: {message}\n")

    def _watch_vtk(self) -> None:
        def note(window: Any, event: str, text: str) -> None:
            self._errors.append(text)

        note.CallDataType = vtk.VTK_STRING  # type: ignore[attr-defined]
        vtk.vtkOutputWindow.GetInstance().AddObserver("ErrorEvent", note)

    def take_errors(self) -> list[str]:
        """Returns exceptions in slots and observers, warnings of Qt and errors of VTK since the last call.

        Qt and VTK print them and go on, so a test that does not look here passes over them.
        """
        taken, self._errors = self._errors, []
        return taken

    def load_module(self, path: Path | str) -> Any:
        """Loads a scripted module's file; returns what ``slicer.modules.<name>`` is."""
        module = qSlicerScriptedLoadableModule(Path(path).resolve())
        name = Path(path).stem
        self._add_module(module, name)
        module._start()
        self._application.moduleManager().moduleLoaded.emit(name)
        return pythonqt.wrap(module)

    def open_panel(self, module: Any, width: int = 480, height: int = 900) -> Any:
        """Shows a module's panel and returns its Python object, as ``slicer.util.getModuleWidget`` does."""
        frame = module._native.widgetRepresentation()
        frame.resize(width, height)
        frame.show()
        frame.enter()
        self.process_events()
        return frame.self()

    def close_panel(self, module: Any) -> None:
        """Leaves the panel and unloads it: ``exit()``, then ``cleanup()``."""
        frame = module._native.widgetRepresentation()
        frame.exit()
        self._application.moduleManager().moduleAboutToBeUnloaded.emit(module.name)
        module._native._panel = None
        self.process_events()

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

    @contextmanager
    def no_main_window(self) -> Iterator[None]:
        """Within this, the application is as after ``--no-main-window``: there is no layout manager."""
        options = self._application.commandOptions()
        options._no_main_window = True
        try:
            yield
        finally:
            options._no_main_window = False

    def click_plot(self, series_node: Any, row: int, view: int = 0) -> None:
        """Clicks one bar or point of a series in a plot view of the layout."""
        plot_view.click(self._application._layout.plotWidget(view).plotView(), series_node.GetID(), row)
        self.process_events()


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
