"""The stand-ins of ctk and qMRML widgets, and .ui files."""

from __future__ import annotations

import pytest


@pytest.fixture
def selector(host):
    import slicer

    found = slicer.qMRMLNodeComboBox()
    found.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    found.addEnabled = False
    found.removeEnabled = False
    return found


def _volume(name):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def test_a_selector_without_none_takes_the_first_node(host, selector):
    import slicer

    first = _volume("first")
    _volume("second")
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() == first
    assert selector.nodeCount() == 2


def test_a_selector_with_none_waits_for_a_choice(host, selector):
    import slicer

    _volume("first")
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is None
    assert selector.currentNodeID == ""


def test_a_choice_is_told_as_node_and_as_validity_and_as_id(host, selector):
    import slicer

    heard = []
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: heard.append(node))
    selector.connect("currentNodeChanged(bool)", lambda valid: heard.append(valid))
    selector.connect("currentNodeIDChanged(QString)", lambda node_id: heard.append(node_id))
    volume = _volume("first")
    selector.setCurrentNode(volume)
    assert heard == [volume, True, volume.GetID()]


def test_a_removed_node_gives_way_to_the_next(host, selector):
    import slicer

    first, second = _volume("first"), _volume("second")
    selector.setMRMLScene(slicer.mrmlScene)
    slicer.mrmlScene.RemoveNode(first)
    assert selector.currentNode() == second
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is None


def test_a_selector_lists_only_nodes_of_its_types_that_are_not_hidden(host, selector):
    import slicer

    hidden = _volume("hidden")
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "model")
    label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "label")
    selector.setMRMLScene(slicer.mrmlScene)
    assert [selector.nodeFromIndex(row) for row in range(selector.nodeCount())] == [label]
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0


def test_a_selector_filters_by_attribute(host, selector):
    import slicer

    plain, marked = _volume("plain"), _volume("marked")
    marked.SetAttribute("kind", "input")
    selector.addAttribute("vtkMRMLScalarVolumeNode", "kind", "input")
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.nodeCount() == 1
    selector.setCurrentNode(plain)
    assert selector.currentNode() is None


def test_a_new_node_has_the_base_name_and_is_chosen(host, selector):
    import slicer

    selector.baseName = "Result"
    selector.setMRMLScene(slicer.mrmlScene)
    node = selector.addNode()
    assert node.GetName() == "Result"
    assert selector.currentNode() == node


def test_a_slider_keeps_its_range_and_tells_its_value(host):
    import ctk

    heard = []
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep, slider.decimals = 10, 300, 0.5, 1
    slider.connect("valueChanged(double)", heard.append)
    slider.value = 42.5
    slider.value = 1000
    assert heard == [42.5, 300.0]
    with pytest.raises(AttributeError, match="setRange"):
        slider.setRange(0, 1)  # no slot of ctkSliderWidget, so PythonQt does not reach it


def test_a_collapsed_button_hides_what_lies_below_and_keeps_hidden_what_was_hidden(host):
    import ctk
    import qt

    section = ctk.ctkCollapsibleButton()
    layout = qt.QVBoxLayout(section)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.visible = False
    section.show()
    section.collapsed = True
    assert not shown.visible
    section.collapsed = False
    assert shown.visible and not hidden.visible


def test_a_path_line_tells_whether_the_path_is_there(host, tmp_path):
    import ctk

    heard = []
    line = ctk.ctkPathLineEdit()
    line.connect("currentPathChanged(QString)", heard.append)
    line.connect("validInputChanged(bool)", heard.append)
    line.currentPath = str(tmp_path)
    assert heard == [str(tmp_path), True]


def test_a_table_view_follows_its_table_node(host):
    import numpy as np
    import slicer

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(table)
    slicer.util.updateTableFromArray(table, [np.arange(3), np.array([1.0, 2.0, 4.0])], ["slice", "cost"])
    assert view.model().rowCount() == 3
    assert view.model().index(2, 1).data() == "4"


def test_a_widget_without_stand_in_says_so(host):
    import ctk

    with pytest.raises(NotImplementedError, match="no stand-in for ctkRangeWidget"):
        ctk.ctkRangeWidget()
    with pytest.raises(AttributeError, match="ctkSilderWidget"):
        _ = ctk.ctkSilderWidget


UI = """<ui version="4.0"><widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout">
<item><widget class="qMRMLNodeComboBox" name="inputSelector">
<property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
<property name="noneEnabled"><bool>true</bool></property>
<property name="SlicerParameterName" stdset="0"><string>inputVolume</string></property></widget></item>
<item><widget class="{extra}" name="extra"/></item></layout></widget>
<customwidgets>
<customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends></customwidget>
<customwidget><class>qMRMLWidget</class><extends>QWidget</extends><container>1</container></customwidget>
<customwidget><class>{extra}</class><extends>QWidget</extends></customwidget></customwidgets>
<connections><connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""


def test_a_ui_file_gives_its_widgets_their_properties_and_connections(host, tmp_path):
    import slicer

    path = tmp_path / "Panel.ui"
    path.write_text(UI.format(extra="ctkSliderWidget"))
    panel = slicer.util.loadUI(str(path))
    panel.setMRMLScene(slicer.mrmlScene)
    ui = slicer.util.childWidgetVariables(panel)
    assert ui.inputSelector.mrmlScene() is slicer.mrmlScene
    assert ui.inputSelector.noneEnabled is True
    assert ui.inputSelector.property("SlicerParameterName") == "inputVolume"
    assert type(ui.extra).__name__ == "ctkSliderWidget"


def test_a_ui_file_with_an_unknown_widget_is_refused(host, tmp_path):
    import slicer

    path = tmp_path / "Panel.ui"
    path.write_text(UI.format(extra="qMRMLSilderWidget"))
    with pytest.raises(RuntimeError, match="asks for qMRMLSilderWidget"):
        slicer.util.loadUI(str(path))
