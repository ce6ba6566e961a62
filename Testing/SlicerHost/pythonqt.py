"""PythonQt's ways over PySide6: every QObject is reached through a face that answers as PythonQt does.

A face reads and writes Qt properties as attributes, knows signals and slots by the object's own meta-object, and
refuses what PythonQt refuses (``PythonQtInstanceWrapper.cpp``): an unknown attribute, a new attribute on a C++
object, a value that a property does not take. Behind the face stands the plain PySide6 object, so that the stand-ins
of ctk and qMRML widgets are ordinary PySide6 classes and need no knowledge of this file.

Deviation: an unknown signal raises here, where PythonQt prints a line and returns False, so that a test cannot pass
over it.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import shiboken6
from PySide6.QtCore import QMetaObject, QObject

from . import signals

ledger: set[tuple[str, str]] = set()
"""Every (class name, member name) that was reached through a face: what a test run proves was used."""

_faces: dict[type, FaceType] = {}


def wrap(value: Any) -> Any:
    """Returns the face of a QObject, or the value itself; Qt's lists become tuples, as in PythonQt."""
    if isinstance(value, QObject):
        known = value.__dict__.get("_face")
        face = known() if isinstance(known, weakref.ref) else known
        return face if face is not None else face_class(type(value))._of(value)
    return tuple(wrap(each) for each in value) if type(value) in (list, tuple) else value


def unwrap(value: Any) -> Any:
    """Returns the PySide6 object behind a face, also inside lists; anything else as it is."""
    if isinstance(value, Face):
        return value._native
    if type(value) in (list, tuple):
        return type(value)(unwrap(each) for each in value)
    return value


def face_class(native: type) -> FaceType:
    """Returns the one face class of a PySide6 class; its bases are the faces of the native bases."""
    if native not in _faces:
        bases = tuple(face_class(base) for base in native.__bases__ if issubclass(base, QObject)) or (Face,)
        _faces[native] = FaceType(
            native.__name__, bases, {"__slots__": (), "_class": native, "__doc__": native.__doc__}
        )
    return _faces[native]


def _callable(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        return wrap(function(*map(unwrap, arguments), **{name: unwrap(value) for name, value in named.items()}))

    return call


class FaceType(type):
    """The class of faces: gives enums and static methods of the native class, and lets Python classes derive."""

    _class: type

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> FaceType:
        created = super().__new__(mcs, name, bases, body)
        if bases and "_class" not in body:
            created._class = _shell(created, name, body)
        return created

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in dir(cls._class):
            raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")
        ledger.add((cls.__name__, name))
        value = getattr(cls._class, name)
        return _callable(value) if callable(value) and not isinstance(value, type) else value


def _shell(face: FaceType, name: str, body: dict[str, Any]) -> type:
    """Makes the native class of a Python-derived face: C++ virtual calls reach the methods written in Python."""
    native: Any = next(base._class for base in face.__mro__[1:] if isinstance(base, FaceType))

    def forward(method: str) -> Callable[..., Any]:
        def call(self: Any, *arguments: Any) -> Any:
            return unwrap(getattr(wrap(self), method)(*map(wrap, arguments)))

        return call

    overridden = [method for method, value in body.items() if callable(value) and not method.startswith("_")]
    return type(name, (native,), {method: forward(method) for method in overridden if hasattr(native, method)})


class Face(metaclass=FaceType):
    """What Python code sees of a QObject."""

    __slots__ = ("__weakref__", "_native")
    _class: type = QObject
    _native: Any

    def __init__(self, *arguments: Any, **named: Any) -> None:
        native = type(self)._class(*map(unwrap, arguments), **{key: unwrap(value) for key, value in named.items()})
        object.__setattr__(self, "_native", native)
        # A Python-derived object lives as long as its C++ half; a plain wrapper goes when nobody holds it.
        native._face = self if _is_derived(type(self)) else weakref.ref(self)

    @classmethod
    def _of(cls, native: Any) -> Face:
        face = object.__new__(cls)
        object.__setattr__(face, "_native", native)
        native._face = weakref.ref(face)
        return face

    def _meta(self, doing: str) -> QMetaObject:
        if not shiboken6.isValid(self._native):
            raise ValueError(f"Trying to {doing} a destroyed {type(self).__name__} object")
        return self._native.metaObject()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        meta = self._meta(f"read '{name}' of")
        ledger.add((meta.className(), name))
        key = _property_name(meta, name)
        if key is not None:
            return wrap(self._native.property(key))
        overloads = signals.overloads(self._native, name)
        if overloads:
            return signals.BoundSignal(self, overloads)
        for spelling in (name, name.removesuffix("_")):  # exec_ finds exec
            if not spelling.startswith("_") and hasattr(type(self._native), spelling):
                value = getattr(self._native, spelling)
                return _callable(value) if callable(value) and not isinstance(value, type) else value
        if name.encode() in self._native.dynamicPropertyNames():
            return self._native.property(name)
        for child in self._native.children():
            if child.objectName() == name:
                return wrap(child)
        raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        if not shiboken6.isValid(self._native):
            raise AttributeError(f"Trying to set '{name}' on a destroyed {type(self).__name__} object")
        meta = self._native.metaObject()
        ledger.add((meta.className(), name))
        key = _property_name(meta, name)
        if key is not None:
            self._write(meta.property(meta.indexOfProperty(key)), value)
        elif signals.overloads(self._native, name) or (
            hasattr(type(self._native), name) and not _is_derived(type(self))
        ):
            raise AttributeError(f"Slot or signal '{name}' can not be overwritten on {type(self).__name__} object")
        elif name.encode() in self._native.dynamicPropertyNames():
            self._native.setProperty(name, unwrap(value))
        elif _is_derived(type(self)):
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(
                f"'{name}' does not exist on {type(self).__name__} and creating new attributes on C++ objects is "
                "not allowed"
            )

    def _write(self, prop: Any, value: Any) -> None:
        if not prop.isWritable():
            raise AttributeError(f"Property '{prop.name()}' of {type(self).__name__} object is not writable")
        if not prop.write(self._native, _converted(unwrap(value), prop.typeName())):
            raise AttributeError(
                f"Property '{prop.name()}' of type '{prop.typeName()}' does not accept an object of type "
                f"{type(value).__name__} ({value!r})"
            )

    def __eq__(self, other: object) -> bool:
        if other is None:
            return not shiboken6.isValid(self._native)
        return isinstance(other, Face) and self._native is other._native

    def __hash__(self) -> int:
        return id(self._native)

    def __bool__(self) -> bool:
        return shiboken6.isValid(self._native)

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({type(self).__name__} at: 0x{id(self._native):x})"

    def className(self) -> str:
        return type(self).__name__

    def inherits(self, class_name: str) -> bool:
        return self._native.inherits(class_name)

    def delete(self) -> None:
        shiboken6.delete(self._native)

    def connect(self, signal: str, *target: Any) -> bool:
        """``connect(signal, callable)`` or ``connect(signal, receiver, slot)``."""
        self._meta(f"connect to '{signal}' of")
        ledger.add((type(self).__name__, signal))
        if len(target) >= 2:
            return signals.connect(self._native, signal, getattr(target[0], target[1].partition("(")[0]))
        return signals.connect(self._native, signal, *target)

    def disconnect(self, signal: str, *target: Any) -> bool:
        self._meta(f"disconnect '{signal}' of")
        slot = getattr(target[0], target[1].partition("(")[0]) if len(target) >= 2 else (target or (None,))[0]
        return signals.disconnect(self._native, signal, slot)

    def children(self) -> tuple[Any, ...]:
        return tuple(wrap(child) for child in self._native.children())

    def findChild(self, kind: Any, name: str | None = None) -> Any:
        return next(iter(self.findChildren(kind, name)), None)

    def findChildren(self, kind: Any, name: str | None = None) -> tuple[Any, ...]:
        return tuple(wrap(child) for child in _descendants(self._native, kind, name))


def _is_derived(face: type) -> bool:
    return "_class" in face.__dict__ and face not in _faces.values() and face is not Face


def _property_name(meta: QMetaObject, name: str) -> str | None:
    """Returns the Qt property an attribute means; ``name`` is objectName, QTimer's singleShot is the function."""
    if meta.indexOfProperty(name) >= 0:
        return None if name == "singleShot" and meta.className() == "QTimer" else name
    return "objectName" if name == "name" else None


def _converted(value: Any, type_name: str) -> Any:
    """Converts as ``PythonQtConv::PyObjToQVariant`` does before a property is written."""
    if type_name == "bool":
        return bool(value)
    if type_name == "QString":
        return str(value)
    if type_name == "int" and isinstance(value, float):
        return math.floor(value)
    if type_name == "QStringList":
        return [str(each) for each in value]
    return value


def _descendants(parent: QObject, kind: Any, name: str | None) -> Iterator[QObject]:
    """Walks as ``PythonQtStdDecorators::findChildren`` does; ``kind`` is a class name or a face class."""
    for child in parent.children():
        fits = child.inherits(kind) if isinstance(kind, str) else isinstance(child, kind._class)
        if fits and (name is None or child.objectName() == name):
            yield child
        yield from _descendants(child, kind, name)
