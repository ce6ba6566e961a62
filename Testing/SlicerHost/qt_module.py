"""The modules ``qt`` and ``ctk`` as a Slicer module imports them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from . import ctk_widgets, node_selector  # noqa: F401  (they register their stand-ins)
from .pythonqt import face_class
from .ui_loader import QUiLoader
from .widgets import implemented

_SOURCES = (QtCore, QtGui, QtWidgets)


class _QtModule(ModuleType):
    """PySide6's names by PythonQt's ways; plain values such as QColor and QIcon are PySide6's own."""

    def __getattr__(self, name: str) -> Any:
        value = QUiLoader if name == "QUiLoader" else _find(name)
        if isinstance(value, type) and issubclass(value, QtCore.QObject):
            value = face_class(value)
        elif isinstance(value, type) and name.endswith("Item"):
            value = type(name, (value,), {"__setattr__": _refuse})
        setattr(self, name, value)
        return value


def _find(name: str) -> Any:
    if not name.startswith("_"):
        for source in _SOURCES:
            if hasattr(source, name):
                return getattr(source, name)
    raise AttributeError(f"module 'qt' has no attribute '{name}'")


def _refuse(self: Any, name: str, value: Any) -> None:
    raise AttributeError(
        f"'{name}' does not exist on {type(self).__name__} and creating new attributes on C++ objects is not allowed"
    )


class _CtkModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("ctk") and name in implemented:
            return face_class(implemented[name])
        raise AttributeError(f"module 'ctk' has no attribute '{name}', or the test host has no stand-in for it")


def install() -> None:
    """Makes ``import qt`` and ``import ctk`` find the host's modules."""
    sys.modules.setdefault("qt", _QtModule("qt"))
    sys.modules.setdefault("ctk", _CtkModule("ctk"))
