"""Checks the names that a module uses against Slicer's wrapping and sources, and writes where each is declared.

``python -m Testing.SlicerHost.check_names --table names.md``, where SLICER_SOURCE and CTK_SOURCE name checkouts.
Classes of MRML and VTK are checked against the wrapping itself; qMRML, ctk and application classes against the
headers, by what PythonQt can see of them; Qt classes against PySide6.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import PySide6

from . import start
from .headers import HeaderIndex
from .lookups import EVERY_OBJECT, declaring_class, qt_has, qt_name, resolve, vtk_class, wrapped_classes
from .names import Use, collect
from .scene import MODULE_LOGICS
from .signals import normalised

REPOSITORY = Path(__file__).resolve().parents[2]
QT = f"Qt (PySide6 {PySide6.__version__})"


@dataclass(frozen=True)
class Verdict:
    """Whether a name exists, and where that is declared."""

    use: Use
    found: bool
    source: str


class Checker:
    """Looks names up; without source folders the names that need them count as unchecked."""

    def __init__(self, slicer_source: Path | None, ctk_source: Path | None) -> None:
        self.slicer_source = slicer_source
        self.has_headers = slicer_source is not None and ctk_source is not None
        folders = [each for each in (slicer_source, ctk_source) if each is not None]
        self.index = HeaderIndex(*folders)
        self.roots = folders

    def returns(self, owner: str, method: str) -> str | None:
        """Tells what a method returns: from the headers, or from VTK's docstring."""
        if owner.startswith("slicer.modules.") and method == "logic":
            logics = {name.lower(): kind for name, kind in MODULE_LOGICS.items()}
            return logics.get(owner.rpartition(".")[2])
        wrapped = vtk_class(owner)
        if wrapped is not None:
            found = re.search(r"-> (vtk\w+)", getattr(wrapped, method, None).__doc__ or "")
            return found[1] if found else None
        members = self.index.find(owner, method)
        kinds = [each.returns for each in members if each.returns.startswith(("q", "Q", "ctk", "vtk"))]
        return kinds[0] if kinds else None

    def check(self, use: Use) -> Verdict | None:
        """Returns the verdict on a use, or None where it cannot be checked here."""
        if use.owner == "?":
            return self._check_unknown(use)
        if vtk_class(use.owner) is not None:
            return self._check_vtk(use)
        if use.owner.startswith(("slicer", "vtk", "qt", "ctk.")) or use.owner in ("qt", "ctk"):
            return self._check_path(use)
        if use.owner.startswith("Q"):
            return Verdict(use, qt_has(use.owner, use), QT)
        return self._in_headers(use)

    def _check_unknown(self, use: Use) -> Verdict | None:
        if use.kind == "connect":
            return None
        owners = [each.__name__ for each in wrapped_classes() if use.member in each.__dict__]
        return Verdict(use, bool(owners), f"{owners[0]} or another" if owners else "no MRML or VTK class has it")

    def _check_vtk(self, use: Use) -> Verdict:
        owner = declaring_class(use.owner, use.member) if use.member else vtk_class(use.owner)
        return Verdict(use, owner is not None, self._vtk_place(owner.__name__ if owner else use.owner, use.member))

    def _vtk_place(self, class_name: str, member: str) -> str:
        header = self.index.path_of(class_name)
        if header is None:
            return f"wrapping of {class_name} in slicer-core or vtk"
        words = {member, member.removeprefix("Get"), member.removeprefix("Set"), re.sub(r"(On|Off)$", "", member)}
        for number, line in enumerate(header.read_text(errors="replace").splitlines(), start=1):
            if not line.strip().startswith(("//", "*")) and any(
                re.search(rf"\b{word}\b", line) for word in words if word
            ):
                return f"{self._relative(header)}:{number}"
        return self._relative(header)

    def _check_path(self, use: Use) -> Verdict | None:
        if use.owner == "slicer.modules":
            return self._check_module(use)
        if use.owner.startswith("slicer.modules."):
            return self._in_headers(Use("qSlicerScriptedLoadableModule", use.member, use.place, use.kind))
        if use.owner == "slicer" and use.member in ("app", "modules", "mrmlScene", "moduleNames"):
            return Verdict(use, True, "Base/Python/slicer/__init__.py")
        if use.owner in ("slicer", "ctk") and use.member.startswith(("qMRML", "qSlicer", "ctk")):
            return self._in_headers(Use(use.member, "", use.place))
        if use.owner == "qt":
            return Verdict(use, use.member == "QUiLoader" or qt_name(use.member) is not None, QT)
        owner = resolve(use.owner)
        found = owner is not None and (hasattr(owner, use.member) or resolve(f"{use.owner}.{use.member}") is not None)
        return Verdict(use, found, QT if use.owner.startswith("qt.") else self._python_place(use))

    def _in_headers(self, use: Use) -> Verdict | None:
        return self._check_header(use) if self.has_headers else None

    def _check_module(self, use: Use) -> Verdict | None:
        if self.slicer_source is None:
            return None
        folders = [*(self.slicer_source / "Modules").glob("*/*"), *REPOSITORY.glob("DynamicSeg")]
        found = next((each for each in folders if each.name.lower() == use.member.lower()), None)
        own = use.member.startswith("DynamicSeg")
        place = self._relative(found) if found is not None else "made by loadModule"
        return Verdict(use, found is not None or own, place)

    def _python_place(self, use: Use) -> str:
        if self.slicer_source is not None and use.owner.startswith("slicer."):
            base = self.slicer_source / "Base" / "Python" / Path(*use.owner.split("."))
            for path in (base.with_suffix(".py"), *sorted(base.glob("*.py"))):
                lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
                for number, line in enumerate(lines, start=1):
                    if re.match(rf"(def|class) {use.member}\b|{use.member}\s*=", line.strip()):
                        return f"{self._relative(path)}:{number}"
        return f"{use.owner} of slicer-core and vtk"

    def _check_header(self, use: Use) -> Verdict:
        header = self.index.find_class(use.owner)
        if header is None:
            return Verdict(use, False, "no header of this class")
        if not use.member:
            return Verdict(use, True, f"{self._relative(header.path)}:{header.line}")
        name = use.member.partition("(")[0]
        members = self.index.find(use.owner, name)
        if use.kind == "connect":
            members = [each for each in members if each.kind == "signal" and each.signature == normalised(use.member)]
        if members:
            return Verdict(use, True, f"{self._relative(members[0].path)}:{members[0].line}")
        base = self.index.qt_base(use.owner)
        return Verdict(
            use, name in EVERY_OBJECT or qt_has(base, use), f"{base} of Qt, by {self._relative(header.path)}"
        )

    def _relative(self, path: Path) -> str:
        for root in [*self.roots, REPOSITORY]:
            if path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return path.as_posix()


def check_repository() -> tuple[list[Verdict], list[Use]]:
    """Returns the verdicts on all names of the module and the scene layer, and the names left unchecked."""
    sources = {
        name: Path(os.environ[name]) if os.environ.get(name) else None for name in ("SLICER_SOURCE", "CTK_SOURCE")
    }
    checker = Checker(sources["SLICER_SOURCE"], sources["CTK_SOURCE"])
    files = [*(REPOSITORY / "DynamicSeg").rglob("*.py"), *(REPOSITORY / "DynamicSegLib" / "scene").rglob("*.py")]
    panels = (REPOSITORY / "DynamicSeg").rglob("*.ui")
    verdicts, unchecked = [], []
    for use in collect(sorted(files), sorted(panels), checker.returns):
        verdict = checker.check(use)
        if verdict is None:
            unchecked.append(use)
        else:
            verdicts.append(verdict)
    return verdicts, unchecked


def table(verdicts: list[Verdict]) -> str:
    """Returns a Markdown table: name, where it is declared, where it is used."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for each in verdicts:
        rows.setdefault((each.use.owner, each.use.member, each.source), []).append(each.use.place)
    lines = ["| class or module | name | declared | used |", "|---|---|---|---|"]
    for (owner, member, source), places in sorted(rows.items()):
        lines.append(f"| {owner} | `{member or owner}` | {source} | {', '.join(sorted(set(places))[:3])} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Prints the names that do not exist; 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, help="write name, declaration and use as Markdown")
    options = parser.parse_args(arguments)
    start()
    verdicts, unchecked = check_repository()
    wrong = [each for each in verdicts if not each.found]
    for each in wrong:
        print(f"{each.use.place}: {each.use.owner}.{each.use.member} does not exist ({each.source})")
    print(f"{len(verdicts)} uses checked, {len(wrong)} wrong, {len(unchecked)} not checked (SLICER_SOURCE, CTK_SOURCE)")
    if options.table:
        options.table.write_text(table(verdicts), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
