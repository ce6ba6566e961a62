"""The panel's one place for what the user has to know: a coloured line of text, never a popup."""

from collections.abc import Iterable
from html import escape
from typing import Any

from slicer.i18n import tr as _

from DynamicSegLib.errors import DynamicSegError

_STYLE = "QLabel {{ background: {background}; color: #222222; border-left: 4px solid {edge}; padding: 6px 8px; }}"
_COLORS = {
    "info": {"background": "#e8f1fb", "edge": "#3b82c4"},
    "warning": {"background": "#fff4d6", "edge": "#d99a00"},
    "error": {"background": "#fde7e5", "edge": "#c8372d"},
}


class Message:
    """Shows sentences in a label, in the colour of how serious they are."""

    def __init__(self, label: Any) -> None:
        self._label = label
        self.level = ""

    def show(self, level: str, sentences: Iterable[str]) -> None:
        """Shows `sentences` as `info`, `warning` or `error`; hides the label where there are none."""
        lines = [escape(sentence) for sentence in sentences]
        self.level = level if lines else ""
        self._label.visible = bool(lines)
        self._label.text = "<br>".join(lines)
        if lines:
            self._label.styleSheet = _STYLE.format(**_COLORS[level])

    def showError(self, error: BaseException) -> None:
        """Shows what failed; an error that is no fault of the user says where to look further."""
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            self.show(
                "error",
                [
                    _("The memory of this computer or its graphics card is not enough."),
                    _("Close other volumes and applications, or choose CPU under Advanced."),
                ],
            )
        elif isinstance(error, DynamicSegError):
            self.show("error", [str(error)])
        else:
            self.show(
                "error",
                [
                    _("Something unexpected failed ({kind}: {text}).").format(kind=type(error).__name__, text=error),
                    _("The Python console shows details; please report them with the steps that led here."),
                ],
            )

    def clear(self) -> None:
        self.show("info", [])
