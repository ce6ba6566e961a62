"""Slice by slice: what each slice got, what it cost, and how; rows and slices find each other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from DynamicSegLib.reporting.palette import option_color
from DynamicSegLib.reporting.words import DETAILS
from DynamicSegLib.scene.result import giga_in_words

ROW_HEIGHT = 20
COLUMN_WIDTHS = (56, 84, 64)  # the last column takes the rest
OPTION_COLUMN, DETAILS_COLUMN = 1, 4


class SlicesTable:
    """The panel's table over the table node of a result; `onChosen` is told the slice of a row that was chosen."""

    def __init__(self, table: Any, onChosen: Callable[[int], None]) -> None:
        self._table, self._onChosen = table, onChosen
        self._decisions: Any = None
        table.setHorizontalHeaderLabels([_("Slice"), _("Got"), _("GMAC"), _("Expected Dice"), _("How")])
        table.verticalHeader().visible = False
        table.verticalHeader().defaultSectionSize = ROW_HEIGHT
        for column, width in enumerate(COLUMN_WIDTHS):
            table.setColumnWidth(column, width)
        table.connect("currentCellChanged(int,int,int,int)", self._onRow)

    def fill(self, decisions: Any) -> None:
        """Writes all rows anew from a table node with the columns of decisions.csv."""
        self._decisions = decisions
        options = optionsOf(decisions)
        details = self.details()
        chosen, macs = self.column("option"), self.column("macs")
        qualities = np.stack([self.column(f"quality_{name}") for name in options], axis=1)
        rows = list(zip(self.column("slice"), chosen, macs, qualities, details, strict=True))
        blocked = self._table.blockSignals(True)
        self._table.setRowCount(len(rows))
        for row, (index, option, cost, quality, words) in enumerate(rows):
            dice = f"{quality[option]:.2f}" if option else ""
            for column, text in enumerate([str(index), options[option], giga_in_words(cost), dice, words]):
                item = qt.QTableWidgetItem(text)
                if column == OPTION_COLUMN:
                    item.setIcon(_swatch(option_color(int(option))))
                self._table.setItem(row, column, item)
        self._table.blockSignals(blocked)
        self._placeDetails(any(details))

    def column(self, name: str) -> "np.ndarray[Any, Any]":
        """A column of numbers of the table node."""
        return np.asarray(slicer.util.arrayFromTableColumn(self._decisions, name))

    def details(self) -> list[str]:
        """How each row's slice was run, in words; empty where the method says nothing of it."""
        column = self._decisions.GetTable().GetColumnByName(DETAILS)
        rows = self._decisions.GetNumberOfRows()
        return [column.GetValue(row) if column is not None else "" for row in range(rows)]

    def inWords(self, index: int | None) -> str:
        """What a slice got and how, in one line; empty where the method says nothing of it."""
        rows = np.flatnonzero(self.column("slice") == index)
        words = self.details()[rows[0]] if len(rows) else ""
        return _("Slice {index}: {words}").format(index=index, words=words) if words else ""

    def selected(self) -> list[int]:
        """Slice indices of the selected rows."""
        rows = {index.row() for index in self._table.selectionModel().selectedRows()}
        return sorted(int(self.column("slice")[row]) for row in rows)

    def select(self, index: int) -> None:
        """Selects the row of a slice, without telling."""
        rows = np.flatnonzero(self.column("slice") == index)
        if len(rows):
            blocked = self._table.blockSignals(True)
            self._table.selectRow(int(rows[0]))
            self._table.blockSignals(blocked)

    def _placeDetails(self, some: bool) -> None:
        """Shows the words at full length, or gives their room to the column before."""
        self._table.setColumnHidden(DETAILS_COLUMN, not some)
        self._table.horizontalHeader().setStretchLastSection(not some)
        if some:
            self._table.resizeColumnToContents(DETAILS_COLUMN)

    def _onRow(self, row: int, column: int, previousRow: int, previousColumn: int) -> None:
        if row >= 0 and row != previousRow:
            self._onChosen(int(self.column("slice")[row]))


def optionsOf(decisions: Any) -> list[str]:
    """Names of all options, skip first, as the columns of a table node tell."""
    names = [decisions.GetColumnName(column) for column in range(decisions.GetNumberOfColumns())]
    return [name.removeprefix("quality_") for name in names if name.startswith("quality_")]


def _swatch(color: str) -> "qt.QIcon":
    pixmap = qt.QPixmap(12, 12)
    pixmap.fill(qt.QColor(color))
    return qt.QIcon(pixmap)
