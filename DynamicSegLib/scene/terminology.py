"""Coded meanings of segments: SNOMED CT codes of a bundle's labels as Slicer's terminology entries."""

from typing import Any

import slicer

from DynamicSegLib.bundle import Code, Label
from DynamicSegLib.resources import shipped_folder

CONTEXT_FILE = "SegmentationCategoryTypeModifier-DynamicSeg.term.json"
CONTEXT_NAME = "Segmentation category and type - DynamicSeg"
# SNOMED CT's parent of tissue changed by disease, for labels whose bundle names no category.
ALTERED_STRUCTURE = Code("SCT", "49755003", "Morphologically Altered Structure")


def terminology_entry(label: Label) -> str | None:
    """The label's code as Slicer writes it (category, then type), or None for a label without code."""
    if label.code is None:
        return None
    category = label.category or ALTERED_STRUCTURE
    parts = [part for code in (category, label.code) for part in (code.value, code.scheme, code.meaning)]
    return str(slicer.vtkSlicerTerminologiesModuleLogic.SerializeTerminologyEntry(CONTEXT_NAME, *parts, *[""] * 10))


def load_context(terminologies_logic: Any) -> bool:
    """Make our terms selectable in Slicer's terminology navigator; True where the file was read."""
    path = shipped_folder("Terminology") / CONTEXT_FILE
    return path.is_file() and bool(terminologies_logic.LoadTerminologyFromFile(str(path)))
