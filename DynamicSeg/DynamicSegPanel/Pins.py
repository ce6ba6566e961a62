"""Choices of the user for single slices, which no budget overrules."""

import json
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from DynamicSegPanel.ResultView import ResultView

AUTOMATIC = -1


class Pins:
    """The rows below the table of slices: what the selected slices get, and the buttons that bring it about."""

    def __init__(self, ui: Any, resultView: ResultView, onUpdate: Callable[[], None]) -> None:
        self._ui, self._resultView = ui, resultView
        self._parameterNode: Any = None
        self._pending = False
        self._owner: tuple[str, ...] | None = None
        ui.pinButton.connect("clicked(bool)", self._onPin)
        ui.clearPinsButton.connect("clicked(bool)", self._onClear)
        ui.updateButton.connect("clicked(bool)", lambda checked: onUpdate())

    def setParameterNode(self, parameterNode: Any | None) -> None:
        """Follows the pins of a parameter node; None while there is no scene, and before another one's come."""
        self._parameterNode = parameterNode
        if parameterNode is None:
            self._owner, self._pending = None, False
        self.refresh()

    def options(self) -> dict[int, int]:
        """The pinned option of each pinned slice, by the volume's slice index."""
        text = self._parameterNode.pins if self._parameterNode is not None else ""
        return {int(index): int(option) for index, option in json.loads(text or "{}").items()}

    def belongTo(self, model: str, volumeIds: list[str]) -> None:
        """Forgets all pins when another scan or model is chosen: slices and options are numbered in one of each."""
        if self._parameterNode is None or not volumeIds:
            return
        owner = (model, *volumeIds)
        if self._owner not in (None, owner):
            self._set({})
            self._pending = False
            self.refresh()
        self._owner = owner

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
        pins = self.options()
        count = len(pins)
        self._resultView.markPins(pins)
        self._ui.clearPinsButton.enabled = count > 0
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
        self._change(pins)

    def _onClear(self, checked: bool) -> None:
        self._change({})

    def _change(self, pins: dict[int, int]) -> None:
        self._set(pins)
        self._pending = True
        self.refresh()

    def _set(self, pins: dict[int, int]) -> None:
        if self._parameterNode is not None:
            self._parameterNode.pins = json.dumps({str(index): option for index, option in pins.items()})
