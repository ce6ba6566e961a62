"""Stand-in of qSlicerIOManager: enough for ``slicer.util.load*`` and ``save*`` of the kinds a segmentation needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Property, QObject, Signal

from .scene import SceneParts

_NODE_CLASSES = {
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "TableFile": "vtkMRMLTableNode",
    "ModelFile": "vtkMRMLModelNode",
    "TransformFile": "vtkMRMLTransformNode",
    "ColorTableFile": "vtkMRMLColorTableNode",
}
_SUFFIXES = {
    "SceneFile": (".mrml", ".mrb"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr"),
    "TableFile": (".csv", ".tsv"),
    "ModelFile": (".stl", ".vtp", ".vtk", ".obj", ".ply"),
    "TransformFile": (".h5", ".tfm"),
    "ColorTableFile": (".ctbl",),
}


class qSlicerIOManager(QObject):
    """Reads and writes through the storage nodes and the Volumes logic, as Slicer's readers do."""

    newFileLoaded = Signal(dict)
    fileSaved = Signal(dict)
    CPP_SIGNALS = ("newFileLoaded(qSlicerIO::IOProperties)", "fileSaved(qSlicerIO::IOProperties)")
    defaultSceneFileType = Property(str, lambda self: "MRML Scene (.mrml)")

    def __init__(self, parts: SceneParts) -> None:
        super().__init__()
        self._parts = parts

    def fileType(self, name: str) -> str:
        lower = str(name).lower()
        fitting = (kind for kind, suffixes in _SUFFIXES.items() if lower.endswith(suffixes))
        return next(fitting, "VolumeFile")

    def fileWriterFileType(self, node: Any, extension: str = "") -> str:
        kinds = {class_name: kind for kind, class_name in _NODE_CLASSES.items()}
        return kinds.get(node.GetClassName(), "VolumeFile")

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any = None, messages: Any = None) -> bool:
        """``loadNodes(type, properties, collection, messages)``; tells whether something was read."""
        path = Path(str(properties["fileName"]))
        if not path.exists():
            return False
        if kind == "SceneFile":
            return self.loadScene(str(path), bool(properties.get("clear")))
        name = properties.get("name") or path.name.partition(".")[0]
        node = self._read_volume(path, name, properties) if kind == "VolumeFile" else self._read_node(kind, path, name)
        if node is None:
            return False
        if loaded is not None:
            loaded.AddItem(node)
        self.newFileLoaded.emit({**properties, "nodeIDs": [node.GetID()]})
        return True

    def _read_volume(self, path: Path, name: str, properties: dict[str, Any]) -> Any:
        flags = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}
        options = sum(bit for flag, bit in flags.items() if properties.get(flag, flag == "autoWindowLevel"))
        volume = self._parts.logics["Volumes"].AddArchetypeVolume(str(path), name, options)
        if volume is not None and properties.get("show", True):
            self._show(volume, bool(properties.get("labelmap")))
        return volume

    def _show(self, volume: Any, labelmap: bool) -> None:
        application = self._parts.application_logic
        selection = application.GetSelectionNode()
        if labelmap:
            selection.SetReferenceActiveLabelVolumeID(volume.GetID())
        else:
            selection.SetReferenceActiveVolumeID(volume.GetID())
        application.PropagateVolumeSelection(1)

    def _read_node(self, kind: str, path: Path, name: str) -> Any:
        scene = self._parts.scene
        if kind not in _NODE_CLASSES:
            raise NotImplementedError(f"the test host does not read {kind}: {path}")
        node = scene.AddNewNodeByClass(_NODE_CLASSES[kind], scene.GenerateUniqueName(name))
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(path))
        if not node.GetStorageNode().ReadData(node):
            scene.RemoveNode(node)
            return None
        if node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
        return node

    def loadScene(self, path: str, clear: bool = True, messages: Any = None) -> bool:
        scene = self._parts.scene
        if path.lower().endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear))
        scene.SetURL(path)
        return bool(scene.Connect() if clear else scene.Import())

    def saveScene(self, path: str, screenshot: Any = None, messages: Any = None) -> bool:
        return self.saveNodes("SceneFile", {"fileName": path})

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any = None) -> bool:
        scene, path = self._parts.scene, Path(str(properties["fileName"]))
        if kind == "SceneFile":
            scene.SetURL(str(path))
            scene.SetRootDirectory(str(path.parent))
            return bool(scene.WriteToMRB(str(path)) if path.suffix == ".mrb" else scene.Commit())
        node = scene.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(path))
        saved = bool(node.GetStorageNode().WriteData(node))
        self.fileSaved.emit(properties)
        return saved

    def addDefaultStorageNodes(self) -> None:
        for index in range(self._parts.scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
            self._parts.scene.GetNthNodeByClass(index, "vtkMRMLStorableNode").AddDefaultStorageNode()
