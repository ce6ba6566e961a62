"""What tests of the panel do and look at, whatever part of it they are about."""

from collections.abc import Callable
from typing import Any

LoadScan = Callable[..., dict[str, Any]]

# A run may have to compile its networks first, and a machine may be busy.
PATIENCE_SECONDS = 200


def segmentations() -> list[Any]:
    """All segmentation nodes of the scene."""
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def visible(widget: Any) -> bool:
    """Whether a widget would be seen were its section open."""
    return not widget.isHidden()


def apply(host: Any, panel: Any) -> None:
    """Presses Apply and waits for the end."""
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.runControl.running, PATIENCE_SECONDS)


def half_way(panel: Any, action: Callable[[], Any]) -> None:
    """Does something as soon as the run that was just started is half done, however fast it is."""
    pump = panel.runControl._pump
    told, done = pump._onProgress, []

    def watched(progress: Any) -> None:
        told(progress)
        if progress.share > 0.5 and not done:
            done.append(True)
            action()

    pump._onProgress = watched
