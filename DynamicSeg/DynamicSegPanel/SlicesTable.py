"""Slice by slice: what each slice got, what it cost, and how; rows and slices find each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from DynamicSegLib.reporting.palette import option_color
from DynamicSegLib.reporting.words import DETAILS
from DynamicSegLib.scene.result import giga_in_words

ROW_HEIGHT = 20
COLUMN_WIDTHS = {0: 56, 2: 64}  # the others are as wide as what they hold, and the last takes the rest
OPTION_COLUMN, DETAILS_COLUMN = 1, 4


class SlicesTable:
    """The panel's table over the table node of a result; `onChosen` is told the slice of a row that was chosen."""

    def __init__(self, table: Any, onChosen: Callable[[int], None]) -> None:
        self._table, self._onChosen = table, onChosen
        self._decisions: Any = None
        self._pins: Mapping[int, int] = {}
        table.setHorizontalHeaderLabels([_("Slice"), _("Got"), _("GMAC"), _("Expected Dice"), _("How")])
        table.verticalHeader().visible = False
        table.verticalHeader().defaultSectionSize = ROW_HEIGHT
        table.horizontalHeader().setStretchLastSection(True)
        for column, width in COLUMN_WIDTHS.items():
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
            got = self._gotInWords(options, int(index), int(option))
            for column, text in enumerate([str(index), got, giga_in_words(cost), dice, words]):
                item = qt.QTableWidgetItem(text)
                if column == OPTION_COLUMN:
                    item.setIcon(_swatch(option_color(int(option), len(options) - 1)))
                self._table.setItem(row, column, item)
        self._table.blockSignals(blocked)
        self._table.setColumnHidden(DETAILS_COLUMN, not any(details))
        for column in (OPTION_COLUMN, DETAILS_COLUMN):
            self._table.resizeColumnToContents(column)

    def markPins(self, pins: Mapping[int, int]) -> None:
        """Marks slices whose option the user chose: what they have, or are to get with the next update."""
        self._pins = pins
        options = optionsOf(self._decisions)
        for row, (index, option) in enumerate(zip(self.column("slice"), self.column("option"), strict=True)):
            self._table.item(row, OPTION_COLUMN).setText(self._gotInWords(options, int(index), int(option)))
        self._table.resizeColumnToContents(OPTION_COLUMN)

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

    def _gotInWords(self, options: Sequence[str], index: int, option: int) -> str:
        pinned = self._pins.get(index)
        if pinned is None or pinned >= len(options):  # pins may be of another model than the result in view
            return options[option]
        if pinned == option:
            return _("{option} (pinned)").format(option=options[option])
        return f"{options[option]} \u2192 {options[pinned]}"

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
