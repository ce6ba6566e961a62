"""The panel on the test host, with the tiny bundle as its only model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.Module.panel_actions import apply
from Testing.SlicerHost.fixtures import host  # noqa: F401  (a fixture)

MODULE = Path(__file__).resolve().parents[2] / "DynamicSeg" / "DynamicSeg.py"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one tiny bundle."""
    from Testing.tiny import write_tiny_bundle

    folder = tmp_path_factory.mktemp("bundles")
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def v2_bundle(bundles: Path) -> Any:
    """A model that crops slices, among the others."""
    from Testing.tiny_methods import write_tiny_v2_bundle

    return write_tiny_v2_bundle(bundles)


@pytest.fixture(scope="session")
def mutual_bundle(bundles: Path) -> Any:
    """A model with a query table, among the others."""
    from Testing.tiny_methods import write_tiny_mutual_bundle

    return write_tiny_mutual_bundle(bundles)


@pytest.fixture
def on_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that do not depend on the backend: compiling a model's networks takes half a minute."""
    monkeypatch.setattr("DynamicSegLib.backends.openvino_models.is_installed", lambda: False)
    monkeypatch.setattr("DynamicSegLib.backends.choice.openvino_is_installed", lambda: False)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled once for all tests, as on a user's computer."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_home(bundles: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own models and calibrations are neither seen nor touched."""
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DYNAMICSEG_CACHE", str(cache))
    monkeypatch.setenv("DYNAMICSEG_BUNDLES", str(bundles))


@pytest.fixture
def module(host: Any) -> Any:  # noqa: F811
    return host.load_module(MODULE)


@pytest.fixture
def panel(host: Any, module: Any) -> Iterator[Any]:  # noqa: F811
    """A fresh panel with the tiny model chosen, over an empty scene."""
    import slicer

    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)  # the application always has one
    opened = host.open_panel(module)
    opened.inputs.fillBundles("tiny")
    yield opened
    host.close_panel(module)


@pytest.fixture
def load_scan(host: Any) -> Callable[..., dict[str, Any]]:  # noqa: F811
    """Adds the tiny head's volumes to the scene, as loading files would."""

    def load(prefix: str = "Scan", names: tuple[str, ...] = ("flair", "t1ce", "t1", "t2")) -> dict[str, Any]:
        from DynamicSegLib.scene.volumes import volume_node_from_image
        from Testing.tiny import head_images

        images = head_images()
        nodes = {name: volume_node_from_image(images[name], f"{prefix}_{name}") for name in names}
        host.process_events(0.02)
        return nodes

    return load


@pytest.fixture
def segmented(host: Any, panel: Any, load_scan: Callable[..., dict[str, Any]]) -> Any:  # noqa: F811
    """The panel after Apply on the tiny head."""
    load_scan()
    panel.ui.budgetSlider.value = 60
    apply(host, panel)
    assert panel.message.level != "error", panel.ui.messageLabel.text
    return panel
