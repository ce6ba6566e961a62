"""DynamicSeg in 3D Slicer: load a scan, pick a budget, Apply."""

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if importlib.util.find_spec("DynamicSegLib") is None:
    # An installed extension has the library beside this file, a checkout one folder up.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from DynamicSegPanel.BudgetControl import BudgetControl
from DynamicSegPanel.Dependencies import ensureDependencies
from DynamicSegPanel.Export import exportResult
from DynamicSegPanel.Inputs import Inputs
from DynamicSegPanel.Logic import DynamicSegLogic
from DynamicSegPanel.Message import Message
from DynamicSegPanel.Pins import Pins
from DynamicSegPanel.ResultView import ResultView
from DynamicSegPanel.RunControl import RunControl
from DynamicSegPanel.Sample import loadSample, registerSampleData

from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.errors import DynamicSegError
from DynamicSegLib.scene.result import drawings_of
from DynamicSegLib.scene.terminology import load_context

# After the last change of the inputs, before they are looked at.
PREPARE_MILLISECONDS = 300
# Before the segmentation itself, from which on a user is told what took them.
NOTICEABLE_SECONDS = 2.0


class DynamicSeg(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "DynamicSeg"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The DynamicSeg developers"]
        self.parent.helpText = _(
            "Segments a scan slice by slice and spends computing only where a slice needs it. Choose the volumes of "
            "one patient, choose a budget, press Apply; then see what each slice got and why. For research, not for "
            "diagnosis."
        )
        self.parent.acknowledgementText = _(
            "Implements Med-DANet (ECCV 2022), Med-DANet V2 (WACV 2024) and MutualNet (ECCV 2020)."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


class DynamicSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: wires its parts to the logic and holds no computation."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: DynamicSegLogic | None = None
        self.session: Any = None
        self._begun, self._warm = 0.0, False
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/DynamicSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        for section in (self.ui.slicesButton, self.ui.advancedButton):
            section.collapsed = True
        self.logic = DynamicSegLogic()
        load_context(slicer.modules.terminologies.logic())
        self._prepareTimer = qt.QTimer()
        self._prepareTimer.setSingleShot(True)
        self._prepareTimer.setInterval(PREPARE_MILLISECONDS)
        self._prepareTimer.connect("timeout()", self.prepare)
        self.message = Message(self.ui.messageLabel)
        self.runControl = RunControl(self.ui)
        self.resultView = ResultView(self.ui)
        self.pins = Pins(self.ui, self.resultView, lambda: self.begin("update"))
        self.budget = BudgetControl(self.ui, self.onBudgetChanged, self.onInputsChanged)
        self.inputs = Inputs(self.ui, self.message, self.onInputsChanged)
        self.inputs.fillBundles()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved)
        self.ui.sampleButton.connect("clicked(bool)", self.onSample)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.ui.exportButton.connect("clicked(bool)", self.onExport)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes and the module widget is destroyed."""
        self.exit()
        self.removeObservers()
        self._prepareTimer.stop()
        self.runControl.stop()
        self.resultView.close()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.showLastResult()

    def exit(self) -> None:
        """Called each time the user opens a different module."""
        if self._parameterNode and self._parameterNodeGuiTag is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self._parameterNodeGuiTag = None

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        self.runControl.stop()
        self.session = None
        self.resultView.setResult(None)
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        self.message.clear()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """The choices of the scene that came in took the place of the ones that a run would go by."""
        self.runControl.stop()
        self.session = None
        self.setParameterNode(None)
        if self.parent.isEntered:
            self.initializeParameterNode()
            self.showLastResult()

    def onNodeAdded(self, caller: Any, event: Any) -> None:
        if self.parent.isEntered and not self.runControl.running:
            qt.QTimer.singleShot(0, self.inputs.guess)  # the node gets its name and voxels after this event

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        if not slicer.mrmlScene.IsClosing():
            self.inputs.release(node)
            for drawing in drawings_of(node):
                slicer.mrmlScene.RemoveNode(drawing)

    def initializeParameterNode(self) -> None:
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: Any | None) -> None:
        """Shows the choices of a parameter node and follows it; None while there is no scene."""
        if self._parameterNode and self._parameterNodeGuiTag is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
        self._parameterNode, self._parameterNodeGuiTag = None, None
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
        self._parameterNode = parameterNode
        self.inputs.setParameterNode(parameterNode)
        self.pins.setParameterNode(parameterNode)
        self.claimPins()
        if parameterNode is not None:
            self.budget.restore(parameterNode.budgetUnit, parameterNode.budget)
        if not self.runControl.running:
            self.showReadiness()

    def showLastResult(self) -> None:
        """After loading a scene: its newest result, with all links between chart, table and views."""
        from DynamicSegLib.scene.result import last_result

        if self.resultView.result is None and not self.runControl.running:
            self.resultView.setResult(last_result())
            self.pins.refresh()

    def onInputsChanged(self) -> None:
        """Forgets what was computed for other inputs, and looks at the new ones soon."""
        if self.runControl.running:
            return
        self.runControl.stop()
        self.session = None
        self.claimPins()
        self.budget.setBundle(self.inputs.bundle, self.inputs.device)
        self.showReadiness()

    def claimPins(self) -> None:
        """Keeps the pins for the inputs that are chosen, and for no others."""
        if self.inputs.bundle is not None and not self.inputs.problems:
            self.pins.belongTo(self.inputs.bundle.name, [node.GetID() for node in self.inputs.volumes.values()])

    def settle(self) -> None:
        """Catches up after a run, however it ended: with surfaces that it dropped, and volumes that went meanwhile."""
        self.resultView.restoreSurfaces()
        session = self.session
        if session is not None and (session.volumes, session.mask) != (self.inputs.volumes, self.inputs.mask):
            self.onInputsChanged()

    def showReadiness(self) -> None:
        """Whether Apply can be pressed, or what is missing; looks at complete inputs soon."""
        problems = ". ".join(self.inputs.problems)
        self.ui.applyButton.enabled = not problems
        self.ui.applyButton.toolTip = problems or _("Segments the scan within the budget, as a new segmentation.")
        if self.session is None:
            if not problems:
                self._prepareTimer.start()
            self.ui.statusLabel.text = problems if self.inputs.volumes else ""

    def prepare(self) -> None:
        """Brings the volumes onto one grid ahead of Apply, so that its warnings are read before."""
        if self.parent.isEntered and self.session is None and not self.inputs.problems and not self.runControl.running:
            try:
                self.session = self.newSession()
            except DynamicSegError as error:
                self.fail(error)
                return
            self.runControl.inBackground(self.session.prepare(), self.onPrepared)

    def newSession(self) -> Any:
        inputs = self.inputs
        return self.logic.newSession(inputs.volumes, inputs.bundle, inputs.mask, inputs.device, self.budget.perVolume)

    def onPrepared(self, error: BaseException | None) -> None:
        if error is not None:
            self.fail(error)
            return
        self.message.show("warning", self.session.study.warnings)
        self.budget.setRun(None, self.session.study.slices)

    def onBudgetChanged(self) -> None:
        if self._parameterNode:
            self._parameterNode.budgetUnit, self._parameterNode.budget = self.budget.unit, self.budget.value

    def onSample(self, checked: bool) -> None:
        with slicer.util.tryWithErrorDisplay(_("The sample could not be made."), waitCursor=True):
            loadSample()

    def onApply(self, checked: bool) -> None:
        if self.runControl.stop():
            self.ui.statusLabel.text = _("Cancelled. The scene is as it was before.")
            self.settle()
        else:
            self.begin("segment")

    def begin(self, what: str) -> None:
        """Starts `segment` or `update` of the session with the choices of the panel."""
        self._prepareTimer.stop()
        self.message.clear()
        try:
            ensureDependencies(self.resourcePath("requirements.txt"))
            if self.session is None or self.session.outdated:
                self.session = self.newSession()
            self._begun, self._warm = time.perf_counter(), self.session.run is not None
            self.logic.showVolumes(self.inputs.volumes)
            steps = getattr(self.session, what)(budget=self.budget.budget(), pins=self.pins.options())
        except DynamicSegError as error:
            self.fail(error)
            return
        self.runControl.begin(steps, self.onEnd)

    def onEnd(self, error: BaseException | None) -> None:
        if error is not None:
            self.fail(error)
        else:
            self.showEnd()
        self.settle()

    def showEnd(self) -> None:
        """Shows what a run has found, and learns from it for the next."""
        session, seconds = self.session, sum(self.session.segmentation.seconds.values())
        self.resultView.setResult(session.result)
        self.resultView.showChart()
        self.pins.applied()
        self.inputs.showDevice(session.run.backend.facts)
        self.budget.learnSpeed(seconds, session.segmentation.spent.macs)
        self.budget.setRun(session.run, session.study.slices)
        self.message.show("warning", session.segmentation.summary()["warnings"])
        self.ui.statusLabel.text = _("Done in {seconds} s on {device}.").format(
            seconds=f"{seconds:.1f}", device=session.run.backend.facts.device.upper()
        )
        before = time.perf_counter() - self._begun - seconds
        if not self._warm and before > NOTICEABLE_SECONDS:
            extra = _("Getting ready (volumes, networks) took {seconds} s more.").format(seconds=f"{before:.0f}")
            self.ui.statusLabel.text = f"{self.ui.statusLabel.text} {extra}"

    def fail(self, error: BaseException) -> None:
        """Says what failed where the user looks, and what only developers read in the console."""
        self.message.showError(error)
        if not isinstance(error, DynamicSegError):
            import logging

            logging.error("DynamicSeg failed", exc_info=error)

    def onExport(self, checked: bool) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Export into"))
        if folder:
            self.export(folder)

    def export(self, folder: str) -> None:
        """Writes the files of the result that is shown."""
        result = self.resultView.result
        segmentation = self.session.segmentation if self.session and self.session.result is result else None
        self.resultView.showChart()  # the picture is taken of its view
        slicer.app.processEvents()
        try:
            names = exportResult(folder, result.table, segmentation)
        except DynamicSegError as error:
            self.fail(error)
            return
        self.ui.statusLabel.text = _("Written: {names}").format(names=", ".join(names))


class DynamicSegTest(ScriptedLoadableModuleTest):
    """The self-test that Slicer runs: the sample, segmented by the first model that is installed."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_the_sample_is_segmented()

    def test_the_sample_is_segmented(self) -> None:
        if importlib.util.find_spec("torch") is None:
            self.delayDisplay("Skipped: torch is not installed, and tests install nothing")
            return
        from DynamicSegLib.bundles import find_bundles

        nodes = loadSample()
        bundle = load_bundle(next(iter(find_bundles())))
        volumes = dict(zip(bundle.input.modalities, nodes, strict=True))
        result, summary = DynamicSegLogic().process(volumes, str(bundle.folder), "20%")
        self.assertEqual(result.table.GetNumberOfRows(), summary["slices"])
        self.assertLessEqual(summary["macs"]["spent"], summary["macs"]["asked"])
        self.assertGreater(sum(summary["volumes_ml"].values()), 0)
