"""One volume selector for each modality of the model, filled by guess from the volumes' names."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DynamicSegLib.naming import guess_modality

# Node references of the parameter node, one a modality: they are saved with the scene.
ROLE = "Volume."
LABEL_WIDTH = 116  # as the label of the model above, in the .ui file
_TITLES = {"flair": "FLAIR", "t1ce": "T1 with contrast", "t1": "T1", "t2": "T2"}


class VolumeSelectors:
    """Rows of a form layout, made anew for each model."""

    def __init__(self, layout: Any, onChanged: Callable[[], None]) -> None:
        self._layout, self._onChanged = layout, onChanged
        self._selectors: dict[str, Any] = {}
        self._labels: list[Any] = []
        self._parameterNode: Any = None
        self._updating = False

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self._selectors)

    def build(self, modalities: tuple[str, ...]) -> None:
        """Shows one row a modality, nothing selected yet."""
        if modalities == self.modalities:
            return
        for widget in [*self._labels, *self._selectors.values()]:
            self._layout.removeWidget(widget)
            widget.deleteLater()
        self._labels, self._selectors = [], {}
        for modality in modalities:
            label = qt.QLabel(f"{_TITLES.get(modality, modality)}:")
            label.minimumWidth = LABEL_WIDTH
            selector = slicer.qMRMLNodeComboBox()
            selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
            selector.showChildNodeTypes = False  # label maps are no scans
            selector.addEnabled = False
            selector.removeEnabled = False
            selector.noneEnabled = True
            selector.noneDisplay = _("choose a volume")
            selector.toolTip = _("The patient's {modality} volume").format(modality=_TITLES.get(modality, modality))
            selector.objectName = f"volumeSelector_{modality}"
            selector.setMRMLScene(slicer.mrmlScene)
            selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node, name=modality: self._chosen(name, node))
            self._layout.addRow(label, selector)
            self._labels.append(label)
            self._selectors[modality] = selector

    def setParameterNode(self, parameterNode: Any | None) -> None:
        """Shows the volumes that a parameter node refers to, and keeps its references up to date."""
        self._parameterNode = parameterNode
        self._updating = True
        for modality, selector in self._selectors.items():
            node = None if parameterNode is None else parameterNode.GetNodeReference(ROLE + modality)
            selector.setCurrentNode(node)
        self._updating = False

    def guess(self) -> None:
        """Fills empty rows with volumes whose names speak of the modality; a choice already made stays."""
        taken = {node.GetID() for node in self.volumes().values()}
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            if node.GetClassName() != "vtkMRMLScalarVolumeNode" or node.GetID() in taken:
                continue
            modality = guess_modality(node.GetName(), self.modalities)
            if modality is not None and self._selectors[modality].currentNode() is None:
                self._selectors[modality].setCurrentNode(node)
                taken.add(node.GetID())

    def release(self, node: Any) -> None:
        """Empties the rows of a node that is about to be removed, before they would move on to the next volume."""
        for selector in self._selectors.values():
            if selector.currentNode() is node:
                selector.setCurrentNode(None)

    def volumes(self) -> dict[str, Any]:
        """The chosen volume node of each modality, rows without one left out."""
        chosen = {modality: selector.currentNode() for modality, selector in self._selectors.items()}
        return {modality: node for modality, node in chosen.items() if node is not None}

    def missing(self) -> list[str]:
        """Titles of the rows that are empty."""
        chosen = self.volumes()
        return [_TITLES.get(modality, modality) for modality in self._selectors if modality not in chosen]

    def repeated(self) -> list[tuple[str, str]]:
        """Titles of each two rows that show the same volume."""
        return [
            (_TITLES.get(first, first), _TITLES.get(second, second))
            for (first, one), (second, other) in combinations(self.volumes().items(), 2)
            if one is other
        ]

    def _chosen(self, modality: str, node: Any) -> None:
        if self._updating:
            return
        if self._parameterNode is not None:
            self._parameterNode.SetNodeReferenceID(ROLE + modality, node.GetID() if node else None)
        self._onChanged()
