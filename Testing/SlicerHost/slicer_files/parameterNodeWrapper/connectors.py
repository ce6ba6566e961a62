"""How a widget shows and changes a parameter."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ctk
import qt
import slicer

from .storage import is_node, members, split
from .validators import Choice, Maximum, Minimum, WithinRange


@dataclass
class Connector:
    """Reads and writes one widget; ``signal`` tells of a change by the user, and is empty where there is none."""

    widget: Any
    signal: str
    read: Callable[[], Any]
    write: Callable[[Any], None]

    def connect(self, changed: Callable[[], None]) -> None:
        if self.signal:
            getattr(self.widget, self.signal).connect(changed)

    def disconnect(self, changed: Callable[[], None]) -> None:
        if self.signal:
            getattr(self.widget, self.signal).disconnect(changed)


def connector(widget: Any, annotated: Any) -> Connector:
    """Returns the connector of a widget and a type, or raises RuntimeError where Slicer has none either."""
    kind, annotations = split(annotated)
    found = type(widget)
    if is_node(kind) and found is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [each.__name__ for each in members(kind)]
        return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    if kind is bool and found in (qt.QCheckBox, ctk.ctkCheckBox, qt.QPushButton):
        if found is qt.QPushButton:
            widget.checkable = True
        return _property(widget, "stateChanged" if found is not qt.QPushButton else "toggled", "checked", bool)
    if kind in (int, float) and found in (qt.QDoubleSpinBox, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget):
        _bound(widget, annotations)
        return _property(widget, "valueChanged", "value", kind)
    if kind is int and found in (qt.QSlider, qt.QSpinBox):
        _bound(widget, annotations)
        return _property(widget, "valueChanged", "value", int)
    if found in (qt.QComboBox, ctk.ctkComboBox):
        return _choice(widget, kind, annotations)
    if kind is str and found is qt.QLineEdit:
        return _property(widget, "textChanged", "text", str)
    if kind is str and found is qt.QLabel:
        return _property(widget, "", "text", str)
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath) and found is ctk.ctkPathLineEdit:
        return Connector(
            widget,
            "currentPathChanged",
            lambda: kind(widget.currentPath),
            lambda value: setattr(widget, "currentPath", str(value)),
        )
    raise RuntimeError(f"Unable to create GUI connector from datatype '{annotated}' to widget type '{found}'.")


def _property(widget: Any, signal: str, name: str, kind: Callable[[Any], Any]) -> Connector:
    def write(value: Any) -> None:
        if getattr(widget, name) != value:
            setattr(widget, name, kind(value))

    return Connector(widget, signal, lambda: kind(getattr(widget, name)), write)


def _bound(widget: Any, annotations: list[Any]) -> None:
    low = next((each.minimum for each in annotations if isinstance(each, WithinRange | Minimum)), None)
    high = next((each.maximum for each in annotations if isinstance(each, WithinRange | Maximum)), None)
    sliders = (qt.QSlider, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget)
    if type(widget) in sliders and (low is None or high is None):
        raise RuntimeError(f"Cannot have a connection to {type(widget).__name__} where the number is unbounded.")
    whole = type(widget) in (qt.QSlider, qt.QSpinBox)
    widget.minimum = low if low is not None else -(2**31) if whole else float("-inf")
    widget.maximum = high if high is not None else 2**31 - 1 if whole else float("inf")


def _choice(widget: Any, kind: Any, annotations: list[Any]) -> Connector:
    choices: list[tuple[str, Any]]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        label = getattr(kind, "label", lambda each: each.name)
        choices = [(label(each), each) for each in kind]
    else:
        allowed = next((each.choices for each in annotations if isinstance(each, Choice)), None)
        if allowed is None:
            raise RuntimeError("a combo box needs an enum, or the Choice annotation")
        choices = [(str(each), each) for each in allowed]
    values = [value for _, value in choices]
    widget.clear()
    widget.addItems([text for text, _ in choices])

    def write(value: Any) -> None:
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)
