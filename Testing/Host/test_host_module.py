"""A scripted module on the host: loaded, shown, bound to its parameter node, closed."""

from __future__ import annotations

import itertools

import pytest

MODULE = """
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import qt
import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest, ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Device(Enum):
    AUTO = "auto"
    CPU = "cpu"


@parameterNodeWrapper
class Parameters:
    inputVolume: Optional[vtkMRMLScalarVolumeNode]
    budget: Annotated[float, WithinRange(0, 100)] = 40
    invert: bool = False
    device: Device = Device.CPU
    style: Annotated[str, Choice(["fine", "fast"]), Default("fast")]
    folder: Path
    pins: dict[int, int]


class NAME(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Sample panel")
        parent.categories = ["Segmentation"]


class NAMEWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.log = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/NAME.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = NAMELogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, lambda *_: self.log.append("closed"))
        self.bind()

    def bind(self):
        self.parameters = self.logic.getParameterNode()
        self.tag = self.parameters.connectGui(self.ui)

    def enter(self):
        self.log.append("enter")

    def exit(self):
        self.log.append("exit")

    def cleanup(self):
        self.log.append("cleanup")
        self.removeObservers()


class NAMELogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return Parameters(super().getParameterNode())


class NAMETest(ScriptedLoadableModuleTest):
    def runTest(self):
        slicer.NAME_was_tested = True
"""

UI = """<ui version="4.0"><widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout">
<item><widget class="qMRMLNodeComboBox" name="inputSelector">
<property name="noneEnabled"><bool>true</bool></property>
<property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property></widget></item>
<item><widget class="ctkSliderWidget" name="budgetSlider">
<property name="SlicerParameterName" stdset="0"><string>budget</string></property></widget></item>
<item><widget class="QCheckBox" name="invertBox">
<property name="SlicerParameterName" stdset="0"><string>invert</string></property></widget></item>
<item><widget class="QComboBox" name="deviceBox">
<property name="SlicerParameterName" stdset="0"><string>device</string></property></widget></item>
<item><widget class="QComboBox" name="styleBox">
<property name="SlicerParameterName" stdset="0"><string>style</string></property></widget></item>
<item><widget class="ctkPathLineEdit" name="folderLine">
<property name="SlicerParameterName" stdset="0"><string>folder</string></property></widget></item>
</layout></widget><customwidgets>
<customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends></customwidget>
<customwidget><class>ctkSliderWidget</class><extends>QWidget</extends></customwidget>
<customwidget><class>ctkPathLineEdit</class><extends>QWidget</extends></customwidget>
<customwidget><class>qMRMLWidget</class><extends>QWidget</extends><container>1</container></customwidget></customwidgets>
<connections><connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""

_numbers = itertools.count()


@pytest.fixture
def module(host, tmp_path):
    name = f"SamplePanel{next(_numbers)}"
    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    (tmp_path / "Resources" / "UI" / f"{name}.ui").write_text(UI)
    (tmp_path / f"{name}.py").write_text(MODULE.replace("NAME", name))
    loaded = host.load_module(tmp_path / f"{name}.py")
    yield loaded
    host.close_panel(loaded)


@pytest.fixture
def panel(host, module):
    return host.open_panel(module)


def test_a_loaded_module_describes_itself(host, module):
    import slicer

    assert (module.title, module.categories) == ("Sample panel", ("Segmentation",))
    assert getattr(slicer.modules, module.name.lower()) == module
    assert slicer.util.modulePath(module.name) == module.path
    assert module.name in slicer.util.moduleNames()


def test_an_opened_panel_is_entered_and_found_by_its_name(host, module, panel):
    import slicer

    assert panel.log == ["enter"]
    assert slicer.util.getModuleWidget(module.name) is panel
    assert isinstance(slicer.util.getModuleLogic(module.name), type(panel.logic))


def test_parameters_start_at_their_defaults_and_are_shown(panel):
    assert panel.ui.budgetSlider.value == 40 and panel.ui.budgetSlider.maximum == 100
    assert panel.ui.deviceBox.currentText == "CPU"
    assert panel.ui.styleBox.currentText == "fast"
    assert panel.parameters.pins == {}


def test_a_change_in_a_widget_reaches_the_parameter_node(panel, tmp_path):
    import slicer

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    panel.ui.inputSelector.setCurrentNode(volume)
    panel.ui.budgetSlider.value = 75
    panel.ui.invertBox.checked = True
    panel.ui.deviceBox.currentIndex = 0
    panel.ui.styleBox.currentIndex = 0
    panel.ui.folderLine.currentPath = str(tmp_path)
    seen = panel.parameters
    assert (seen.inputVolume, seen.budget, seen.invert, seen.device.name) == (volume, 75, True, "AUTO")
    assert (seen.style, seen.folder) == ("fine", tmp_path)


def test_a_change_of_the_parameter_node_reaches_the_widget(panel):
    import slicer

    panel.parameters.budget = 12.5
    panel.parameters.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "flair")
    assert panel.ui.budgetSlider.value == 12.5
    assert panel.ui.inputSelector.currentNode().GetName() == "flair"


def test_a_disconnected_panel_changes_nothing_more(panel):
    panel.parameters.disconnectGui(panel.tag)
    panel.ui.budgetSlider.value = 99
    assert panel.parameters.budget == 40


def test_a_value_that_is_not_allowed_is_refused(panel):
    with pytest.raises(ValueError, match="within range"):
        panel.parameters.budget = 101
    with pytest.raises(TypeError, match="must be of type"):
        panel.parameters.invert = "yes"
    with pytest.raises(ValueError, match="must be"):
        panel.parameters.style = "slow"


def test_parameters_survive_saving_and_loading_the_scene(host, panel, tmp_path):
    import slicer

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "flair")
    panel.parameters.inputVolume = volume
    panel.parameters.budget = 60
    panel.parameters.pins = {7: 2}
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    panel.parameters.disconnectGui(panel.tag)
    host.close_scene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    panel.bind()
    again = panel.parameters
    assert (again.inputVolume.GetName(), again.budget, again.pins) == ("flair", 60, {7: 2})


def test_closing_the_scene_reaches_the_observer(host, panel):
    panel.parameters.disconnectGui(panel.tag)
    host.close_scene()
    assert panel.log == ["enter", "closed"]


def test_a_closed_panel_is_left_and_cleaned_up(host, module, panel):
    panel.parameters.disconnectGui(panel.tag)
    host.close_panel(module)
    assert panel.log == ["enter", "exit", "cleanup"]


def test_the_modules_self_test_runs(module):
    import slicer

    slicer.selfTests[module.name]()
    assert getattr(slicer, f"{module.name}_was_tested")


def test_a_missing_package_is_not_installed_in_testing_mode(host):
    import slicer.packaging

    assert slicer.packaging.pip_check("numpy>=1.20")
    assert not slicer.packaging.pip_check("dynamicseg-no-such-package")
    assert slicer.packaging.pip_ensure("dynamicseg-no-such-package>=1") is None


def test_messages_do_not_block_in_testing_mode(host):
    import slicer

    slicer.util.infoDisplay("shown nowhere")
    with pytest.raises(ZeroDivisionError), slicer.util.tryWithErrorDisplay("failed", waitCursor=True):
        _ = 1 / 0


def test_a_slot_that_works_too_long_is_heard_as_a_silence(host):
    import time

    import qt

    from Testing.SlicerHost.heartbeat import Heartbeat

    qt.QTimer.singleShot(10, lambda: time.sleep(0.25))
    with Heartbeat() as beat:
        host.process_events(0.05)
    assert beat.longest_ms >= 250
