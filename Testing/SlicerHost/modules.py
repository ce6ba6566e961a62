"""``slicer.modules``: the stand-ins of qSlicerScriptedLoadableModule and its panel, and of the built-in modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import Property, QObject
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QVBoxLayout

from .pythonqt import wrap
from .qmrml_widgets import qSlicerWidget
from .widgets import stand_in, stored


class qSlicerLoadableModule(QObject):
    """A built-in module: a name and its logic."""

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__()
        self._name = name
        self._logic = logic

    name = Property(str, lambda self: self._name)
    title = Property(str, lambda self: self._name)
    path = Property(str, lambda self: "")
    isBuiltIn = Property(bool, lambda self: True)

    def logic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene


@stand_in
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """The frame around a scripted module's panel."""

    isEntered = Property(bool, lambda self: self._entered)
    moduleName = Property(str, lambda self: self._module_name)

    def __init__(self, module_name: str) -> None:
        super().__init__()
        self.setObjectName(f"{module_name}ModuleWidget")
        self._module_name = module_name
        self._entered = False
        self._python: Any = None
        self.setLayout(QVBoxLayout(self))
        self.setMRMLScene(slicer.mrmlScene)

    def _start(self) -> None:
        """Makes the Python object ``<Name>Widget(parent)`` and calls its ``setup()``."""
        self._python = getattr(sys.modules[self._module_name], f"{self._module_name}Widget")(wrap(self))
        setattr(slicer.modules, f"{self._module_name}Widget", self._python)
        self._python.setup()

    def self(self) -> Any:
        return self._python

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._python, "exit"):
            self._python.exit()


@stand_in
class qSlicerScriptedLoadableModule(QObject):
    """A scripted module: loads the file, describes it, and makes its panel when asked."""

    title = stored(str, "title", "")
    categories = stored("QStringList", "categories", [])
    contributors = stored("QStringList", "contributors", [])
    dependencies = stored("QStringList", "dependencies", [])
    associatedNodeTypes = stored("QStringList", "associatedNodeTypes", [])
    helpText = stored(str, "helpText", "")
    acknowledgementText = stored(str, "acknowledgementText", "")
    icon = stored(QIcon, "icon", QIcon())
    hidden = stored(bool, "hidden", False)
    index = stored(int, "index", -1)
    widgetRepresentationCreationEnabled = stored(bool, "widgetRepresentationCreationEnabled", True)
    name = Property(str, lambda self: self._path.stem)
    path = Property(str, lambda self: str(self._path))
    isBuiltIn = Property(bool, lambda self: False)
    isInstalled = Property(bool, lambda self: False)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._panel: Any = None

    def _start(self) -> None:
        """Does what setPythonSource does: imports the file and makes ``<Name>`` and ``<Name>Logic``'s holder."""
        name = self._path.stem
        if str(self._path.parent) not in sys.path:
            sys.path.insert(0, str(self._path.parent))
        module = importlib.import_module(name)
        instance = getattr(module, name)(wrap(self))
        setattr(slicer.modules, f"{name}Instance", instance)
        if hasattr(instance, "setup"):
            instance.setup()

    def widgetRepresentation(self) -> Any:
        """Returns the panel, which is made on first use."""
        if self._panel is None:
            self._panel = self.createNewWidgetRepresentation()
        return self._panel

    def createNewWidgetRepresentation(self) -> Any:
        panel = qSlicerScriptedLoadableModuleWidget(self._path.stem)
        panel._start()
        return panel

    def logic(self) -> Any:
        return None

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene
