"""Signals as PythonQt offers them: by name with connect/disconnect/emit, and by signature in ``connect``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import SIGNAL, QMetaMethod, QMetaObject, QObject

Slot = Callable[..., Any]


def signatures(native: QObject) -> dict[str, str]:
    """Returns every signal of an object as {signature in C++: signature in PySide6}.

    A stand-in names the C++ types of its Python signals in ``CPP_SIGNALS``, since PySide6 knows a MRML node only as
    PyObject.
    """
    meta = native.metaObject()
    key = (type(native), meta.className())
    if key not in _known:
        _known[key] = _read_signatures(type(native), meta)
    return _known[key]


_known: dict[tuple[type, str], dict[str, str]] = {}


def _read_signatures(native_class: type, meta: QMetaObject) -> dict[str, str]:
    found: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for base in reversed(native_class.__mro__):
        for signature in base.__dict__.get("CPP_SIGNALS", ()):
            here = re.sub(r"vtk\w+\*", "PyObject", signature).replace("qSlicerIO::IOProperties", "QVariantMap")
            renamed[here] = signature
    for method in map(meta.method, range(meta.methodCount())):
        if method.methodType() == QMetaMethod.MethodType.Signal:
            here = bytes(method.methodSignature().data()).decode()
            found.setdefault(renamed.get(here, here), here)
    return found


def overloads(native: QObject, name: str) -> list[str]:
    """Returns the C++ signatures of the signals of one name; the first is what ``signal.connect`` connects to."""
    return [signature for signature in signatures(native) if signature.partition("(")[0] == name]


def normalised(signature: str) -> str:
    """Writes a signature as Qt does: without blanks, const and reference."""
    name, _, rest = signature.partition("(")
    types = [part.strip().removeprefix("const ").replace("&", "") for part in rest.rstrip(") ").split(",")]
    return f"{name.strip()}({','.join(each.replace(' *', '*').strip() for each in types if each)})"


def _native_signature(native: QObject, signature: str) -> str:
    known = signatures(native)
    wanted = normalised(signature)
    if wanted not in known:
        raise AttributeError(
            f"signal '{signature}' does not exist on {native.metaObject().className()}; it has {', '.join(known)}"
        )
    return known[wanted]


def connect(native: QObject, signature: str, slot: Slot) -> bool:
    """Connects a callable; it gets no more arguments than it takes, as in ``PythonQtSignalTarget::call``."""
    here = _native_signature(native, signature)
    relay = _relay(slot)
    QObject.connect(native, SIGNAL(here), relay)
    native.__dict__.setdefault("_relays", []).append((here, slot, relay))
    return True


def disconnect(native: QObject, signature: str, slot: Slot | None) -> bool:
    """Disconnects one connection of this callable, or all of the signal; tells whether there was one."""
    here = _native_signature(native, signature)
    relays = native.__dict__.get("_relays", [])
    found = [each for each in relays if each[0] == here and (slot is None or each[1] == slot)]
    for each in found if slot is None else found[:1]:
        QObject.disconnect(native, SIGNAL(here), each[2])
        relays.remove(each)
    return bool(found)


def _relay(slot: Slot) -> Slot:
    from .pythonqt import wrap

    limit = None
    if inspect.isfunction(slot) or inspect.ismethod(slot):
        code = slot.__code__
        if not code.co_flags & inspect.CO_VARARGS:
            limit = code.co_argcount - inspect.ismethod(slot)

    def relay(*arguments: Any) -> None:
        slot(*map(wrap, arguments[:limit]))

    return relay


class BoundSignal:
    """One signal of one object: ``button.clicked.connect(f)``."""

    def __init__(self, face: Any, names: list[str]) -> None:
        self._face = face
        self._names = names

    def connect(self, slot: Slot) -> bool:
        return connect(self._face._native, self._names[0], slot)

    def disconnect(self, slot: Slot | None = None) -> bool:
        return disconnect(self._face._native, self._names[0], slot)

    def emit(self, *arguments: Any) -> None:
        from .pythonqt import unwrap

        native = self._face._native
        name = self._names[0].partition("(")[0]
        fitting = [each for each in self._names if _count(each) == len(arguments)]
        if not fitting:
            raise ValueError(
                f"Called {name} with wrong arguments: {arguments}, {type(native).__name__} has {self._names}"
            )
        native.emit(SIGNAL(signatures(native)[fitting[0]]), *map(unwrap, arguments))

    __call__ = emit


def _count(signature: str) -> int:
    inside = signature.partition("(")[2].rstrip(")")
    return inside.count(",") + 1 if inside else 0
