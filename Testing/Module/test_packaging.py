"""What Slicer would package: the build files' lists, and an install tree made from nothing else."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.Module.cmake_lists import LIBRARY_FILE, MODULE_FILE, ROOT, library_files, listed, module_files

OUT_OF_STEP = "run `python -m Testing.Module.cmake_lists`"


def test_every_file_of_the_library_and_every_resource_is_listed() -> None:
    scripts, resources = library_files()
    assert listed(LIBRARY_FILE, "DynamicSegLib_SCRIPTS") == scripts, OUT_OF_STEP
    assert listed(LIBRARY_FILE, "DynamicSegLib_RESOURCES") == resources, OUT_OF_STEP


def test_every_file_of_the_module_is_listed() -> None:
    scripts, resources = module_files()
    assert sorted(listed(MODULE_FILE, "MODULE_PYTHON_SCRIPTS")) == scripts
    assert sorted(listed(MODULE_FILE, "MODULE_PYTHON_RESOURCES")) == resources


def test_the_library_is_found_also_where_the_extension_is_built_into_slicer() -> None:
    text = LIBRARY_FILE.read_text(encoding="utf-8")
    assert "SOURCE_DIR ${DynamicSeg_SOURCE_DIR}" in text
    assert "${CMAKE_SOURCE_DIR}" not in text


def test_a_file_that_is_not_listed_is_noticed(tmp_path: Path) -> None:
    text = LIBRARY_FILE.read_text(encoding="utf-8")
    shortened = tmp_path / "CMakeLists.txt"
    shortened.write_text(text.replace("  DynamicSegLib/engine.py\n", ""), encoding="utf-8")
    before, after = (set(listed(path, "DynamicSegLib_SCRIPTS")) for path in (LIBRARY_FILE, shortened))
    assert before - after == {"DynamicSegLib/engine.py"}
    assert "DynamicSegLib/engine.py" in set(library_files()[0]) - after


def install_tree(folder: Path) -> Path:
    """What `make install` leaves in Slicer's folder of scripted modules, from the lists alone."""
    for base, cmake, variables in (
        (MODULE_FILE.parent, MODULE_FILE, ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")),
        (ROOT, LIBRARY_FILE, ("DynamicSegLib_SCRIPTS", "DynamicSegLib_RESOURCES")),
    ):
        for name in (name for variable in variables for name in listed(cmake, variable)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(base / name, folder / name)
    return folder


IMPORT_FROM_TREE = """
import sys
sys.path.insert(0, {root!r})
from Testing.SlicerHost import missing, start
if missing():
    print("SKIP", missing()); raise SystemExit
sys.path.remove({root!r})
host = start()
module = host.load_module({tree!r} + "/DynamicSeg.py")
panel = host.open_panel(module)
import DynamicSegLib, DynamicSegPanel
from DynamicSegLib.resources import shipped_folder
assert DynamicSegLib.__file__.startswith({tree!r}), DynamicSegLib.__file__
assert DynamicSegPanel.__file__.startswith({tree!r}), DynamicSegPanel.__file__
assert str(shipped_folder("Terminology")).startswith({tree!r})
assert "torch" not in sys.modules, "torch was imported before it was needed"
assert not host.take_errors()
print("OPENED", panel.ui.applyButton.text)
"""


def test_the_module_opens_from_its_install_tree_alone_and_without_torch(tmp_path: Path) -> None:
    tree = install_tree(tmp_path / "qt-scripted-modules")
    script = IMPORT_FROM_TREE.format(root=str(ROOT), tree=str(tree))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    if done.stdout.startswith("SKIP"):
        pytest.skip(done.stdout[5:])
    assert done.stdout.strip().splitlines()[-1:] == ["OPENED Apply"], done.stdout + done.stderr


def test_the_extension_is_named_after_its_project_and_described_in_two_sentences() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(DynamicSeg)" in text
    fields = dict(re.findall(r'set\(EXTENSION_(\w+) "(.*?)"\)', text))
    assert {"HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS", "CATEGORY"} <= set(
        fields
    )
    assert fields["CATEGORY"] == "Segmentation"
    assert fields["DESCRIPTION"].count(". ") == 1


def test_the_icon_is_as_large_as_the_catalogue_asks() -> None:
    data = (MODULE_FILE.parent / "Resources" / "Icons" / "DynamicSeg.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(data[place : place + 4], "big") for place in (16, 20)] == [128, 128]


def test_nothing_heavy_is_imported_at_file_scope_of_the_module() -> None:
    allowed = {"slicer", "qt", "vtk", "ctk", "numpy", "SimpleITK", "DynamicSegLib", "DynamicSegPanel"}
    for path in MODULE_FILE.parent.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.match(r"(?:from|import) (\w+)", line)
            if found and found.group(1) not in sys.stdlib_module_names:
                assert found.group(1) in allowed, f"{path.name}: {line}"
