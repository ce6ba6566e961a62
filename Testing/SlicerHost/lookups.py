"""Looks names up in what is installed: the wrapping of MRML and VTK, and PySide6."""

from __future__ import annotations

import importlib
from typing import Any

import PySide6.QtCore
import PySide6.QtGui
import PySide6.QtWidgets
import slicer
import vtk

from .names import Use
from .signals import normalised, signatures

EVERY_OBJECT = frozenset(
    [
        "name",
        "connect",
        "disconnect",
        "parent",
        "setParent",
        "children",
        "findChild",
        "findChildren",
        "property",
        "setProperty",
        "tr",
        "className",
        "inherits",
        "help",
        "delete",
    ]
)
"""PythonQt gives these to every object (PythonQtStdDecorators.h, PythonQtInstanceWrapper.cpp)."""


def vtk_class(name: str) -> Any:
    """Returns the wrapped class of this name, or None."""
    if not name.startswith("vtk") or "." in name:
        return None
    return getattr(slicer, name, None) or getattr(vtk, name, None)


def wrapped_classes() -> list[type]:
    """Returns every wrapped class of MRML and VTK."""
    names = sorted({*dir(slicer), *dir(vtk)})
    return [found for name in names if isinstance(found := vtk_class(name), type)]


def declaring_class(name: str, member: str) -> type | None:
    """Returns the class that declares a member of a class.

    A method that returns a base class, such as GetDisplayNode, often gives an object of a derived one: where the class
    lacks the member, a derived class that has it counts.
    """
    named = vtk_class(name)
    for start in (named, *(each for each in wrapped_classes() if issubclass(each, named))):
        if hasattr(start, member):
            return next((each for each in start.__mro__ if member in each.__dict__), start)
    return None


def qt_name(name: str) -> Any:
    """Returns what PySide6 has under this name, or None."""
    for module in (PySide6.QtCore, PySide6.QtGui, PySide6.QtWidgets):
        if hasattr(module, name):
            return getattr(module, name)
    return None


def qt_has(class_name: str, use: Use) -> bool:
    """Tells whether a Qt class has the property, method or signal that is used."""
    found = PySide6.QtWidgets.QWidget if class_name.startswith("QVTK") else qt_name(class_name)
    if found is None:
        return False
    name = use.member
    if use.kind != "connect" and (not name or name in EVERY_OBJECT or hasattr(found, name.removesuffix("_"))):
        return True
    sample = _sample(found)
    if sample is None:
        return False
    if use.kind == "connect":
        return normalised(name) in signatures(sample)
    return bool(sample.metaObject().indexOfProperty(name) >= 0)


def _sample(kind: Any) -> Any:
    """Returns an object to ask: PySide6's ``staticMetaObject`` of a class dies with the first object of the class."""
    if not (isinstance(kind, type) and issubclass(kind, PySide6.QtCore.QObject)):
        return None
    if issubclass(kind, PySide6.QtCore.QCoreApplication):
        return PySide6.QtWidgets.QApplication.instance()
    try:
        return type("Sample", (kind,), {})()  # a class of Python's own, so that abstract classes can be asked, too
    except (TypeError, NotImplementedError):
        return None


def resolve(path: str) -> Any:
    """Returns the module or object of a path such as ``slicer.util`` or ``qt.Qt``; None where there is none."""
    root, *parts = path.split(".")
    if root == "qt":
        return qt_name(parts[0])
    thing: Any = {"slicer": slicer, "vtk": vtk}[root]
    for number, part in enumerate(parts, start=2):
        if not hasattr(thing, part) and not _import(".".join(path.split(".")[:number])):
            return None
        thing = getattr(thing, part)
    return thing


def _import(path: str) -> bool:
    try:
        importlib.import_module(path)
    except ImportError:
        return False
    return True
