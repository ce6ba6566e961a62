"""Choices of the user for single slices, which no budget overrules."""

import json
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from DynamicSegPanel.ResultView import ResultView

AUTOMATIC = -1


class Pins:
    """The row below the table of slices: what the selected slices get, and the button that brings it about."""

    def __init__(self, ui: Any, resultView: ResultView, onUpdate: Callable[[], None]) -> None:
        self._ui, self._resultView = ui, resultView
        self._parameterNode: Any = None
        self._pending = False
        self._volumeIds: list[str] = []
        ui.pinButton.connect("clicked(bool)", self._onPin)
        ui.updateButton.connect("clicked(bool)", lambda checked: onUpdate())

    def setParameterNode(self, parameterNode: Any | None) -> None:
        self._parameterNode = parameterNode
        self.refresh()

    def options(self) -> dict[int, int]:
        """The pinned option of each pinned slice, by the volume's slice index."""
        text = self._parameterNode.pins if self._parameterNode is not None else ""
        return {int(index): int(option) for index, option in json.loads(text or "{}").items()}

    def belongTo(self, volumeIds: list[str]) -> None:
        """Forgets all pins when another scan is chosen: they belong to one."""
        if self._volumeIds and volumeIds != self._volumeIds:
            self._set({})
            self._pending = False
            self.refresh()
        self._volumeIds = volumeIds

    def applied(self) -> None:
        """The result follows the pins now."""
        self._pending = False
        self.refresh()

    def refresh(self) -> None:
        """Lists the options of the result that is shown."""
        result, selector = self._resultView.result, self._ui.pinSelector
        selector.clear()
        if result is not None:
            selector.addItem(_("what the budget buys"), AUTOMATIC)
            for place, name in enumerate(self._resultView.options):
                selector.addItem(name, place)
        count = len(self.options())
        self._ui.updateButton.enabled = self._pending
        self._ui.updateButton.text = (
            _("Update ({count} slices pinned)").format(count=count) if count else _("Update these slices")
        )

    def _onPin(self, checked: bool) -> None:
        option = self._ui.pinSelector.itemData(self._ui.pinSelector.currentIndex)
        slices = self._resultView.selectedSlices()
        if option is None or not slices:
            self._ui.statusLabel.text = _("Select slices in the table first.")
            return
        pins = self.options()
        for index in slices:
            if int(option) == AUTOMATIC:
                pins.pop(index, None)
            else:
                pins[index] = int(option)
        self._set(pins)
        self._pending = True
        self.refresh()

    def _set(self, pins: dict[int, int]) -> None:
        if self._parameterNode is not None:
            self._parameterNode.pins = json.dumps({str(index): option for index, option in pins.items()})
