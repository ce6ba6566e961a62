"""Makes the README's pictures: the panel, the views and the chart on our own phantom, segmented by the shipped model.

    python -m Testing.Module.screenshots [FOLDER]        # by default Resources/Screenshots

The pictures come from the test host, and say so. They never show a patient.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUDGET_PERCENT = 40
PANEL_SIZE = (440, 820)


def main(folder: Path) -> int:
    """Write the pictures; returns the exit code."""
    from Testing.SlicerHost import missing, start

    reason = missing()
    if reason is not None:
        print(f"No pictures: {reason}", file=sys.stderr)
        return 2
    host = start()
    module = host.load_module(ROOT / "DynamicSeg" / "DynamicSeg.py")
    panel = host.open_panel(module, *PANEL_SIZE)
    try:
        if panel.inputs.bundle is None:
            print(f"No pictures: {panel.ui.messageLabel.text}", file=sys.stderr)
            return 2
        _segment_the_sample(host, panel)
        _write_pictures(host, module, panel, folder)
        return 0
    finally:
        host.close_panel(module)


def _segment_the_sample(host: Any, panel: Any) -> None:
    panel.ui.sampleButton.click()
    host.wait_until(lambda: panel.session is not None and panel.session.study is not None, 60)
    panel.ui.budgetSlider.value = BUDGET_PERCENT
    panel.ui.applyButton.click()
    host.wait_until(lambda: not panel.runControl.running, 600)
    panel.ui.slicesTable.setCurrentCell(_slice_with_most(panel), 0)
    panel.ui.slicesTable.clearSelection()


def _slice_with_most(panel: Any) -> int:
    """The slice where most was found: the one worth looking at."""
    inside = panel.resultView.result.inside
    axis = 2 - panel.resultView.result.slice_axis
    return int(inside.sum(axis=tuple(a for a in range(3) if a != axis)).argmax())


def _write_pictures(host: Any, module: Any, panel: Any, folder: Path) -> None:
    import slicer
    from PySide6.QtCore import QSize

    from Testing.SlicerHost.pictures import labelled, save, screen_picture, view_picture, widget_picture

    layout, frame = slicer.app.layoutManager(), module.widgetRepresentation()
    host.process_events(0.2)  # the panel makes room for the result
    save(screen_picture(frame, 1180, PANEL_SIZE[1]), folder / "screen.png")
    save(labelled(view_picture(layout.plotWidget(0), QSize(1000, 380))), folder / "chart.png")
    save(labelled(view_picture(layout.sliceWidget("Red"), QSize(640, 560))), folder / "slice.png")
    panel.ui.show3DButton.click()
    host.process_events(0.2)
    save(labelled(view_picture(layout.threeDWidget(0), QSize(640, 560))), folder / "surfaces.png")
    panel.ui.slicesButton.collapsed = False
    panel.ui.advancedButton.collapsed = False
    frame.resize(PANEL_SIZE[0], PANEL_SIZE[1] + 380)
    host.process_events(0.2)
    save(labelled(widget_picture(frame)), folder / "panel.png")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Resources" / "Screenshots"))
