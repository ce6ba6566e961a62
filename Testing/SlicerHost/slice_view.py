"""Stand-ins of the slice view and its widget, drawn by Slicer's slice logic and displayable managers."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from .qmrml_widgets import qMRMLSliderWidget
from .render_view import MrmlView, ViewWidget, displayable_managers
from .widgets import stand_in

MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


@stand_in
class qMRMLSliceView(MrmlView):
    """Draws one slice node."""

    def __init__(self, logic: Any, application_logic: Any) -> None:
        super().__init__()
        self._logic = logic
        self._application_logic = application_logic

    def _start(self, window: Any) -> None:
        renderer = vtk.vtkRenderer()
        window.AddRenderer(renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(window)
        renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._actor.SetVisibility(False)
        # Before the displayable managers add theirs, or the scan would hide what they draw over it.
        renderer.AddViewProp(self._actor)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory
        self._group = displayable_managers(factory, MANAGERS, renderer, self._application_logic)
        self._group.SetMRMLDisplayableNode(self._logic.GetSliceNode())

    def _prepare(self) -> None:
        connection = self._logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._actor.SetVisibility(connection is not None)

    def _resize_view(self, columns: int, rows: int) -> None:
        super()._resize_view(columns, rows)
        self._logic.ResizeSliceNode(columns, rows)

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def displayableManagerByClassName(self, name: str) -> Any:
        self.renderWindow()
        return self._group.GetDisplayableManagerByClassName(name)


@stand_in
class qMRMLSliceControllerWidget(QWidget):
    """The offset slider of a slice view."""

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._logic = logic
        self._slider = qMRMLSliderWidget(self)
        self._slider.setProperty("minimum", -500.0)
        self._slider.setProperty("maximum", 500.0)
        self._slider.valueChanged.connect(self.setSliceOffsetValue)

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceOffsetSlider(self) -> qMRMLSliderWidget:
        return self._slider

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)

    def fitSliceToBackground(self) -> None:
        _fit(self._logic)

    def rotateSliceToLowestVolumeAxes(self) -> None:
        self._logic.RotateSliceToLowestVolumeAxes()


@stand_in
class qMRMLSliceWidget(ViewWidget):
    """A slice view with its logic; ``layoutManager().sliceWidget('Red')``."""

    nodeAboutToBeEdited = Signal(object)
    CPP_SIGNALS = ("nodeAboutToBeEdited(vtkMRMLNode*)",)

    def __init__(self, slice_node: Any, application_logic: Any) -> None:
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(slice_node.GetScene())
        self._logic.SetSliceNode(slice_node)
        application_logic.GetSliceLogics().AddItem(self._logic)
        super().__init__(qMRMLSliceView(self._logic, application_logic), slice_node)
        self._controller = qMRMLSliceControllerWidget(self._logic)

    def mrmlSliceNode(self) -> Any:
        return self._node

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceLogic(self) -> Any:
        return self._logic

    def logic(self) -> Any:
        return self._logic

    def sliceView(self) -> qMRMLSliceView:
        return self._view  # type: ignore[return-value]

    def sliceController(self) -> qMRMLSliceControllerWidget:
        return self._controller

    def fitSliceToBackground(self) -> None:
        _fit(self._logic)


def _fit(logic: Any) -> None:
    logic.FitSliceToBackground()
    logic.SnapSliceOffsetToIJK()
