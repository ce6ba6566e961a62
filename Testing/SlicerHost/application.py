"""``slicer.app``: a QApplication with the properties and slots of qSlicerApplication that modules use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Property, QObject, QSettings, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QApplication

from .io_manager import qSlicerIOManager
from .layout_manager import qSlicerLayoutManager
from .scene import SceneParts


class qSlicerCommandOptions(QObject):
    """The option ``--testing``, and ``--no-main-window`` where the host was told so."""

    def __init__(self) -> None:
        super().__init__()
        self._no_main_window = False

    testingEnabled = Property(bool, lambda self: True)
    noMainWindow = Property(bool, lambda self: self._no_main_window)
    pythonScript = Property(str, lambda self: "")


class qSlicerModuleFactoryManager(QObject):
    """Names the modules that were loaded."""

    def __init__(self, manager: qSlicerModuleManager) -> None:
        super().__init__(manager)
        self._manager = manager

    def loadedModuleNames(self) -> list[str]:
        return list(self._manager._modules)


class qSlicerModuleManager(QObject):
    """Knows the modules that the host has loaded."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}
        self._factory = qSlicerModuleFactoryManager(self)

    def factoryManager(self) -> QObject:
        return self._factory

    def modulesNames(self) -> list[str]:
        return list(self._modules)

    def module(self, name: str) -> Any:
        return self._modules.get(name)


class qSlicerApplication(QApplication):
    """The application object; started once a process, since Qt allows one."""

    mrmlSceneChanged = Signal(object)
    startupCompleted = Signal()
    CPP_SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, parts: SceneParts, temporary: Path) -> None:
        super().__init__(["SlicerHost", "-style", "Fusion"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("DynamicSegTestHost")
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(temporary / "settings"))
        self._parts = parts
        self._temporary = str(temporary)
        self._options = qSlicerCommandOptions()
        self._modules = qSlicerModuleManager()
        self._settings = QSettings()
        self._settings.setValue("Developer/SelfTestDisplayMessageDelay", 50)
        self._io = qSlicerIOManager(parts)
        self._layout = qSlicerLayoutManager(parts)
        self._paused = 0

    temporaryPath = Property(str, lambda self: self._temporary, lambda self, to: setattr(self, "_temporary", to))
    slicerHome = Property(str, lambda self: self._temporary)
    defaultScenePath = Property(str, lambda self: self._temporary)
    cachePath = Property(str, lambda self: str(Path(self._temporary) / "cache"))
    majorVersion = Property(int, lambda self: slicer_version()[0])
    minorVersion = Property(int, lambda self: slicer_version()[1])
    revision = Property(str, lambda self: str(slicer_version()[2]))
    documentationBaseUrl = Property(str, lambda self: "https://slicer.readthedocs.io/")
    documentationLanguage = Property(str, lambda self: "en")
    isInstalled = Property(bool, lambda self: False)
    mainApplicationName = Property(str, lambda self: "Slicer")
    mainApplicationDisplayName = Property(str, lambda self: "3D Slicer (test host)")

    def mrmlScene(self) -> Any:
        return self._parts.scene

    def applicationLogic(self) -> Any:
        return self._parts.application_logic

    def moduleLogic(self, name: str) -> Any:
        return self._parts.logics.get(name)

    def moduleManager(self) -> qSlicerModuleManager:
        return self._modules

    def commandOptions(self) -> qSlicerCommandOptions:
        return self._options

    def testingEnabled(self) -> bool:
        return True

    def settings(self) -> QSettings:
        return self._settings

    def userSettings(self) -> QSettings:
        return self._settings

    def revisionUserSettings(self) -> QSettings:
        return self._settings

    def coreIOManager(self) -> qSlicerIOManager:
        return self._io

    def ioManager(self) -> qSlicerIOManager:
        return self._io

    def layoutManager(self) -> qSlicerLayoutManager | None:
        return None if self._options._no_main_window else self._layout

    def moduleDocumentationUrl(self, module: str) -> str:
        return f"https://slicer.readthedocs.io/en/latest/user_guide/modules/{module.lower()}.html"

    def pauseRender(self) -> None:
        self._paused += 1

    def resumeRender(self) -> None:
        self._paused -= 1

    def setRenderPaused(self, pause: bool) -> None:
        self._paused += 1 if pause else -1

    def toSlicerHomeAbsolutePath(self, path: str) -> str:
        return str(Path(self._temporary) / path)

    def restart(self) -> None:
        raise RuntimeError("the test host does not restart")


def slicer_version() -> tuple[int, int, int]:
    """Returns the version of slicer-core, the Slicer whose C++ libraries run here."""
    from importlib.metadata import version

    major, minor, revision = (int(part) for part in version("slicer-core").split(".")[:3])
    return major, minor, revision


def light_palette() -> QPalette:
    """Returns Slicer's light look, so that pictures do not depend on the machine."""
    from PySide6.QtGui import QColor

    palette = QPalette(QColor(239, 239, 239))
    palette.setColor(QPalette.ColorRole.Base, QColor(255, 255, 255))
    palette.setColor(QPalette.ColorRole.Highlight, QColor(48, 140, 198))
    return palette
