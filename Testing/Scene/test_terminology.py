"""Codes of labels as Slicer understands them."""

import json
from typing import Any

import pytest

from DynamicSegLib.bundle import Label
from DynamicSegLib.methods.glioma import LABELS

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")


def parsed(entry: str) -> Any:
    made = slicer.vtkSlicerTerminologyEntry()
    assert slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(entry, made)
    return made


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name)
def test_an_entry_holds_category_and_type_with_scheme_and_value(label: Label) -> None:
    from DynamicSegLib.scene.terminology import CONTEXT_NAME, terminology_entry

    text = terminology_entry(label)
    assert text is not None
    entry = parsed(text)
    assert entry.GetTerminologyContextName() == CONTEXT_NAME
    for coded, code in ((entry.GetCategoryObject(), label.category), (entry.GetTypeObject(), label.code)):
        assert code is not None
        held = (coded.GetCodingSchemeDesignator(), coded.GetCodeValue(), coded.GetCodeMeaning())
        assert held == (code.scheme, code.value, code.meaning)


def test_a_label_without_code_gets_no_entry() -> None:
    from DynamicSegLib.scene.terminology import terminology_entry

    assert terminology_entry(Label(7, "something", (1, 2, 3))) is None


def test_every_code_of_the_glioma_labels_can_be_looked_up_in_our_context() -> None:
    from DynamicSegLib.resources import shipped_folder
    from DynamicSegLib.scene.terminology import CONTEXT_FILE, CONTEXT_NAME

    context = json.loads((shipped_folder("Terminology") / CONTEXT_FILE).read_text(encoding="utf-8"))
    assert context["SegmentationCategoryTypeContextName"] == CONTEXT_NAME
    known = {
        (category["CodeValue"], kind["CodeValue"]): kind
        for category in context["SegmentationCodes"]["Category"]
        for kind in category["Type"]
    }
    for label in LABELS:
        assert label.code is not None
        assert label.category is not None
        kind = known[label.category.value, label.code.value]
        assert kind["CodeMeaning"] == label.code.meaning
        assert tuple(kind["recommendedDisplayRGBValue"]) == label.color


def test_slicer_reads_our_context(started_scene: Any) -> None:
    from DynamicSegLib.scene.terminology import CONTEXT_NAME, load_context

    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert not logic.IsTerminologyContextLoaded(CONTEXT_NAME)
    assert load_context(logic)
    assert logic.IsTerminologyContextLoaded(CONTEXT_NAME)
    assert logic.GetNumberOfCategoriesInTerminology(CONTEXT_NAME) == 1
