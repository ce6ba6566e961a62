"""The MRML scene and the module logics, started without Qt in the order that slicer-core needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
import vtk

from .subject_hierarchy import SubjectHierarchyKeeper

MODULE_LOGICS = {
    "Colors": "vtkMRMLColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
}


@dataclass
class SceneParts:
    """The scene, the application logic and the module logics by module name."""

    scene: Any
    application_logic: Any
    logics: dict[str, Any]
    keep: list[Any] = field(default_factory=list)


def start_scene(temporary: Path) -> SceneParts:
    """Makes a scene as the application has it after start-up and puts it in ``slicer.mrmlScene``."""
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())
    application.SetTemporaryPath(str(temporary))
    scene.SetRootDirectory(str(temporary))
    parts = SceneParts(scene, application, {})
    for name, class_name in MODULE_LOGICS.items():
        _register(parts, name, getattr(slicer, class_name)())
    _add_crosshair(scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    _add_cache(parts, temporary / "cache")
    parts.keep.append(SubjectHierarchyKeeper(scene))
    slicer.mrmlScene = scene
    return parts


def _register(parts: SceneParts, name: str, logic: Any) -> None:
    if name != "Terminologies":  # it would read its files when it gets the scene, and slicer-core has none
        logic.SetMRMLScene(parts.scene)
    logic.SetMRMLApplicationLogic(parts.application_logic)
    parts.application_logic.SetModuleLogic(name, logic)
    parts.logics[name] = logic


def _add_crosshair(scene: Any) -> None:
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)


def _add_cache(parts: SceneParts, folder: Path) -> None:
    """Reading a .mrb needs the remote IO logic and its cache, also for local files."""
    folder.mkdir(parents=True, exist_ok=True)
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(parts.scene)
    remote.SetMRMLApplicationLogic(parts.application_logic)
    remote.GetCacheManager().SetRemoteCacheDirectory(str(folder))
    data = slicer.vtkDataIOManagerLogic()
    data.SetMRMLScene(parts.scene)
    data.SetMRMLApplicationLogic(parts.application_logic)
    data.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    parts.keep += [remote, data]
