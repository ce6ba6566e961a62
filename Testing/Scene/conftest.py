"""Slicer's own scene, emptied for each test; the tiny bundle and its volumes as nodes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def started_scene(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")
    from Testing.SlicerHost import missing, start

    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    return start().scene


@pytest.fixture
def scene(started_scene: Any) -> Iterator[Any]:
    import slicer

    started_scene.Clear(0)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(started_scene)  # the application always has one
    yield started_scene
    started_scene.Clear(0)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from Testing.tiny import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles and calibrations of the tests never meet the user's own."""
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))


@pytest.fixture
def volumes(scene: Any) -> dict[str, Any]:
    """The tiny bundle's four volumes as nodes."""
    from DynamicSegLib.scene.volumes import volume_node_from_image
    from Testing.tiny import head_images

    return {name: volume_node_from_image(image, f"Scan_{name}") for name, image in head_images().items()}
