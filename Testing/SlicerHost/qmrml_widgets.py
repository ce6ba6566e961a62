"""Stand-ins of the qMRML widgets, bound to the real scene; public names are those of Slicer's headers, no more."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from .ctk_widgets import ctkSliderWidget
from .widgets import absent, stand_in, stored


class SceneHolder(QWidget):
    """A widget that keeps the scene and announces a new one."""

    mrmlSceneChanged = Signal(object)
    CPP_SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)
    _scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@stand_in
class qMRMLWidget(SceneHolder):
    """The root of a module panel."""

    def mrmlScene(self) -> Any:
        return self._scene


@stand_in
class qSlicerWidget(SceneHolder):
    """The same of the application's own panels; its mrmlScene() is not open to Python."""


@stand_in
class qMRMLSliderWidget(ctkSliderWidget):
    """A slider that knows the scene; units are not followed here."""

    quantity = stored(str, "quantity", "")
    unitAwareProperties = stored(int, "unitAwareProperties", 0)
    orientation = stored(int, "orientation", 1)
    _scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene


for _name in (
    "qMRMLCheckableNodeComboBox",
    "qMRMLRangeWidget",
    "qMRMLSegmentSelectorWidget",
    "qMRMLSegmentsTableView",
    "qMRMLSpinBox",
    "qMRMLSubjectHierarchyComboBox",
    "qMRMLSubjectHierarchyTreeView",
):
    stand_in(absent(_name))
