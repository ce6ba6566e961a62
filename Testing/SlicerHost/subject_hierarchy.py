"""Keeps the subject hierarchy as the application does: each data node has an item from the moment it is added.

In the application qSlicerSubjectHierarchyPluginLogic and its plugins do this. Left out: the items of single segments.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .widgets import weakly

# What a plugin of Slicer claims: canAddNodeToSubjectHierarchy in Modules/Loadable/*/SubjectHierarchyPlugins.
CLAIMED = (
    "vtkMRMLScalarVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLTableNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
    "vtkMRMLModelNode",
    "vtkMRMLTransformNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLTextNode",
)


class SubjectHierarchyKeeper:
    """Observes the scene."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        events = {
            "_node_added": slicer.vtkMRMLScene.NodeAddedEvent,
            "_node_about_to_be_removed": slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent,
            "_imported": slicer.vtkMRMLScene.EndImportEvent,
            "_closed": slicer.vtkMRMLScene.EndCloseEvent,
        }
        for method, event in events.items():
            observer = weakly(self, method)
            if method.startswith("_node"):
                observer.CallDataType = vtk.VTK_OBJECT  # type: ignore[attr-defined]
            scene.AddObserver(event, observer, 10.0)
        self._closed()

    def _hierarchy(self) -> Any:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)

    def _closed(self) -> None:
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)

    def _imported(self) -> None:
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)
        for index in range(self._scene.GetNumberOfNodes()):
            self._add(self._scene.GetNthNode(index))

    def _node_added(self, node: Any) -> None:
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)
        elif not self._scene.IsImporting():
            self._add(node)

    def _add(self, node: Any) -> None:
        if node.GetHideFromEditors() or not any(node.IsA(each) for each in CLAIMED):
            return
        hierarchy = self._hierarchy()
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    def _node_about_to_be_removed(self, node: Any) -> None:
        if self._scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        item = self._hierarchy().GetItemByDataNode(node)
        if item:
            self._hierarchy().RemoveItem(item, False, False)
