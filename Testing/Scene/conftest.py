"""Slicer's own scene, started once a test run and emptied for each test. No Qt, no application."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles and calibrations of the tests never meet the user's own."""
    home = tmp_path_factory.mktemp("home")
    os.environ["DYNAMICSEG_HOME"] = str(home)
    return home


@pytest.fixture(scope="session")
def started_scene(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")
    import slicer
    from SlicerHost.scene import start_scene

    if getattr(slicer, "mrmlScene", None) is not None:  # the panel's tests started the whole host in this process
        return slicer.mrmlScene
    started_scene.parts = start_scene(tmp_path_factory.mktemp("slicer"))
    return slicer.mrmlScene


@pytest.fixture
def scene(started_scene: Any) -> Iterator[Any]:
    import slicer

    started_scene.Clear(0)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(started_scene)  # the application always has one
    yield started_scene
    started_scene.Clear(0)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.set_num_threads(1)  # for networks this small, threads only wait for each other
    from tiny import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def volumes(scene: Any) -> dict[str, Any]:
    """The tiny bundle's four volumes as nodes."""
    from tiny import head_images

    from DynamicSegLib.scene.volumes import volume_node_from_image

    return {name: volume_node_from_image(image, f"Scan_{name}") for name, image in head_images().items()}
