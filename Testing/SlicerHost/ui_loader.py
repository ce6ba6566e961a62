"""QUiLoader that makes the ctk and qMRML widgets of a .ui file and connects their MRML signals."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from PySide6.QtCore import QBuffer, QByteArray, QFile, QIODevice, QObject
from PySide6.QtUiTools import QUiLoader as _QUiLoader
from PySide6.QtWidgets import QWidget

from . import signals
from .pythonqt import wrap
from .widgets import implemented


class QUiLoader(_QUiLoader):
    """Loads a .ui file as the application does; an unknown custom widget is an error, not a plain QWidget."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._made: list[Any] = []

    def createWidget(self, class_name: str, parent: QWidget | None = None, name: str = "") -> QWidget:
        if class_name in implemented:
            widget = implemented[class_name](parent)
            widget.setObjectName(name)
        else:
            widget = super().createWidget(class_name, parent, name)
            if widget is None:
                raise RuntimeError(f"the .ui file asks for {class_name}: the test host has no stand-in for it")
        self._made.append(widget)
        return widget

    def load(self, source: Any, parent: QWidget | None = None) -> QWidget:
        """Loads from a QFile or a path."""
        path = Path(source.fileName() if isinstance(source, QFile) else str(source))
        root = ElementTree.parse(path).getroot()
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)
        _refuse_unknown_widgets(root, path)
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(root)))
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(f"{path} did not load: {self.errorString()}")
        for each in connections if connections is not None else ():
            _connect(widget, *(each.findtext(part) or "" for part in ("sender", "signal", "receiver", "slot")))
        widget.__dict__["_made"] = self._made  # Python halves of the stand-ins live as long as the panel
        return widget


def _refuse_unknown_widgets(root: ElementTree.Element, path: Path) -> None:
    promoted = {each.findtext("class") for each in root.iter("customwidget")}
    missing = sorted(name for name in promoted if name and name not in implemented)
    if missing:
        raise RuntimeError(f"{path} asks for {', '.join(missing)}: the test host has no stand-in for it")


def _connect(root: QWidget, sender: str, signal: str, receiver: str, slot: str) -> None:
    def named(name: str) -> QObject:
        found = root if root.objectName() == name else root.findChild(QObject, name)
        if found is None:
            raise RuntimeError(f"a connection of the .ui file names '{name}', which is no widget of it")
        return found

    signals.connect(named(sender), signal, getattr(wrap(named(receiver)), slot.partition("(")[0]))
