"""Stand-ins of the 3D view and its widget, drawn by Slicer's displayable managers."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .render_view import MrmlView, ViewWidget, displayable_managers
from .widgets import stand_in

MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


@stand_in
class qMRMLThreeDView(MrmlView):
    """Draws one view node."""

    def __init__(self, view_node: Any, application_logic: Any) -> None:
        super().__init__()
        self._view_node = view_node
        self._application_logic = application_logic

    def _start(self, window: Any) -> None:
        self._renderer = vtk.vtkRenderer()
        window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(window)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory
        self._group = displayable_managers(factory, MANAGERS, self._renderer, self._application_logic)
        self._group.SetMRMLDisplayableNode(self._view_node)

    def mrmlViewNode(self) -> Any:
        return self._view_node

    def displayableManagerByClassName(self, name: str) -> Any:
        self.renderWindow()
        return self._group.GetDisplayableManagerByClassName(name)

    def resetFocalPoint(self) -> None:
        """Looks at the middle of what is shown."""
        self.renderWindow()
        self._renderer.ResetCamera()

    def resetCamera(self, rotation: bool = True, translation: bool = True, distance: bool = True) -> None:
        self.resetFocalPoint()

    def rotateToViewAxis(self, axis: int) -> None:
        """Looks from one of the six sides (``vtkMRMLCameraNode::Direction``) and resets the focal point."""
        self.renderWindow()
        directions = ((1, 0, 0), (-1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
        camera = self._renderer.GetActiveCamera()
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(*directions[axis])
        camera.SetViewUp((0, 1, 0) if axis >= 4 else (0, 0, 1))
        self._renderer.ResetCamera()


@stand_in
class qMRMLThreeDWidget(ViewWidget):
    """A 3D view; ``layoutManager().threeDWidget(0)``."""

    def __init__(self, view_node: Any, application_logic: Any) -> None:
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetName(view_node.GetLayoutName())  # by its name it finds the view node in the scene
        self._logic.SetMRMLScene(view_node.GetScene())
        application_logic.GetViewLogics().AddItem(self._logic)
        super().__init__(qMRMLThreeDView(view_node, application_logic), view_node)

    def mrmlViewNode(self) -> Any:
        return self._node

    def viewLogic(self) -> Any:
        return self._logic

    def threeDView(self) -> qMRMLThreeDView:
        return self._view  # type: ignore[return-value]
