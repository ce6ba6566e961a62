"""Our own sample: a made-up head with a tumor, computed in seconds."""

from pathlib import Path

import slicer
from slicer import vtkMRMLScalarVolumeNode

SAMPLE_NAME = "DynamicSegPhantom"
THUMBNAIL = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "DynamicSegPhantom.png"


def registerSampleData() -> None:
    """Adds the phantom to the Sample Data module; it is computed, nothing is downloaded."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="DynamicSeg",
        sampleName=SAMPLE_NAME,
        thumbnailFileName=str(THUMBNAIL),
        uris="",
        fileNames="",
        nodeNames="",
        customDownloader=lambda source: loadSample(),
    )


def loadSample() -> list[vtkMRMLScalarVolumeNode]:
    """Computes the phantom's four volumes and shows the first; returns their nodes."""
    from DynamicSegLib.scene.volumes import volume_node_from_image
    from DynamicSegLib.synthesis.phantom import SAMPLE_SEED, SMALL_SLICES, make_phantom

    phantom = make_phantom(SAMPLE_SEED, SMALL_SLICES)
    nodes = [volume_node_from_image(image, f"Phantom_{name}") for name, image in phantom.images.items()]
    slicer.util.setSliceViewerLayers(background=nodes[0], fit=True)
    return nodes
