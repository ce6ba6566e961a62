"""Stand-ins of the ctk widgets that a module panel uses; public names are those of CTK's headers, no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Property, QObject, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QMessageBox,
    QSlider,
    QStyle,
    QStyleOption,
    QStyleOptionButton,
    QToolButton,
    QWidget,
)

from .widgets import absent, stand_in, stored

HEADER_HEIGHT = 22


@stand_in
class ctkCollapsibleButton(QAbstractButton):
    """A header that hides and shows what lies below it."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._hidden_by_collapse: list[QWidget] = []
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER_HEIGHT, 0, 0)
        self.toggled.connect(lambda shown: self._collapse(not shown))

    flat = stored(bool, "flat", False)
    collapsedHeight = stored(int, "collapsedHeight", 10)
    contentsLineWidth = stored(int, "contentsLineWidth", 1)
    contentsFrameShape = stored(int, "contentsFrameShape", 0)
    contentsFrameShadow = stored(int, "contentsFrameShadow", 0)
    collapsed = Property(bool, lambda self: not self.isChecked(), lambda self, on: self.setChecked(not on))

    def _collapse(self, collapsed: bool) -> None:
        if collapsed:
            widgets = [child for child in QObject.children(self) if isinstance(child, QWidget)]
            self._hidden_by_collapse = [child for child in widgets if child.isVisibleTo(self)]
        for child in self._hidden_by_collapse:
            child.setVisible(not collapsed)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def sizeHint(self) -> QSize:
        if self.isChecked() and self.layout() is not None:
            return super().sizeHint()
        return QSize(self.fontMetrics().horizontalAdvance(self.text()) + 40, HEADER_HEIGHT)

    def minimumSizeHint(self) -> QSize:
        if self.isChecked() and self.layout() is not None:
            return super().minimumSizeHint()
        return QSize(40, HEADER_HEIGHT)

    def hitButton(self, position: Any) -> bool:
        return position.y() <= HEADER_HEIGHT

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        header = QStyleOptionButton()
        header.initFrom(self)
        header.rect = QRect(0, 0, self.width(), HEADER_HEIGHT)
        header.features = QStyleOptionButton.ButtonFeature.None_
        self.style().drawControl(QStyle.ControlElement.CE_PushButtonBevel, header, painter, self)
        arrow = QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QRect(6, 4, HEADER_HEIGHT - 8, HEADER_HEIGHT - 8)
        down = self.isChecked()
        shape = (
            QStyle.PrimitiveElement.PE_IndicatorArrowDown if down else QStyle.PrimitiveElement.PE_IndicatorArrowRight
        )
        self.style().drawPrimitive(shape, arrow, painter, self)
        area = header.rect.adjusted(HEADER_HEIGHT + 4, 0, 0, 0)
        painter.drawText(area, int(Qt.AlignmentFlag.AlignVCenter), self.text())


@stand_in
class ctkSliderWidget(QWidget):
    """A slider and a spin box with one floating-point value."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(Qt.Orientation.Horizontal, self)
        self._box = QDoubleSpinBox(self)
        self._step = 1.0
        self._value = 0.0
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self._box.setRange(0, 99)
        self._box.setDecimals(2)
        self._place_slider()
        self._box.valueChanged.connect(self._box_moved)
        self._slider.valueChanged.connect(lambda place: self._box.setValue(self._box.minimum() + place * self._step))
        self._slider.sliderReleased.connect(lambda: self._announce(self._box.value()))

    def _box_moved(self, value: float) -> None:
        self._place_slider()
        self.valueIsChanging.emit(value)
        if self._tracking_now() or not self._slider.isSliderDown():
            self._announce(value)

    def _tracking_now(self) -> bool:
        return bool(self.property("tracking"))

    def _announce(self, value: float) -> None:
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)

    def _place_slider(self) -> None:
        blocked = self._slider.blockSignals(True)
        span = self._box.maximum() - self._box.minimum()
        self._slider.setRange(0, min(round(span / self._step), 2**30) if span < 1e12 else 2**30)
        self._slider.setValue(min(round((self._box.value() - self._box.minimum()) / self._step), 2**30))
        self._slider.blockSignals(blocked)

    def _set_bound(self, bound: str, value: float) -> None:
        getattr(self._box, bound)(value)
        self._place_slider()

    def _set_step(self, step: float) -> None:
        self._step = step
        self._box.setSingleStep(step)
        self._place_slider()

    def _show_box(self) -> None:
        self._box.setVisible(self.property("spinBoxVisible"))

    minimum = Property(float, lambda self: self._box.minimum(), lambda self, to: self._set_bound("setMinimum", to))
    maximum = Property(float, lambda self: self._box.maximum(), lambda self, to: self._set_bound("setMaximum", to))
    value = Property(float, lambda self: self._value, lambda self, to: self.setValue(to))
    singleStep = Property(float, lambda self: self._step, _set_step)
    decimals = Property(int, lambda self: self._box.decimals(), lambda self, to: self.setDecimals(to))
    prefix = Property(str, lambda self: self._box.prefix(), lambda self, to: self._box.setPrefix(to))
    suffix = Property(str, lambda self: self._box.suffix(), lambda self, to: self._box.setSuffix(to))
    pageStep = stored(float, "pageStep", 10.0)
    tickInterval = stored(float, "tickInterval", 0.0)
    tracking = stored(bool, "tracking", True)
    spinBoxVisible = stored(bool, "spinBoxVisible", True, _show_box)
    popupSlider = stored(bool, "popupSlider", False)
    invertedAppearance = stored(bool, "invertedAppearance", False)
    invertedControls = stored(bool, "invertedControls", False)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def reset(self) -> None:
        self.setValue(0.0)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self.setProperty("spinBoxVisible", visible)

    def setDecimals(self, decimals: int) -> None:
        self._box.setDecimals(decimals)
        self.decimalsChanged.emit(decimals)


@stand_in
class ctkPathLineEdit(QWidget):
    """A path with a browse button."""

    Dirs, Files, Drives, AllEntries, Readable, Writable, Executable = 1, 2, 4, 7, 16, 32, 64
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._path = ""
        self._combo = QComboBox(self)
        self._combo.setEditable(True)
        self._browse = QToolButton(self)
        self._browse.setText("...")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo, 1)
        layout.addWidget(self._browse)
        self._combo.editTextChanged.connect(self.setCurrentPath)
        self._browse.clicked.connect(lambda checked: self.browse())

    def _show_browse(self) -> None:
        self._browse.setVisible(self.property("showBrowseButton"))

    label = stored(str, "label", "")
    filters = stored(int, "filters", 7)
    nameFilters = stored("QStringList", "nameFilters", [])
    settingKey = stored(str, "settingKey", "")
    showBrowseButton = stored(bool, "showBrowseButton", True, _show_browse)
    showHistoryButton = stored(bool, "showHistoryButton", True)
    currentPath = Property(str, lambda self: self._path, lambda self, to: self.setCurrentPath(to))

    def setCurrentPath(self, path: str) -> None:
        if path == self._path:
            return
        was_valid, self._path = self._valid(), path
        self._combo.setEditText(path)
        self.currentPathChanged.emit(path)
        if self._valid() != was_valid:
            self.validInputChanged.emit(self._valid())

    def _valid(self) -> bool:
        kinds = self.property("filters")
        path = Path(self._path)
        return bool(self._path) and (
            (bool(kinds & self.Files) and path.is_file()) or (bool(kinds & self.Dirs) and path.is_dir())
        )

    def comboBox(self) -> QComboBox:
        return self._combo

    def browse(self) -> None:
        filters = ";;".join(self.property("nameFilters"))
        if self.property("filters") & self.Files:
            path, _ = QFileDialog.getOpenFileName(self, self.property("label"), self._path, filters)
        else:
            path = QFileDialog.getExistingDirectory(self, self.property("label"), self._path)
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        self._combo.insertItem(0, self._path)


@stand_in
class ctkComboBox(QComboBox):
    """A combo box with a text for no choice."""

    defaultText = stored(str, "defaultText", "", lambda self: self.setPlaceholderText(self.property("defaultText")))
    forceDefault = stored(bool, "forceDefault", False)
    currentUserDataAsString = Property(
        str, lambda self: str(self.currentData() or ""), lambda self, to: self.setCurrentUserDataAsString(to)
    )

    def setCurrentUserDataAsString(self, data: str) -> None:
        self.setCurrentIndex(self.findData(data))


@stand_in
class ctkCheckBox(QCheckBox):
    """A check box; its icons are not drawn here."""


@stand_in
class ctkMessageBox(QMessageBox):
    """A message box; the remembered answer is not kept here."""

    dontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")

    def setDontShowAgain(self, on: bool) -> None:
        self.setProperty("dontShowAgain", on)

    def addDontShowAgainButtonRole(self, role: Any) -> None:
        self._roles = [*getattr(self, "_roles", []), role]


# Named by Slicer's own Python files, or likely to be compared with; making one says what is missing.
for _name in (
    "ctkCheckablePushButton",
    "ctkColorPickerButton",
    "ctkDirectoryButton",
    "ctkDoubleRangeSlider",
    "ctkDoubleSlider",
    "ctkDoubleSpinBox",
    "ctkRangeWidget",
):
    stand_in(absent(_name))
