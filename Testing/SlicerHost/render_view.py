"""Offscreen VTK views: a render window made on first use, Slicer's displayable managers, pictures as QImage."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6.QtCore import QSize
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget
from vtk.util.numpy_support import vtk_to_numpy

from .qmrml_widgets import qMRMLWidget
from .widgets import stored


class RenderView(QWidget):
    """A widget that is a VTK render window, drawn when a picture of it is asked for."""

    _view_size = (480, 400)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._window: Any = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def _start(self, window: Any) -> None:
        """Fills a new render window; each kind of view has its own."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Brings what is drawn in step with the scene, just before drawing."""

    def renderWindow(self) -> Any:
        if self._window is None:
            self._window = vtk.vtkRenderWindow()
            self._window.SetOffScreenRendering(1)
            self._window.SetMultiSamples(0)
            self._window.SetSize(*self._view_size)
            self._start(self._window)
        self._prepare()
        return self._window

    def _draw(self) -> QImage:
        window = self.renderWindow()
        window.SetSize(*self._view_size)
        window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(window)
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        columns, rows, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3]
        data = np.ascontiguousarray(pixels)
        return QImage(data.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888).copy()

    def sizeHint(self) -> QSize:
        return QSize(*self._view_size)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._resize_view(max(event.size().width(), 16), max(event.size().height(), 16))

    def _resize_view(self, columns: int, rows: int) -> None:
        self._view_size = (columns, rows)

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).drawImage(self.rect(), self._draw())


class MrmlView(RenderView):
    """What the slice and 3D views share with ctkVTKAbstractView; the plot view has none of it."""

    cornerAnnotationText = stored(str, "cornerAnnotationText", "")
    renderEnabled = stored(bool, "renderEnabled", True)

    def scheduleRender(self) -> None:
        """Draws at the next paint event: drawing on each change would only cost time here."""
        self.update()

    def forceRender(self) -> None:
        self._draw()


def displayable_managers(factory_class: Any, names: tuple[str, ...], renderer: Any, logic: Any) -> Any:
    """Registers and starts Slicer's displayable managers on a renderer."""
    factory = factory_class.GetInstance()
    factory.SetMRMLApplicationLogic(logic)
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    group.Initialize(factory, renderer)
    return group


class ViewWidget(qMRMLWidget):
    """What qMRMLAbstractViewWidget gives the four kinds of view widgets: one view that fills the widget."""

    def __init__(self, view: QWidget, view_node: Any) -> None:
        super().__init__()
        self._view = view
        self._node = view_node
        self.setMRMLScene(view_node.GetScene())
        view.setParent(self)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._view.setGeometry(self.rect())

    def viewWidget(self) -> QWidget:
        return self._view

    def mrmlAbstractViewNode(self) -> Any:
        return self._node
