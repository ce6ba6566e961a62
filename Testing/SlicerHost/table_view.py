"""Stand-ins of the table view and its widget: the columns of a MRML table node in a QTableView."""

from __future__ import annotations

from typing import Any

import vtk
from PySide6.QtCore import QItemSelection, Qt, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QTableView, QWidget

from .render_view import ViewWidget
from .widgets import stand_in, stored, weakly


@stand_in
class qMRMLTableView(QTableView):
    """Shows a table node and follows its changes."""

    mrmlSceneChanged = Signal(object)
    _selected = Signal(name="selectionChanged")  # the method of this name is a virtual one of Qt
    CPP_SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)
    transposed = stored(bool, "transposed", False)
    firstRowLocked = stored(bool, "firstRowLocked", False)
    firstColumnLocked = stored(bool, "firstColumnLocked", False)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._table: Any = None
        self._tag = 0
        self._model = QStandardItemModel(self)
        self.setModel(self._model)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlTableNode(self) -> Any:
        return self._table

    def setMRMLTableNode(self, node: Any) -> None:
        if self._table is not None:
            self._table.RemoveObserver(self._tag)
        self._table = node
        if node is not None:
            self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, weakly(self, "_fill"))
        self._fill()

    def tableModel(self) -> QStandardItemModel:
        return self._model

    def _fill(self) -> None:
        table = self._table.GetTable() if self._table is not None else None
        self._model.clear()
        if table is None:
            return
        columns = range(table.GetNumberOfColumns())
        self._model.setHorizontalHeaderLabels([table.GetColumnName(column) for column in columns])
        for row in range(table.GetNumberOfRows()):
            items = [QStandardItem(table.GetValue(row, column).ToString()) for column in columns]
            for item in items if self._table.GetLocked() else ():
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            self._model.appendRow(items)

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        super().selectionChanged(selected, deselected)
        self._selected.emit()


@stand_in
class qMRMLTableWidget(ViewWidget):
    """A table view in the layout; shows the table that its view node names."""

    def __init__(self, view_node: Any, application_logic: Any) -> None:
        super().__init__(qMRMLTableView(), view_node)
        view_node.AddObserver(vtk.vtkCommand.ModifiedEvent, weakly(self, "_follow"))
        self._follow()

    def _follow(self) -> None:
        table = self._node.GetTableNode()
        if table is not self._view.mrmlTableNode():  # type: ignore[attr-defined]
            self._view.setMRMLTableNode(table)  # type: ignore[attr-defined]

    def mrmlTableViewNode(self) -> Any:
        return self._node

    def tableView(self) -> qMRMLTableView:
        return self._view  # type: ignore[return-value]
