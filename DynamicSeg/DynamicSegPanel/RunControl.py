"""Apply, its progress and its cancel."""

from collections.abc import Callable, Iterator
from typing import Any

from slicer.i18n import tr as _

from DynamicSegLib.scene.session import Progress
from DynamicSegPanel.StepPump import StepPump

STEPS = 1000


class RunControl:
    """Turns Apply into Cancel while steps are pumped, and says how far they are."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._pump = StepPump()
        self._onEnd: Callable[[BaseException | None], None] = lambda error: None
        self.foreground = False

    @property
    def running(self) -> bool:
        """Whether the user waits for a result; looking at the inputs in the background does not count."""
        return self.foreground and self._pump.running

    def inBackground(self, steps: Iterator[Any], onEnd: Callable[[BaseException | None], None]) -> None:
        """Pumps steps that the user need not know of; a run in the foreground comes first."""
        if not self.running:
            self.foreground = False
            self._pump.start(steps, lambda progress: None, onEnd)

    def begin(self, steps: Iterator[Progress], onEnd: Callable[[BaseException | None], None]) -> None:
        """Pumps steps with progress and the way to cancel them."""
        self._onEnd = onEnd
        self.foreground = True
        self._show(True)
        self._pump.start(steps, self._onProgress, self._onPumpEnd)

    def stop(self) -> bool:
        """Stops whatever is pumped and lets it clean up; True where the user was waiting for it."""
        waited = self.running
        self._pump.cancel()
        self.foreground = False
        self._show(False)
        return waited

    def _onProgress(self, progress: Progress) -> None:
        self._ui.progressBar.value = round(STEPS * progress.share)
        self._ui.statusLabel.text = progress.message

    def _onPumpEnd(self, error: BaseException | None) -> None:
        self.foreground = False
        self._show(False)
        self._onEnd(error)

    def _show(self, running: bool) -> None:
        ui = self._ui
        ui.applyButton.text = _("Cancel") if running else _("Apply")
        ui.progressBar.value = 0
        ui.progressBar.visible = running
        for section in (ui.scanButton, ui.effortButton, ui.resultButton, ui.advancedButton):
            section.enabled = not running
        if not running:
            ui.statusLabel.text = ""
