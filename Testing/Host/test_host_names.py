"""The look-up of names: what a module uses, and what the stand-ins offer, against Slicer's own sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = {name: os.environ.get(name) for name in ("SLICER_SOURCE", "CTK_SOURCE")}
needs_sources = pytest.mark.skipif(
    not all(SOURCES.values()), reason="SLICER_SOURCE and CTK_SOURCE name no checkouts of Slicer and CTK"
)

HEADER = """
/// class qFake in a comment
class vtkMRMLNode;
class EXPORT qSample : public QWidget
{
  Q_OBJECT
  Q_PROPERTY(QStringList nodeTypes READ nodeTypes WRITE setNodeTypes)
  Q_PROPERTY(bool ready READ isReady)
public:
  enum Filter { Dirs = 0x001, Files };
  QStringList nodeTypes() const;
  void setNodeTypes(const QStringList& types);
  Q_INVOKABLE vtkMRMLNode*
    currentNode() const;
public slots:
  virtual void setCurrentNode(vtkMRMLNode* node, const QString& why = QString());
signals:
  void currentNodeChanged(vtkMRMLNode* node);
protected slots:
  void hidden();
};
"""


@pytest.fixture
def index(tmp_path):
    from Testing.SlicerHost.headers import HeaderIndex

    (tmp_path / "qSample.h").write_text(HEADER)
    (tmp_path / "qOther.h").write_text("class qOther : public qSample {\n  Q_OBJECT\n};\n")
    (tmp_path / "qPartPythonQtDecorators.h").write_text(
        "class qPartPythonQtDecorators : public QObject {\npublic slots:\n"
        "  bool static_qSample_testingEnabled() { return true; }\n  int size(qSample* o) { return 1; }\n};\n"
    )
    return HeaderIndex(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind", "signature"),
    [
        ("nodeTypes", "property", "writable"),
        ("ready", "property", ""),
        ("Files", "enum", ""),
        ("currentNode", "invokable", "currentNode()"),
        ("setCurrentNode", "slot", "setCurrentNode(vtkMRMLNode*,QString)"),
        ("currentNodeChanged", "signal", "currentNodeChanged(vtkMRMLNode*)"),
        ("testingEnabled", "slot", "static_qSample_testingEnabled()"),
        ("size", "slot", "size(qSample*)"),
    ],
)
def test_a_header_tells_what_pythonqt_sees(index, name, kind, signature):
    (member,) = index.find("qOther", name)
    assert (member.kind, member.signature) == (kind, signature)


@pytest.mark.parametrize("name", ["setNodeTypes", "hidden", "isReady", "qSample"])
def test_a_header_hides_what_pythonqt_does_not_see(index, name):
    assert index.find("qOther", name) == []


def test_the_line_of_a_declaration_is_its_own(index):
    (member,) = index.find("qSample", "currentNode")
    assert "Q_INVOKABLE" in HEADER.splitlines()[member.line - 1]
    assert index.qt_base("qOther") == "QWidget"


CODE = """
import slicer, qt
from slicer.util import VTKObservationMixin

class Panel:
    def setup(self, node: "slicer.vtkMRMLTableNode"):
        self.timer = qt.QTimer()
        self.ui.budget.connect("valueChanged(double)", print)
        view = slicer.app.layoutManager()
        series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "x")
        series.SetYColumnName(node.GetName())
        series.SetYColumName("misspelt")

    def go(self):
        self.timer.strat()
        self.other().GetNumberOfFoos()
"""
UI = """<ui version="4.0"><widget class="qMRMLWidget" name="Panel">
<widget class="ctkSliderWidget" name="budget"><property name="maximun"><double>1</double></property></widget>
</widget></ui>"""


@pytest.fixture
def uses(tmp_path):
    from Testing.SlicerHost.names import collect

    (tmp_path / "panel.py").write_text(CODE)
    (tmp_path / "panel.ui").write_text(UI)
    return {
        (use.owner, use.member) for use in collect([tmp_path / "panel.py"], [tmp_path / "panel.ui"], lambda *_: None)
    }


@pytest.mark.parametrize(
    "expected",
    [
        ("slicer.util", "VTKObservationMixin"),
        ("ctkSliderWidget", "valueChanged(double)"),
        ("ctkSliderWidget", "maximun"),
        ("qSlicerApplication", "layoutManager"),
        ("vtkMRMLPlotSeriesNode", "SetYColumName"),
        ("vtkMRMLTableNode", "GetName"),
        ("QTimer", "strat"),
        ("?", "GetNumberOfFoos"),
    ],
)
def test_names_are_collected_with_the_class_they_are_used_on(uses, expected):
    assert expected in uses


def test_misspelt_names_are_found(host, tmp_path):
    from Testing.SlicerHost.check_names import Checker
    from Testing.SlicerHost.names import collect

    (tmp_path / "panel.py").write_text(CODE)
    checker = Checker(None, None)
    verdicts = [checker.check(use) for use in collect([tmp_path / "panel.py"], [], checker.returns)]
    wrong = {each.use.member for each in verdicts if each is not None and not each.found}
    assert wrong == {"SetYColumName", "strat", "GetNumberOfFoos"}


def test_every_name_of_the_module_exists(host):
    from Testing.SlicerHost.check_names import check_repository

    verdicts, unchecked = check_repository()
    wrong = [
        f"{each.use.place}: {each.use.owner}.{each.use.member} ({each.source})" for each in verdicts if not each.found
    ]
    assert wrong == []
    assert verdicts, "the module uses Slicer's names"
    if all(SOURCES.values()):
        assert [use for use in unchecked if use.owner != "?"] == []


@needs_sources
def test_stand_ins_offer_nothing_that_slicer_does_not(host):
    from Testing.SlicerHost.check_names import Checker
    from Testing.SlicerHost.names import Use
    from Testing.SlicerHost.stand_in_names import offered

    checker = Checker(*(Path(SOURCES[name]) for name in ("SLICER_SOURCE", "CTK_SOURCE")))
    names = offered()
    assert ("qMRMLNodeComboBox", "currentNodeChanged(vtkMRMLNode*)") in names
    verdicts = [checker.check(Use(owner, name, "host", "connect" if "(" in name else "get")) for owner, name in names]
    assert [f"{each.use.owner}.{each.use.member}" for each in verdicts if not each.found] == []


@needs_sources
@pytest.mark.parametrize(
    "suite",
    [
        "test_slicer_parameter_node_wrapper",
        "test_slicer_parameter_pack",
        "test_slicer_util_VTKObservationMixin",
        "test_slicer_util_getNodes",
        "test_slicer_util_childWidgetVariables",
    ],
)
def test_slicers_own_python_files_pass_slicers_own_tests(suite):
    base = Path(SOURCES["SLICER_SOURCE"]) / "Base" / "Python" / "slicer"
    code = (
        "import sys, unittest\nfrom Testing import SlicerHost\nSlicerHost.start()\n"
        f"sys.path.insert(0, {str(base / 'tests')!r})\n"
        f"result = unittest.TextTestRunner().run(unittest.TestLoader().loadTestsFromName({suite!r}))\n"
        "sys.exit(not result.wasSuccessful() or not result.testsRun)\n"
    )
    environment = {**os.environ, "SLICER_PYTHON_SOURCE": str(base)}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
