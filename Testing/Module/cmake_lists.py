"""What the build files list, what lies in the folders, and the way to bring the first in step with the second.

    python -m Testing.Module.cmake_lists        # rewrites the lists of DynamicSegLib/CMakeLists.txt

Slicer packages only listed files: one that is missing there is missing in the installed extension.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE_FILE = ROOT / "DynamicSeg" / "CMakeLists.txt"
LIBRARY_FILE = ROOT / "DynamicSegLib" / "CMakeLists.txt"
# Folders of Resources/ that the installed extension needs.
INSTALLED_RESOURCES = ("Bundles", "SampleData", "Terminology")


def listed(cmake: Path, variable: str) -> list[str]:
    """The files that a `set(variable ...)` lists, module name filled in."""
    found = re.search(rf"set\({variable}\s(.*?)\)", cmake.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise LookupError(f"{cmake} has no set({variable} ...)")
    return [name.replace("${MODULE_NAME}", "DynamicSeg") for name in found.group(1).split()]


def module_files() -> tuple[list[str], list[str]]:
    """Python files and resources of the module, relative to its folder."""
    folder = MODULE_FILE.parent
    return _files(folder, "**/*.py", folder), _files(folder / "Resources", "**/*", folder)


def library_files() -> tuple[list[str], list[str]]:
    """Python files of the library and the resources it needs, relative to the root."""
    scripts = _files(LIBRARY_FILE.parent, "**/*.py", ROOT)
    resources = [name for kind in INSTALLED_RESOURCES for name in _files(ROOT / "Resources" / kind, "**/*", ROOT)]
    return scripts, resources


def _files(folder: Path, pattern: str, base: Path) -> list[str]:
    found = (path for path in folder.glob(pattern) if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path.relative_to(base).as_posix() for path in found if not path.name.startswith("."))


def rewrite_library_lists() -> None:
    """Bring the library's lists in step with what lies in the folders."""
    text = LIBRARY_FILE.read_text(encoding="utf-8")
    for variable, names in zip(("DynamicSegLib_SCRIPTS", "DynamicSegLib_RESOURCES"), library_files(), strict=True):
        lines = "".join(f"  {name}\n" for name in names)
        text = re.sub(rf"set\({variable}\s.*?\)", f"set({variable}\n{lines}  )", text, flags=re.DOTALL)
    LIBRARY_FILE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    rewrite_library_lists()
