"""What PythonQt can see of a C++ class: properties, signals, public slots and invokable methods, from its header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_CLASS = re.compile(r"^\s*class\s+(?:\w+\s+)*?(\w+)\s*(?:final\s*)?(?::\s*public\s+([\w:]+)[^{;]*)?\{")
_SECTION = re.compile(r"^\s*(public|protected|private)?\s*(slots|Q_SLOTS|signals|Q_SIGNALS)?\s*:\s*$")
_PROPERTY = re.compile(r"Q_PROPERTY\s*\(\s*[\w:<>*, ]+?[\s*&]+(\w+)\s+(?:READ|MEMBER)\b(.*)")
_METHOD = re.compile(r"([~\w]+)\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_MACROS = ("Q_", "QVTK_", "CTK_", "typedef ")
_ENUM = re.compile(r"^\s*enum(?:\s+class)?\s*(\w*)")


@dataclass
class Member:
    """One name that Python code may use on an object of a class."""

    kind: str
    """``property``, ``signal``, ``slot``, ``invokable`` or ``enum``."""
    path: Path
    line: int
    signature: str = ""
    returns: str = ""


@dataclass
class ClassHeader:
    """A class as PythonQt sees it."""

    name: str
    base: str
    path: Path
    line: int
    members: dict[str, list[Member]] = field(default_factory=dict)

    def add(self, name: str, member: Member) -> None:
        self.members.setdefault(name, []).append(member)


class HeaderIndex:
    """All Qt classes of some source folders, by name."""

    def __init__(self, *folders: Path) -> None:
        self._paths: dict[str, Path] = {}
        self._classes: dict[str, ClassHeader | None] = {}
        for folder in folders:
            for path in sorted(folder.rglob("*.h")):
                if "Testing" not in path.parts:
                    self._paths.setdefault(path.stem, path)

    def find_class(self, name: str) -> ClassHeader | None:
        """Returns the class of a header of the same name, or None."""
        if name not in self._classes:
            path = self._paths.get(name)
            found = {each.name: each for each in read_header(path)} if path is not None else {}
            self._classes[name] = header = found.get(name)
            for member, declared in self._decorated(name) if header is not None else ():
                header.add(member, declared)  # type: ignore[union-attr]
        return self._classes[name]

    def _decorated(self, name: str) -> Iterator[tuple[str, Member]]:
        """Yields what PythonQt decorators add: ``static_<Class>_<name>(...)`` and ``<name>(<Class>*, ...)``."""
        for path in (path for stem, path in self._paths.items() if stem.endswith("PythonQtDecorators")):
            for decorator in read_header(path):
                for slot, members in decorator.members.items():
                    if slot.startswith(f"static_{name}_"):
                        yield slot.removeprefix(f"static_{name}_"), members[0]
                    elif members[0].signature.partition("(")[2].startswith((f"{name}*,", f"{name}*)")):
                        yield slot, members[0]

    def path_of(self, class_name: str) -> Path | None:
        """Returns the header named after a class, whether or not it is a Qt class."""
        return self._paths.get(class_name)

    def find(self, class_name: str, member: str) -> list[Member]:
        """Returns the declarations of a member in a class or the nearest base that has it."""
        header = self.find_class(class_name)
        while header is not None:
            if member in header.members:
                return header.members[member]
            header = self.find_class(header.base)
        return []

    def qt_base(self, class_name: str) -> str:
        """Returns the first base that these folders do not have: a Qt class."""
        header = self.find_class(class_name)
        while header is not None:
            class_name = header.base
            header = self.find_class(class_name)
        return class_name


def read_header(path: Path) -> Iterator[ClassHeader]:
    """Reads the classes of a header."""
    current: ClassHeader | None = None
    section = ""
    for number, text in _statements(path):
        found = _CLASS.match(text)
        if found:
            if current is not None:
                yield current
            current, section = ClassHeader(found[1], (found[2] or "").split("::")[-1], path, number), ""
        elif current is not None:
            head = _SECTION.match(text)
            if head and (head[1] or head[2]):
                section = _section(head[1] or "", head[2] or "")
            else:
                _read_statement(current, section, text, number)
    if current is not None:
        yield current


def _section(access: str, kind: str) -> str:
    if kind in ("signals", "Q_SIGNALS"):
        return "signal"
    return "slot" if kind and access == "public" else ""


def _read_statement(header: ClassHeader, section: str, text: str, number: int) -> None:
    prop = _PROPERTY.search(text)
    if prop:
        header.add(prop[1], Member("property", header.path, number, "writable" if "WRITE" in prop[2] else ""))
        return
    if _ENUM.match(text) and "{" in text:
        for value in re.findall(r"(\w+)\s*(?:=[^,}]*)?(?=[,}])", text.partition("{")[2]):
            header.add(value, Member("enum", header.path, number))
        return
    kind = "invokable" if "Q_INVOKABLE" in text else section
    plain = text.replace("Q_INVOKABLE", "").lstrip()
    method = _METHOD.search(plain)
    if kind and method and method[1] != header.name and not plain.startswith(_MACROS):
        signature = f"{method[1]}({_types(method[2])})"
        words = re.findall(r"\w+", plain[: method.start()])
        header.add(method[1], Member(kind, header.path, number, signature, words[-1] if words else ""))


def _types(parameters: str) -> str:
    """Returns the parameter types as Qt normalises them."""
    types = []
    for parameter in filter(None, (each.strip() for each in parameters.split(","))):
        plain = parameter.partition("=")[0].replace("const ", "").replace("&", " ").strip()
        named = re.match(r"^(.*[\s*])(\w+)$", plain)
        types.append((named[1] if named and named[1].strip() else plain).replace(" ", ""))
    return ",".join(types)


def _statements(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line, text) of each declaration, comments removed, those of several lines joined."""
    text = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), path.read_text(errors="replace"), flags=re.S)
    waiting, start = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        plain = line.partition("//")[0].rstrip()
        if not plain.strip() or plain.lstrip().startswith("#"):
            continue
        start = start if waiting else number
        waiting = f"{waiting} {plain}" if waiting else plain
        if _SECTION.match(waiting) or _ends(waiting):
            yield start, waiting
            waiting = ""


def _ends(text: str) -> bool:
    if text.lstrip().startswith("class "):
        return text.rstrip().endswith(("{", ";")) or "{" in text
    if _ENUM.match(text):
        return "}" in text
    if text.lstrip().startswith(_MACROS) and "Q_INVOKABLE" not in text:
        return text.count("(") == text.count(")")
    return text.rstrip().endswith((";", "{", "}"))
