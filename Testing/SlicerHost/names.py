"""Collects every Slicer, qMRML, ctk, Qt and VTK name that Python files use, with the class it is used on.

Types are followed as far as the text tells them: modules, constructors, the .ui file behind ``self.ui``, annotations,
assignments, and what Slicer's headers and VTK's wrapping say that a method returns. A method of an object whose type
stays unknown is recorded with the owner ``?``.
"""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MODULES = ("slicer", "qt", "ctk", "vtk")
OBJECTS = {
    "slicer.app": "qSlicerApplication",
    "slicer.mrmlScene": "vtkMRMLScene",
    "slicer.modules": "slicer.modules",
}
Returns = Callable[[str, str], str | None]
"""Tells the class that a method of a class returns, or None."""


@dataclass(frozen=True)
class Use:
    """One name, used somewhere."""

    owner: str
    """A class (``vtkMRMLScene``), a module path (``slicer.util``), or ``?``."""
    member: str
    place: str
    """``file:line``."""
    kind: str = "get"
    """``get``, ``set``, ``call``, ``connect`` (then member is a signal's signature) or ``ui``."""


@dataclass(frozen=True)
class UiFile:
    """The widgets of a .ui file."""

    path: Path
    classes: dict[str, str]
    uses: list[Use]


def read_ui(path: Path) -> UiFile:
    """Reads the widgets, their properties and their connections."""
    root = ElementTree.parse(path).getroot()
    classes = {each.get("name", ""): each.get("class", "") for each in root.iter("widget")}
    uses = []
    for widget in root.iter("widget"):
        owner = widget.get("class", "")
        uses.append(Use(owner, "", path.name, "ui"))
        properties = [each for each in widget.findall("property") if each.get("stdset") != "0"]
        uses += [Use(owner, each.get("name", ""), path.name, "set") for each in properties]
    for each in root.iter("connection"):
        sender, receiver = (classes.get(each.findtext(end) or "", "?") for end in ("sender", "receiver"))
        uses.append(Use(sender, each.findtext("signal") or "", path.name, "connect"))
        uses.append(Use(receiver, (each.findtext("slot") or "").partition("(")[0], path.name, "call"))
    return UiFile(path, classes, uses)


def collect(sources: Iterable[Path], ui_files: Iterable[Path], returns: Returns) -> list[Use]:
    """Returns the uses in Python files and .ui files."""
    panels = [read_ui(path) for path in ui_files]
    widgets = {name: kind for panel in panels for name, kind in panel.classes.items()}
    found = {use for panel in panels for use in panel.uses}
    for source in sources:
        reader = _Reader(source.name, widgets, returns)
        tree = ast.parse(source.read_text(encoding="utf-8"))
        reader.learn_attributes(tree)
        reader.visit(tree)
        found |= reader.uses
    return sorted(found, key=lambda use: (use.owner, use.member, use.place))


class _Reader(ast.NodeVisitor):
    """Walks one file."""

    def __init__(self, file: str, widgets: dict[str, str], returns: Returns) -> None:
        self.file = file
        self.widgets = widgets
        self.returns = returns
        self.uses: set[Use] = set()
        self.modules: dict[str, str] = {}
        self.foreign: set[str] = set()
        self.called: set[int] = set()
        self.scopes: list[dict[str, str]] = [{}]
        self.attributes: dict[str, str] = {}

    def learn_attributes(self, tree: ast.AST) -> None:
        """Notes the types of ``self.x = ...`` before the methods that use them are read."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._note_import(node)
        for node in ast.walk(tree):
            for target, value in _assignments(node):
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    kind = self.type_of(value) if target.value.id == "self" else None
                    if kind:
                        self.attributes[target.attr] = kind

    def _note_import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for each in node.names:
                if each.name.partition(".")[0] in MODULES:
                    self.modules[each.asname or each.name.partition(".")[0]] = (
                        each.name if each.asname else each.name.partition(".")[0]
                    )
        elif node.module and not node.level and node.module.partition(".")[0] in MODULES:
            for each in node.names:
                self.modules[each.asname or each.name] = f"{node.module}.{each.name}"
                self._record(node.module, each.name, node)
        if not {each.asname or each.name for each in node.names} & self.modules.keys():
            self.foreign |= {(each.asname or each.name).partition(".")[0] for each in node.names}

    def path_of(self, node: ast.AST) -> str | None:
        """Returns ``slicer.util.getNode`` of an expression that is such a path."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self.path_of(node.value)
            return f"{base}.{node.attr}" if base else None
        return None

    def type_of(self, node: ast.AST | None) -> str | None:
        """Returns the class of an expression's value where the text tells it."""
        if isinstance(node, ast.Name):
            return next((scope[node.id] for scope in reversed(self.scopes) if node.id in scope), None)
        if isinstance(node, ast.Attribute):
            return self._type_of_attribute(node)
        if isinstance(node, ast.Call):
            return self._type_of_call(node)
        if isinstance(node, ast.IfExp | ast.BoolOp):
            options = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
            return next(filter(None, map(self.type_of, options)), None)
        return None

    def _type_of_attribute(self, node: ast.Attribute) -> str | None:
        path = self.path_of(node)
        if path in OBJECTS:
            return OBJECTS[path]
        if path and path.startswith("slicer.modules."):
            return path if path.count(".") == 2 else None
        panel = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        if panel == "ui" and node.attr in self.widgets:
            return self.widgets[node.attr]
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return self.attributes.get(node.attr)
        return None

    def _type_of_call(self, node: ast.Call) -> str | None:
        path = self.path_of(node.func)
        if path and path.partition(".")[0] in MODULES and _is_class(path.rpartition(".")[2]):
            return path.rpartition(".")[2]
        if isinstance(node.func, ast.Attribute):
            first = node.args[0] if node.args else None
            named = isinstance(first, ast.Constant) and isinstance(first.value, str)
            if named and node.func.attr in (
                "AddNewNodeByClass",
                "CreateNodeByClass",
                "GetFirstNodeByClass",
                "findChild",
            ):
                return str(first.value)  # type: ignore[union-attr]
            owner = self.type_of(node.func.value) or self._class_of(node.func.value)
            return self.returns(owner, node.func.attr) if owner else None
        return None

    def _class_of(self, node: ast.AST) -> str | None:
        path = self.path_of(node)
        name = path.rpartition(".")[2] if path else ""
        return name if _is_class(name) else None

    def _record(self, owner: str, member: str, node: ast.AST, kind: str = "get") -> None:
        self.uses.add(Use(owner, member, f"{self.file}:{getattr(node, 'lineno', 0)}", kind))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        kind = "set" if isinstance(node.ctx, ast.Store) else "get"
        owner = self.type_of(node.value) or self._class_of(node.value) or self.path_of(node.value)
        if owner:
            self._record(owner, node.attr, node, kind)
        elif id(node) in self.called and node.attr[:1].isupper() and _root(node) not in self.foreign:
            self._record("?", node.attr, node, kind)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self.called.add(id(node.func))
            first = node.args[0] if node.args else None
            text = first.value if isinstance(first, ast.Constant) else None
            if node.func.attr in ("connect", "disconnect") and isinstance(text, str) and "(" in text:
                self._record(self.type_of(node.func.value) or "?", text, node, "connect")
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        scope = {}
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            kind = self._annotated(argument.annotation)
            if kind:
                scope[argument.arg] = kind
        self.scopes.append(scope)
        self.generic_visit(node)
        self.scopes.pop()

    def _annotated(self, annotation: ast.AST | None) -> str | None:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        for node in ast.walk(annotation) if annotation is not None else ():
            found = self._class_of(node)
            if found:
                return found
        return None

    def generic_visit(self, node: ast.AST) -> None:
        for target, value in _assignments(node):
            kind = self.type_of(value)
            if isinstance(target, ast.Name) and kind:
                self.scopes[-1][target.id] = kind
        super().generic_visit(node)


def _assignments(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
        yield node.target, node.value


def _root(node: ast.AST) -> str:
    """Returns the name that an expression such as ``sitk.Image(x).GetSize`` begins with."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_class(name: str) -> bool:
    return re.match(r"(vtk|qMRML|qSlicer|ctk|Q)[A-Z]", name) is not None
