"""What the ctk and qMRML stand-ins share: stored properties, and the list of names with no stand-in."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Property
from PySide6.QtWidgets import QWidget

implemented: dict[str, type] = {}
"""Class name to PySide6 class of every stand-in; .ui files, ``ctk`` and ``slicer`` find them here."""


def stand_in(native: type) -> type:
    """Registers a stand-in under its own name."""
    implemented[native.__name__] = native
    return native


def stored(kind: Any, name: str, default: Any, changed: Callable[[Any], None] | None = None) -> Any:
    """Returns a Qt property that keeps its value in the object and calls ``changed(self)`` after a new one."""
    key = "_" + name

    def read(self: Any) -> Any:
        return self.__dict__.get(key, default)

    def write(self: Any, value: Any) -> None:
        if value != read(self):
            self.__dict__[key] = value
            if changed is not None:
                changed(self)

    return Property(kind, read, write)


def weakly(target: object, method: str) -> Callable[..., None]:
    """Returns a VTK observer that calls a method, with the event's data if it has any, and keeps no object alive."""
    reference = weakref.ref(target)

    def call(caller: Any, event: str, *data: Any) -> None:
        alive = reference()
        if alive is not None:
            getattr(alive, method)(*data)

    return call


def absent(name: str) -> type:
    """Returns a class of a name that Slicer has and the host does not build; it may be compared with, not made."""

    def refuse(self: Any, *arguments: Any) -> None:
        raise NotImplementedError(f"the test host has no stand-in for {name}: add one to Testing/SlicerHost")

    return type(name, (QWidget,), {"__init__": refuse})
