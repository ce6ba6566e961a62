"""The boxes over the scan where slices were cropped, and the checkbox that hides them."""

from typing import Any

from DynamicSegLib.scene.crop_boxes import show
from DynamicSegLib.scene.result import ResultNodes


class CropBoxes:
    """Shows the crop boxes of the result in view, and of no other."""

    def __init__(self, checkBox: Any) -> None:
        self._checkBox = checkBox
        self._result: ResultNodes | None = None
        checkBox.visible = False
        checkBox.connect("toggled(bool)", self._onToggled)

    def setResult(self, result: ResultNodes | None) -> None:
        """Follows the result that the panel shows."""
        if self._result is not None and self._result is not result:
            _show(self._result, False)
        self._result = result
        self.refresh()

    def refresh(self) -> None:
        """Follows the result's nodes: an update may crop the first slice, or none any more."""
        self._checkBox.visible = self._result is not None and self._result.crop_boxes is not None
        if self._result is not None:
            _show(self._result, self._checkBox.checked)

    def _onToggled(self, shown: bool) -> None:
        if self._result is not None:
            _show(self._result, shown)


def _show(result: ResultNodes, shown: bool) -> None:
    boxes = result.crop_boxes
    if boxes is not None:
        show(boxes, shown)
