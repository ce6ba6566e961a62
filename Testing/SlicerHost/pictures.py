"""Pictures of the panel and the views, each with the words that say where it was made."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter
from PySide6.QtWidgets import QApplication, QWidget

from .render_view import RenderView, ViewWidget

LABEL = "DynamicSeg's test host, Slicer's own rendering; the desktop looks different."
_BAR = 20
_FOOT = 22


def widget_picture(widget: Any) -> QImage:
    """Returns a picture of a widget, such as ``module.widgetRepresentation()``, as it is shown."""
    native: QWidget = getattr(widget, "_native", widget)
    native.ensurePolished()
    QApplication.processEvents()
    return native.grab().toImage()


def view_picture(widget: Any, size: QSize) -> QImage:
    """Returns a view of the layout at a size, under the coloured bar with its name."""
    native: ViewWidget = getattr(widget, "_native", widget)
    view = native.viewWidget()
    native.resize(size.width(), size.height() - _BAR)
    view.setGeometry(native.rect())
    if isinstance(view, RenderView):  # a widget that is not shown gets no resize event
        view._resize_view(view.width(), view.height())
    drawn = view._draw() if isinstance(view, RenderView) else view.grab().toImage()
    picture = QImage(size, QImage.Format.Format_RGB32)
    painter = QPainter(picture)
    node = native.mrmlAbstractViewNode()
    painter.fillRect(0, 0, size.width(), _BAR, QColor.fromRgbF(*node.GetLayoutColor()))
    painter.setPen(Qt.GlobalColor.black)
    painter.drawText(QRect(6, 0, size.width() - 12, _BAR), int(Qt.AlignmentFlag.AlignVCenter), _title(node))
    painter.drawImage(QPoint(0, _BAR), drawn)
    painter.end()
    return picture


def _title(node: Any) -> str:
    name = node.GetLayoutLabel() or node.GetName()
    return f"{name}   S: {node.GetSliceOffset():.1f} mm" if node.IsA("vtkMRMLSliceNode") else str(name)


def layout_picture(size: QSize) -> QImage:
    """Returns all views of the current layout in a grid."""
    manager = slicer.app._native._layout
    widgets = [manager.viewWidget(node) for node in manager._view_nodes()]
    columns = 1 if len(widgets) == 1 else 2 if len(widgets) <= 4 else 3
    rows = math.ceil(len(widgets) / columns)
    picture = QImage(size, QImage.Format.Format_RGB32)
    picture.fill(QColor(60, 60, 60))
    painter = QPainter(picture)
    tile = QSize(size.width() // columns, size.height() // rows)
    for place, widget in enumerate(widgets):
        corner = QPoint((place % columns) * tile.width(), (place // columns) * tile.height())
        painter.drawImage(corner, view_picture(widget, tile - QSize(2, 2)))
    painter.end()
    return picture


def screen_picture(panel: Any, columns: int = 1080, rows: int = 860) -> QImage:
    """Returns the panel at the left and the layout's views at the right, with the label below."""
    left = widget_picture(panel)
    right = layout_picture(QSize(columns, rows))
    return labelled(_beside(left, right))


def _beside(left: QImage, right: QImage) -> QImage:
    height = max(left.height(), right.height())
    picture = QImage(left.width() + right.width(), height, QImage.Format.Format_RGB32)
    picture.fill(QColor(239, 239, 239))
    painter = QPainter(picture)
    painter.drawImage(0, 0, left)
    painter.drawImage(left.width(), 0, right)
    painter.end()
    return picture


def labelled(picture: QImage) -> QImage:
    """Returns the picture with a line below that says where it was made."""
    whole = QImage(picture.width(), picture.height() + _FOOT, QImage.Format.Format_RGB32)
    whole.fill(QColor(30, 30, 30))
    painter = QPainter(whole)
    painter.drawImage(0, 0, picture)
    painter.setPen(QColor(230, 230, 230))
    font = QFont(painter.font())
    font.setPointSizeF(8.5)
    painter.setFont(font)
    foot = QRect(8, picture.height(), picture.width() - 16, _FOOT)
    painter.drawText(foot, int(Qt.AlignmentFlag.AlignVCenter), LABEL)
    painter.end()
    return whole


def save(picture: QImage, path: Path) -> Path:
    """Writes a picture as PNG; raises OSError when it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not picture.save(str(path)):
        raise OSError(f"the picture could not be written to {path}")
    return path
