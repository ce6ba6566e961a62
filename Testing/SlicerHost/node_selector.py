"""Stand-in of qMRMLNodeComboBox: the nodes of the real scene that pass its filters."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from .widgets import stand_in, stored, weakly

Filters = dict[tuple[str, str], Any]


@stand_in
class qMRMLNodeComboBox(QWidget):
    """Chooses a node; follows qMRMLNodeComboBox.cxx in what is chosen when nodes come and go."""

    currentNodeChanged: Any = Signal((object,), (bool,))  # type: ignore[arg-type]
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    CPP_SIGNALS = (
        "currentNodeChanged(vtkMRMLNode*)",
        "nodeActivated(vtkMRMLNode*)",
        "nodeAdded(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
        "nodeAddedByUserAction(vtkMRMLNode*)",
        "nodeAboutToBeRemoved(vtkMRMLNode*)",
        "nodeAboutToBeEdited(vtkMRMLNode*)",
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._scene_tags: list[int] = []
        self._watched: dict[str, tuple[Any, int]] = {}
        self._id = ""
        self._requested = ""
        self._conditions: Filters = {}
        self._names: dict[str, str] = {}
        self._combo = QComboBox(self)
        self._combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.activated.connect(self._picked)
        self.setEnabled(False)

    def _refresh(self) -> None:
        """Fills the list again and keeps the choice, or makes the one that Slicer makes."""
        if self._scene is None:
            return
        before = [self._combo.itemData(row) for row in range(self._combo.count())]
        place = before.index(self._id) if self._id in before else -1
        ids = self._fill()
        if self._id and self._id in ids:
            self._show()
        elif self._id:
            # The row of the removed node now holds the next node; where there is none, Slicer takes the last one.
            row = self._combo.itemData(place) if 0 <= place < self._combo.count() else None
            self.setCurrentNodeID(row if row in ids else ids[-1] if ids else "")
        elif not before and ids and not self.property("noneEnabled"):
            self.setCurrentNodeID(ids[0])  # a QComboBox chooses the first row that comes into an empty list
        else:
            self._show()

    def _fill(self) -> list[str]:
        blocked = self._combo.blockSignals(True)
        self._combo.clear()
        if self.property("noneEnabled"):
            self._combo.addItem(self.property("noneDisplay"), "")
        nodes = self._nodes()
        for node in nodes:
            self._combo.addItem(node.GetName() or "", node.GetID())
        self._watch(nodes)
        self._add_actions()
        self._combo.blockSignals(blocked)
        return [node.GetID() for node in nodes]

    def _add_actions(self) -> None:
        types = self.property("nodeTypes")
        label = self._label(types[0]) if len(types) == 1 else "node"
        actions = [("RENAME", f"Rename current {label}")] if self.property("renameEnabled") else []
        actions += [("EDIT", f"Edit current {label}")] if self.property("editEnabled") else []
        if self.property("addEnabled"):
            actions += [(f"CREATE/{each}", f"Create new {self._label(each)}") for each in types]
        actions += [("DELETE", f"Delete current {label}")] if self.property("removeEnabled") else []
        if actions:
            self._combo.insertSeparator(self._combo.count())
        for data, text in actions:
            self._combo.addItem(text, f"action/{data}")

    def _label(self, node_type: str) -> str:
        return self._scene.GetTypeDisplayNameByClassName(node_type) or "node"

    def _nodes(self) -> list[Any]:
        """Returns what is listed, in the order of the scene."""
        types = self.property("nodeTypes")
        found = {node.GetID(): node for each in types for node in _nodes_of_class(self._scene, each)}
        listed = [node for node in found.values() if self._accepts(node)]
        if len(types) > 1:
            listed.sort(key=self._scene.IsNodePresent)
        return listed

    def _node_came_or_went(self, node: Any) -> None:
        if any(node.IsA(each) for each in self.property("nodeTypes")):
            self._refresh()

    def _accepts(self, node: Any) -> bool:
        types = self.property("nodeTypes")
        exact = not self.property("showChildNodeTypes")
        if not any(node.GetClassName() == each if exact else node.IsA(each) for each in types):
            return False
        if any(node.IsA(each) and each not in types for each in self.property("hideChildNodeTypes")):
            return False
        if node.GetHideFromEditors() and not self.property("showHidden"):
            return False
        for (node_type, attribute), value in self._conditions.items():
            found = node.GetAttribute(attribute)
            if node.IsA(node_type) and (found is None or (value is not None and found != str(value))):
                return False
        return True

    def _watch(self, nodes: list[Any]) -> None:
        """Follows the nodes' names."""
        for node, tag in self._watched.values():
            node.RemoveObserver(tag)
        renamed = weakly(self, "_rename")
        self._watched = {
            node.GetID(): (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, renamed)) for node in nodes
        }

    def _rename(self) -> None:
        for row in range(self._combo.count()):
            node, _ = self._watched.get(self._combo.itemData(row), (None, 0))
            if node is not None and self._combo.itemText(row) != node.GetName():
                self._combo.setItemText(row, node.GetName() or "")

    def _show(self) -> None:
        blocked = self._combo.blockSignals(True)
        self._combo.setCurrentIndex(self._combo.findData(self._id))
        self._combo.blockSignals(blocked)

    def _picked(self, row: int) -> None:
        data = self._combo.itemData(row) or ""
        self._show()
        if data.startswith("action/CREATE/"):
            node = self.addNode(data.removeprefix("action/CREATE/"))
            self.setCurrentNode(node)
            self.nodeAddedByUserAction.emit(node)
        elif data == "action/DELETE":
            self.removeCurrentNode()
        elif data == "action/EDIT":
            self.editCurrentNode()
        elif not data.startswith("action/"):
            self.setCurrentNodeID(data)
            self.nodeActivated.emit(self.currentNode())

    addEnabled = stored(bool, "addEnabled", True, _refresh)
    removeEnabled = stored(bool, "removeEnabled", True, _refresh)
    editEnabled = stored(bool, "editEnabled", False, _refresh)
    renameEnabled = stored(bool, "renameEnabled", False, _refresh)
    noneEnabled = stored(bool, "noneEnabled", False, _refresh)
    noneDisplay = stored(str, "noneDisplay", "None", _refresh)
    showHidden = stored(bool, "showHidden", False, _refresh)
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, _refresh)
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], _refresh)
    nodeTypes = stored("QStringList", "nodeTypes", [], _refresh)
    baseName = stored(str, "baseName", "")
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    currentNodeID = Property(str, lambda self: self._id, lambda self, node_id: self.setCurrentNodeID(node_id))

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        self._scene_tags = []
        self.setEnabled(scene is not None)
        if scene is None:
            self._watch([])
            self._combo.clear()
            self.setCurrentNodeID("")
            return
        changed = weakly(self, "_node_came_or_went")
        changed.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
        for event in (slicer.vtkMRMLScene.NodeAddedEvent, slicer.vtkMRMLScene.NodeRemovedEvent):
            self._scene_tags.append(scene.AddObserver(event, changed))
        ids = self._fill()
        first = ids[0] if ids and not self.property("noneEnabled") else ""
        wanted, self._requested, self._id = self._requested or self._id or first, "", ""
        self._show()
        self.setCurrentNodeID(wanted)

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._id) if self._scene is not None and self._id else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        node_id = node_id or ""
        if self._scene is None:
            self._requested = node_id
            return
        if self._combo.findData(node_id) < 0:
            node_id = ""  # as Slicer does with a node that the selector does not list
        if node_id == self._id:
            return
        self._id = node_id
        self._show()
        node = self.currentNode()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node_id)

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    def nodeCount(self) -> int:
        return len(self._nodes()) if self._scene is not None else 0

    def nodeFromIndex(self, index: int) -> Any:
        nodes = self._nodes() if self._scene is not None else []
        return nodes[index] if 0 <= index < len(nodes) else None

    def nodeTypeLabel(self, node_type: str) -> str:
        return self._names.get(node_type) or self._label(node_type)

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._names[node_type] = label

    def addAttribute(self, node_type: str, attribute: str, value: Any = None) -> None:
        self._conditions[node_type, attribute] = value
        self._refresh()

    def removeAttribute(self, node_type: str, attribute: str) -> None:
        self._conditions.pop((node_type, attribute), None)
        self._refresh()

    def addNode(self, node_type: str | None = None) -> Any:
        types = self.property("nodeTypes")
        node_type = node_type or (types[0] if types else "")
        if node_type not in types:
            return None
        base = self.property("baseName") or self._label(node_type)
        node = self._scene.AddNewNodeByClass(node_type, self._scene.GenerateUniqueName(base))
        for (kind, attribute), value in self._conditions.items():
            if node.IsA(kind):
                node.SetAttribute(attribute, str(value if value is not None else ""))
        self._refresh()
        if self.property("selectNodeUponCreation"):
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())


def _nodes_of_class(scene: Any, class_name: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, class_name) for index in range(scene.GetNumberOfNodesByClass(class_name))]
