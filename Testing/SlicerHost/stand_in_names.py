"""Lists what the stand-ins offer under names of their own, so that it can be compared with Slicer's headers."""

from __future__ import annotations

from PySide6.QtCore import Property, QObject, Signal

from . import application, io_manager, layout_manager, modules
from .widgets import implemented

_OTHERS = (
    application.qSlicerApplication,
    application.qSlicerCommandOptions,
    application.qSlicerModuleFactoryManager,
    application.qSlicerModuleManager,
    io_manager.qSlicerIOManager,
    layout_manager.qSlicerLayoutManager,
    modules.qSlicerLoadableModule,
)


def offered() -> list[tuple[str, str]]:
    """Returns (class name, property, method or signal) of every stand-in, Qt's own names and virtuals left out."""
    found = []
    for native in (*implemented.values(), *_OTHERS):
        ours = [base for base in native.__mro__ if base.__module__.startswith(__package__ or "")]
        renamed = {signature for base in ours for signature in base.__dict__.get("CPP_SIGNALS", ())}
        found += [(native.__name__, signature) for signature in sorted(renamed)]
        for name, value in sorted({name: value for base in ours for name, value in base.__dict__.items()}.items()):
            if name.startswith("_") or name == "CPP_SIGNALS" or name == "staticMetaObject" or _is_of_qt(native, name):
                continue
            if isinstance(value, Property | Signal) or callable(value) or isinstance(value, int):
                found.append((native.__name__, name))
    return found


def _is_of_qt(native: type, name: str) -> bool:
    bases = [base for base in native.__mro__ if base.__module__.startswith("PySide6") and issubclass(base, QObject)]
    return any(hasattr(base, name) for base in bases)
