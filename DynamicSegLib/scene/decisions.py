"""Decisions as a table node: one row a slice, the columns of decisions.csv, each described in words."""

from collections.abc import Sequence
from typing import Any

import slicer
import vtk

from DynamicSegLib.reporting.words import columns_added, description_of, with_words
from DynamicSegLib.segmentation import Decision

Node = Any

_DESCRIPTIONS = {
    "slice": ("Index of the slice along the volume's slice axis, as Slicer counts it", ""),
    "option": ("0 for skip, else the candidate's place in the model bank", ""),
    "candidate": ("What the slice got: skip, or the name of a network", ""),
    "macs": ("True multiply-accumulates spent on the slice, the router's look at it included", "MAC"),
    "paper_flops": ("The same in the unit of the Med-DANet papers", "FLOP"),
    "milliseconds": ("Time spent on the slice", "ms"),
}


def table_node_from_decisions(decisions: Sequence[Decision], options: Sequence[str], name: str) -> Node:
    """Add a table node with one row a slice, sorted by slice index.

    Parameters
    ----------
    options: names of all options, skip first; each gets a column `quality_<option>`.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    fill_table(node, decisions, options)
    return node


def fill_table(node: Node, decisions: Sequence[Decision], options: Sequence[str]) -> None:
    """Replace the rows of a table made by `table_node_from_decisions`."""
    rows = sorted(decisions, key=lambda decision: decision.slice)
    columns = [
        _numbers("slice", vtk.vtkIntArray, [row.slice for row in rows]),
        _numbers("option", vtk.vtkIntArray, [row.option for row in rows]),
        _texts("candidate", [row.candidate for row in rows]),
        # Scenes are saved with six digits of a floating-point number; whole numbers stay exact.
        _numbers("macs", vtk.vtkTypeInt64Array, [row.macs for row in rows]),
        _numbers("paper_flops", vtk.vtkTypeInt64Array, [row.paper_flops for row in rows]),
        _numbers("milliseconds", vtk.vtkDoubleArray, [row.milliseconds for row in rows]),
    ]
    columns += [
        _numbers(f"quality_{option}", vtk.vtkDoubleArray, [row.quality.get(option, 0.0) for row in rows])
        for option in options
    ]
    extras = [with_words(row.extra) for row in rows]
    columns += [_texts(key, [str(extra.get(key, "")) for extra in extras]) for key in columns_added(extras)]
    with slicer.util.NodeModify(node):
        node.RemoveAllColumns()
        for column in columns:
            node.AddColumn(column)
            description, unit = _DESCRIPTIONS.get(column.GetName(), (description_of(column.GetName()), ""))
            if column.GetName().startswith("quality_"):
                description = "Dice that the router predicts for this option on this slice"
            if description:
                node.SetColumnDescription(column.GetName(), description)
            if unit:
                node.SetColumnUnitLabel(column.GetName(), unit)


def _numbers(name: str, kind: Any, values: Sequence[float]) -> Any:
    column = kind()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column


def _texts(name: str, values: Sequence[str]) -> Any:
    column = vtk.vtkStringArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column
