"""How Apply feels on a real case, on the test host: seconds to the first labels and to the end, and how long it froze.

    python -m Testing.Module.measure_apply CASE [PERCENT [BUNDLE]]

CASE is a folder with the volumes of one patient. Nothing is written.
"""

import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main(case: Path, percent: float, bundle: str) -> None:
    """Load, Apply, print."""
    from Testing.SlicerHost import start
    from Testing.SlicerHost.heartbeat import Heartbeat

    host = start()
    panel = host.open_panel(host.load_module(ROOT / "DynamicSeg" / "DynamicSeg.py"))
    panel.inputs.fillBundles(bundle)
    _load(case, panel)
    with Heartbeat() as beat:
        host.wait_until(lambda: panel.session is not None and panel.session.study is not None, 120)
        host.process_events(0.1)
    print(f"looking at the volumes: froze for {beat.longest_ms:.0f} ms")
    panel.ui.budgetSlider.value = percent
    for name in ("first Apply", "Apply again"):
        _apply(host, panel, name)
    _print_memory()


def _load(case: Path, panel: Any) -> None:
    from DynamicSegLib.reading import read_case
    from DynamicSegLib.scene.volumes import volume_node_from_image

    for name, image in read_case(case, panel.inputs.bundle.input.modalities).items():
        volume_node_from_image(image, f"Scan_{name}")


def _apply(host: Any, panel: Any, name: str) -> None:
    import slicer

    from Testing.SlicerHost.heartbeat import Heartbeat

    before = len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
    started, first = time.perf_counter(), []

    def labels_are_there() -> bool:
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        if not first and len(nodes) > before:
            segment = nodes[-1].GetSegmentation().GetNthSegmentID(0)
            if slicer.util.arrayFromSegmentInternalBinaryLabelmap(nodes[-1], segment).any():
                first.append(time.perf_counter() - started)
        return not panel.runControl.running

    with Heartbeat() as beat:
        panel.ui.applyButton.click()
        host.wait_until(labels_are_there, 1800)
    seconds = time.perf_counter() - started
    shown = f"{first[0]:.1f} s" if first else "never"
    print(f"{name}: first labels after {shown}, done after {seconds:.1f} s, froze for {beat.longest_ms:.0f} ms at most")
    print(f"    {panel.ui.statusLabel.text} {panel.ui.messageLabel.text}")


def _print_memory() -> None:
    from DynamicSegLib.reporting.machine import peak_memory_mb

    print(f"peak memory of the whole process: {peak_memory_mb():,.0f} MB")


if __name__ == "__main__":
    given = sys.argv[2:]
    main(Path(sys.argv[1]), float(given[0]) if given else 20.0, given[1] if len(given) > 1 else "")
