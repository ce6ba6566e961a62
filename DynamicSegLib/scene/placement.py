"""Where new nodes belong: in the volume's own place of the subject hierarchy, under a name that is free."""

from typing import Any

import slicer

Node = Any


def place_beside(node: Node, volume: Node) -> None:
    """Move a node into the study (or folder) of a volume, so that a result never lands in another patient."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volume_item = hierarchy.GetItemByDataNode(volume)
    parent = hierarchy.GetItemParent(volume_item) if volume_item else hierarchy.GetSceneItemID()
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, parent)
    else:
        hierarchy.CreateItem(parent, node)


def add_hidden(node: Node, name: str) -> Node:
    """Add a new node that users need not see; hidden before it is added, since the Data tree looks only then."""
    node.SetName(name)
    node.SetHideFromEditors(True)
    return slicer.mrmlScene.AddNode(node)


def forget(node: Node) -> None:
    """Take a node's item out of the subject hierarchy, before the node itself is removed."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.RemoveItem(item, False, False)


def free_name(name: str) -> str:
    """The name, or the name with the first free number, as Slicer writes it: `name_1`."""
    return str(slicer.mrmlScene.GenerateUniqueName(name)) if slicer.mrmlScene.GetFirstNodeByName(name) else name
