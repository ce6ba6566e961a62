"""Packages that are missing: asked for once, explained where that fails."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from DynamicSegLib.errors import BackendError


@pytest.fixture
def dependencies(host: Any, module: Any) -> Any:
    from DynamicSegPanel import Dependencies

    return Dependencies


@pytest.fixture
def requirements(module: Any) -> str:
    return str(Path(module.path).parent / "Resources" / "requirements.txt")


def test_nothing_is_asked_where_everything_is_there(dependencies: Any, requirements: str) -> None:
    dependencies.ensureDependencies(requirements)


@pytest.mark.parametrize(
    ("requirement", "there"),
    [("numpy>=1.0", True), ("numpy>=99", False), ("no-such-package>=1", False), ("torch>=2.4", True)],
)
def test_a_package_counts_from_its_version_on(dependencies: Any, requirement: str, there: bool) -> None:
    assert dependencies._installed(requirement) is there


def test_a_failed_installation_keeps_its_reason_and_names_the_offline_way(
    dependencies: Any, requirements: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(missing: list[str]) -> None:
        raise OSError("the package index cannot be reached")

    monkeypatch.setattr(dependencies, "_ensure", unreachable)
    with pytest.raises(BackendError, match=r"cannot be reached.*--no-index"):
        dependencies.ensureDependencies(requirements)


def test_a_declined_installation_says_how_to_go_on(
    dependencies: Any, requirements: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "_installed", lambda requirement: not requirement.startswith("torch"))
    monkeypatch.setattr(dependencies, "_ensureTorch", lambda: None)
    with pytest.raises(BackendError, match="nothing is installed in testing mode"):
        dependencies.ensureDependencies(requirements)
    application = SimpleNamespace(testingEnabled=lambda: False)
    monkeypatch.setattr(dependencies, "slicer", SimpleNamespace(app=application))
    with pytest.raises(BackendError, match="Press Apply again and agree"):
        dependencies.ensureDependencies(requirements)


def test_torch_comes_through_the_pytorch_extension_where_it_is_there(
    dependencies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    from types import ModuleType

    asked: list[bool] = []

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation: bool) -> None:
            asked.append(askConfirmation)

    extension = ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    dependencies._ensureTorch()
    assert asked == [True]
