"""Model, volumes, mask and device: what is segmented, and with what."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import find_bundles, install_bundle, load_bundle
from DynamicSegLib.errors import BundleError, DynamicSegError
from DynamicSegPanel.Message import Message
from DynamicSegPanel.VolumeSelectors import VolumeSelectors

CARD_SIZE = (640, 720)


class Inputs:
    """The sections Scan and Advanced; `onChanged` is called after any choice."""

    def __init__(self, ui: Any, message: Message, onChanged: Callable[[], None]) -> None:
        self._ui, self._message, self._onChanged = ui, message, onChanged
        self.bundle: Bundle | None = None
        self._parameterNode: Any = None
        self._card: Any = None
        self._selectors = VolumeSelectors(ui.volumesLayout, onChanged)
        for device, title in {"auto": _("automatic"), "cpu": "CPU", "cuda": "GPU (CUDA)"}.items():
            ui.deviceSelector.addItem(title, device)
        ui.deviceReasonLabel.text = _("A CUDA graphics card where there is one, else the processor.")
        ui.bundleSelector.connect("currentIndexChanged(int)", self._onBundle)
        ui.deviceSelector.connect("currentIndexChanged(int)", self._onDevice)
        ui.maskSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onMask)
        ui.cardButton.connect("clicked(bool)", self._onCard)
        ui.installButton.connect("clicked(bool)", self._onInstall)

    @property
    def device(self) -> str:
        return str(self._ui.deviceSelector.itemData(self._ui.deviceSelector.currentIndex))

    @property
    def mask(self) -> Any:
        return self._ui.maskSelector.currentNode()

    @property
    def volumes(self) -> dict[str, Any]:
        """The chosen volume nodes by modality."""
        return self._selectors.volumes()

    @property
    def problems(self) -> list[str]:
        """What has to be chosen before Apply, or chosen otherwise, in sentences."""
        missing = [_("a model")] if self.bundle is None else self._selectors.missing()
        sentences = [_("Still to choose: {names}").format(names=", ".join(missing))] if missing else []
        for first, second in self._selectors.repeated():
            sentences.append(_("{first} and {second} are the same volume").format(first=first, second=second))
        return sentences

    def setParameterNode(self, parameterNode: Any | None) -> None:
        """Shows the choices of a parameter node, and keeps it up to date; None after the scene was closed."""
        self._parameterNode = None
        if parameterNode is not None:
            self._select(self._ui.bundleSelector, parameterNode.bundle)
            self._select(self._ui.deviceSelector, parameterNode.device)
        self._parameterNode = parameterNode
        self._selectors.setParameterNode(None if parameterNode is None else parameterNode.parameterNode)
        self.guess()

    def guess(self) -> None:
        """Fills empty rows by the names of the volumes in the scene, and offers the sample where there are none."""
        if self._parameterNode is not None:
            self._selectors.guess()
        self._ui.sampleButton.visible = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0

    def release(self, node: Any) -> None:
        """Lets go of a node that is about to be removed."""
        self._selectors.release(node)
        if self.mask is node:
            self._ui.maskSelector.setCurrentNode(None)

    def fillBundles(self, choose: str = "") -> None:
        """Lists the models of this computer; a damaged one is told about and left out."""
        selector, problems = self._ui.bundleSelector, []
        selector.blockSignals(True)
        selector.clear()
        for name in find_bundles():
            try:
                bundle = load_bundle(name)
            except BundleError as error:
                problems.append(str(error))
                continue
            selector.addItem(str(bundle.facts.get("title", name)), name)
        if choose:
            self._select(selector, choose)
        selector.blockSignals(False)
        if not selector.count and not problems:
            problems.append(_("No model is installed: open Advanced and install one from a file."))
        if problems:
            self._message.show("error", problems)
        self._onBundle()

    def install(self, path: str) -> None:
        """Installs a model from a file and chooses it; says in the panel why where it cannot."""
        try:
            bundle = install_bundle(path)
        except DynamicSegError as error:
            self._message.showError(error)
            return
        self.fillBundles(bundle.name)
        self._message.show("info", [_("{name} was installed.").format(name=bundle.name)])

    def showDevice(self, facts: Any) -> None:
        """Says where the networks run and why, as soon as that is known."""
        self._ui.deviceReasonLabel.text = f"{facts.device}, {facts.name} {facts.precision}: {facts.reason}"

    @staticmethod
    def _select(selector: Any, data: str) -> None:
        place = selector.findData(data)
        if place >= 0:
            selector.currentIndex = place

    def _onBundle(self, place: int = 0) -> None:
        name = self._ui.bundleSelector.itemData(self._ui.bundleSelector.currentIndex)
        self.bundle = load_bundle(name) if name else None
        self._selectors.build(self.bundle.input.modalities if self.bundle else ())
        if self._parameterNode is not None:
            self._parameterNode.bundle = name or ""
            self._selectors.setParameterNode(self._parameterNode.parameterNode)
            self._selectors.guess()
        self._onChanged()

    def _onDevice(self, place: int) -> None:
        if self._parameterNode is not None:
            self._parameterNode.device = self.device
        self._onChanged()

    def _onMask(self, node: Any) -> None:
        self._onChanged()

    def _onCard(self, checked: bool) -> None:
        if self.bundle is None:
            return
        self._card = qt.QDialog(slicer.util.mainWindow())
        self._card.windowTitle = self.bundle.name
        text = qt.QTextBrowser()
        text.setMarkdown(self.bundle.card)
        layout = qt.QVBoxLayout(self._card)
        layout.addWidget(text)
        self._card.resize(*CARD_SIZE)
        self._card.show()

    def _onInstall(self, checked: bool) -> None:
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Install a model"), "", _("Models (*.zip)"))
        if path:
            self.install(path)
