"""Stand-in of qSlicerLayoutManager: Slicer's own layout logic says which views there are; each has a widget."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import QWidget

from .plot_view import qMRMLPlotWidget
from .scene import SceneParts
from .slice_view import qMRMLSliceWidget
from .table_view import qMRMLTableWidget
from .three_d_view import qMRMLThreeDWidget
from .widgets import weakly

WIDGETS = {
    "vtkMRMLSliceNode": qMRMLSliceWidget,
    "vtkMRMLViewNode": qMRMLThreeDWidget,
    "vtkMRMLPlotViewNode": qMRMLPlotWidget,
    "vtkMRMLTableViewNode": qMRMLTableWidget,
}


class qSlicerLayoutManager(QObject):
    """Gives the views by name and number and follows the layout node."""

    layoutChanged = Signal(int)

    def __init__(self, parts: SceneParts) -> None:
        super().__init__()
        self._parts = parts
        self._widgets: dict[str, QWidget] = {}
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(parts.application_logic)
        self._logic.SetMRMLScene(parts.scene)
        self._node = self._logic.GetLayoutNode()
        self._shown = -1
        self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, weakly(self, "_follow"))
        self._node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._follow()

    def _follow(self) -> None:
        arrangement = self._node.GetViewArrangement()
        if arrangement == self._shown:
            return
        self._shown = arrangement
        for node in self._view_nodes():
            self._widget(node)
        self.layoutChanged.emit(arrangement)

    def _view_nodes(self) -> list[Any]:
        nodes = self._logic.GetViewNodes()
        return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]

    def _widget(self, node: Any) -> QWidget:
        if node.GetID() not in self._widgets:
            kind = next(each for each in WIDGETS if node.IsA(each))
            self._widgets[node.GetID()] = WIDGETS[kind](node, self._parts.application_logic)
        return self._widgets[node.GetID()]

    def _numbered(self, kind: str, number: int) -> Any:
        scene = self._parts.scene
        nodes = [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]
        known = [node for node in nodes if node.GetID() in self._widgets]
        return self._widget(known[number]) if number < len(known) else None

    layout = Property(int, lambda self: self._node.GetViewArrangement(), lambda self, to: self.setLayout(to))
    threeDViewCount = Property(int, lambda self: self._count("vtkMRMLViewNode"))
    tableViewCount = Property(int, lambda self: self._count("vtkMRMLTableViewNode"))
    plotViewCount = Property(int, lambda self: self._count("vtkMRMLPlotViewNode"))

    def _count(self, kind: str) -> int:
        return sum(node.IsA(kind) for node in self._view_nodes())

    def setLayout(self, layout: int) -> None:
        self._node.SetViewArrangement(layout)

    def mrmlScene(self) -> Any:
        return self._parts.scene

    def layoutLogic(self) -> Any:
        return self._logic

    def sliceViewNames(self) -> list[str]:
        return [node.GetLayoutName() for node in self._view_nodes() if node.IsA("vtkMRMLSliceNode")]

    def sliceWidget(self, name: str) -> Any:
        return next((each for each in self._slices() if each.mrmlSliceNode().GetLayoutName() == name), None)

    def _slices(self) -> list[qMRMLSliceWidget]:
        return [each for each in self._widgets.values() if isinstance(each, qMRMLSliceWidget)]

    def threeDWidget(self, number: int) -> Any:
        return self._numbered("vtkMRMLViewNode", number)

    def plotWidget(self, number: int) -> Any:
        return self._numbered("vtkMRMLPlotViewNode", number)

    def tableWidget(self, number: int) -> Any:
        return self._numbered("vtkMRMLTableViewNode", number)

    def viewWidget(self, node: Any) -> Any:
        return self._widget(node)

    def mrmlSliceLogics(self) -> Any:
        return self._parts.application_logic.GetSliceLogics()

    def mrmlViewLogics(self) -> Any:
        return self._parts.application_logic.GetViewLogics()

    def activeMRMLPlotViewNode(self) -> Any:
        return next((node for node in self._view_nodes() if node.IsA("vtkMRMLPlotViewNode")), None)

    def activeMRMLThreeDViewNode(self) -> Any:
        return next((node for node in self._view_nodes() if node.IsA("vtkMRMLViewNode")), None)

    def resetSliceViews(self) -> None:
        for widget in self._slices():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for number in range(self._count("vtkMRMLViewNode")):
            self.threeDWidget(number).threeDView().resetFocalPoint()
