"""The user's choices as a parameter node, and everything that needs no panel."""

from typing import Any

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from DynamicSegLib.budget import Budget
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import load_bundle


@parameterNodeWrapper
class DynamicSegParameterNode:
    """All choices of the user, saved with the scene. The volumes are node references `Volume.<modality>` beside them.

    bundle - Name of the model.
    budget - Number of the budget, in budgetUnit.
    budgetUnit - share (of full effort, in percent), macs (in billions), seconds, or automatic.
    device - auto, cpu or cuda.
    perVolume - Whether one network is chosen for the whole scan, for models with a query table.
    mask - Brain mask for scans that are not skull-stripped.
    showCropBoxes - Whether boxes are drawn where slices were cropped.
    pins - Option by slice index that the user chose, as JSON.
    """

    bundle: str = "glioma"
    budget: float = 40.0
    budgetUnit: str = "share"
    device: str = "auto"
    perVolume: bool = False
    mask: vtkMRMLScalarVolumeNode
    showCropBoxes: bool = True
    pins: str = "{}"


class DynamicSegLogic(ScriptedLoadableModuleLogic):
    """Everything that needs no panel."""

    def getParameterNode(self) -> DynamicSegParameterNode:
        return DynamicSegParameterNode(super().getParameterNode())

    def newSession(
        self,
        volumes: dict[str, Any],
        bundle: Bundle,
        mask: Any = None,
        device: str = "auto",
        perVolume: bool = False,
    ) -> Any:
        """A `scene.session.SceneSession` whose steps are short enough for a panel."""
        from DynamicSegLib.scene.session import SceneSession, Settings

        return SceneSession(volumes, bundle, mask, Settings(device=device, live=True, per_volume=perVolume))

    def showVolumes(self, volumes: dict[str, Any]) -> None:
        """Shows the first volume, in its own planes, where the slice views show nothing."""
        layers = [node.GetBackgroundVolumeID() for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")]
        if not any(layers) and volumes:
            first = next(iter(volumes.values()))
            slicer.util.setSliceViewerLayers(background=first, fit=True, rotateToVolumePlane=True)

    def process(
        self,
        volumes: dict[str, vtkMRMLScalarVolumeNode],
        bundle: str = "glioma",
        budget: str | None = None,
        mask: vtkMRMLScalarVolumeNode | None = None,
        pins: dict[int, int] | None = None,
        device: str = "auto",
        name: str | None = None,
        perVolume: bool = False,
    ) -> tuple[Any, dict[str, Any]]:
        """Segments without panel and without popups.

        :param volumes: one volume node for each modality of the model
        :param bundle: name of the model, or the path of its folder
        :param budget: "300G" multiply-accumulates, "40%" of the full effort, "5s", or None for the papers' rule
        :param mask: brain mask for scans that are not skull-stripped
        :param pins: option by slice index
        :param device: auto, cpu or cuda
        :param name: of the segmentation node
        :param perVolume: one network for the whole scan, for models with a query table (MutualNet)
        :return: the nodes (segmentation, table, chart) and the summary that the command line writes
        :raises DynamicSegError: says what failed and what to do; the scene is left as it was
        """
        from DynamicSegLib.scene.session import SceneSession, Settings

        session = SceneSession(volumes, load_bundle(bundle), mask, Settings(device=device, per_volume=perVolume))
        for _progress in session.segment(Budget.parse(budget) if budget else None, pins=pins, name=name):
            pass
        return session.result, session.segmentation.summary()
