"""A result's files: decisions and summary, and the chart as it stands in its view."""

import json
from pathlib import Path
from typing import Any

import slicer
import vtk

from DynamicSegLib.files import written_together
from DynamicSegLib.reporting.tables import write_decisions
from DynamicSegLib.segmentation import Segmentation


def exportResult(folder: str, table: Any, segmentation: Segmentation | None) -> list[str]:
    """Writes what there is, whole or not at all; returns the names of the files.

    A result of an earlier session has its table in the scene, but no summary.

    Raises
    ------
    InputError: the folder cannot be written to.
    """
    with written_together(Path(folder)) as scratch:
        if segmentation is None:
            slicer.util.saveNode(table, str(scratch / "decisions.csv"))
        else:
            write_decisions(segmentation, scratch / "decisions.csv")
            text = json.dumps(segmentation.summary(), indent=2, ensure_ascii=False)
            (scratch / "summary.json").write_text(text + "\n", encoding="utf-8")
        _writeChart(scratch / "chart.png")
        return sorted(path.name for path in scratch.iterdir())


def _writeChart(path: Path) -> None:
    layoutManager = slicer.app.layoutManager()
    plotWidget = layoutManager.plotWidget(0) if layoutManager is not None else None
    if plotWidget is None:
        return
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(plotWidget.plotView().renderWindow())
    grab.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()
