"""PythonQt's ways over PySide6: what Slicer code may write, and what it may not."""

from __future__ import annotations

import gc

import pytest


def test_properties_are_read_and_written_as_attributes(host):
    import qt

    button = qt.QPushButton("Apply")
    button.enabled = False
    button.text = "Cancel"
    assert (button.text, button.enabled, button.name) == ("Cancel", False, "")
    button.name = "applyButton"
    assert button.objectName == "applyButton"


def test_a_misspelt_property_cannot_be_read_or_made(host):
    import qt

    button = qt.QPushButton()
    with pytest.raises(AttributeError, match="has no attribute named 'txt'"):
        _ = button.txt
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        button.txt = "Apply"
    item = qt.QTableWidgetItem("a")
    with pytest.raises(AttributeError, match="not allowed"):
        item.txt = "b"


def test_a_value_that_a_property_does_not_take_is_refused(host):
    import qt

    with pytest.raises(AttributeError, match="does not accept an object of type str"):
        qt.QPushButton().iconSize = "large"


def test_a_slot_cannot_be_overwritten(host):
    import qt

    with pytest.raises(AttributeError, match="can not be overwritten"):
        qt.QPushButton().click = None


def test_signals_connect_by_signature_and_by_name_and_slots_take_what_they_can(host):
    import qt

    heard = []
    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", lambda checked: heard.append(checked))
    button.connect("clicked()", lambda: heard.append("no argument"))
    button.clicked.connect(lambda: heard.append("fewer arguments"))
    button.click()
    assert heard == [True, "no argument", "fewer arguments"]


def test_a_disconnected_slot_hears_no_more(host):
    import qt

    heard = []
    spin = qt.QSpinBox()
    spin.valueChanged.connect(heard.append)
    spin.value = 3
    assert spin.valueChanged.disconnect(heard.append)
    spin.value = 4
    assert heard == [3]


@pytest.mark.parametrize("signal", ["clcked()", "clicked(int)", "currentNodeChanged(vtkMRMLNode*)"])
def test_an_unknown_signal_is_refused(host, signal):
    import qt

    with pytest.raises(AttributeError, match="does not exist on QPushButton"):
        qt.QPushButton().connect(signal, print)


def test_a_signal_that_left_with_qt_5_is_refused(host):
    import qt

    with pytest.raises(AttributeError, match="currentIndexChanged"):
        qt.QComboBox().connect("currentIndexChanged(QString)", print)


def test_children_are_found_by_class_name_or_class(host):
    import qt

    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    spin = qt.QSpinBox()
    spin.name = "count"
    layout.addWidget(spin)
    assert panel.findChild("QSpinBox", "count") == spin
    assert panel.findChild(qt.QAbstractSpinBox, "count") == spin
    assert panel.findChild(qt.QSpinBox, "other") is None
    assert spin in panel.findChildren(qt.QWidget)
    assert spin.parent() == panel and spin.className() == "QSpinBox" and spin.inherits("QAbstractSpinBox")
    assert panel.count.value == 0, "a child is also an attribute under its name"


def test_an_object_that_nobody_holds_is_deleted(host):
    import qt

    panel = qt.QWidget()
    held, dropped = qt.QTimer(panel), qt.QTimer()
    heard = []
    for timer in (held, dropped):
        timer.setSingleShot(True)
        timer.connect("timeout()", lambda: heard.append("timeout"))
        timer.start(0)
    del held, dropped, timer
    gc.collect()
    host.process_events(0.05)
    assert heard == ["timeout"], "the timer with a parent lives; the other went with its last name"


def test_a_deleted_object_is_false_and_cannot_be_read(host):
    import qt

    label = qt.QLabel("x")
    label.delete()
    assert not label
    with pytest.raises(ValueError, match="destroyed QLabel"):
        _ = label.text


def test_a_python_class_may_derive_and_its_methods_are_called_by_qt(host):
    import qt

    class Panel(qt.QWidget):
        def __init__(self):
            super().__init__()
            self.sizes = []

        def resizeEvent(self, event):  # noqa: N802
            self.sizes.append(event.size().width())

    panel = Panel()
    panel.resize(321, 100)
    panel.show()
    host.process_events()
    assert panel.sizes == [321]


def test_lists_come_as_tuples_and_enums_compare_with_numbers(host):
    import qt
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert selector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert qt.Qt.Checked == 2 and (qt.QMessageBox.Ok | qt.QMessageBox.Cancel) == 0x400400


def test_an_exception_in_a_slot_is_kept_for_the_test(host):
    import qt

    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()
    (error,) = host.take_errors()
    assert "ZeroDivisionError" in error


def test_an_error_of_vtk_is_kept_for_the_test(host):
    import vtk

    vtk.vtkXMLPolyDataReader().Update()
    assert any("vtkXMLPolyDataReader" in error for error in host.take_errors())
