"""How a typed value is kept in a vtkMRMLScriptedModuleNode."""

from __future__ import annotations

import enum
import json
import pathlib
import types
import typing
from dataclasses import dataclass
from typing import Any

import slicer

from .validators import Validator


@dataclass
class Default:
    """The annotation that gives a first value."""

    value: Any


def split(annotated: Any) -> tuple[Any, list[Any]]:
    """Returns the type and its annotations."""
    if typing.get_origin(annotated) is typing.Annotated:
        return typing.get_args(annotated)[0], list(typing.get_args(annotated)[1:])
    return annotated, []


def members(kind: Any) -> list[Any]:
    """Returns the types of a union without None, or the type itself."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [each for each in typing.get_args(kind) if each is not type(None)]
    return [kind]


def is_node(kind: Any) -> bool:
    """Tells whether a type is a MRML node class, or a union of such."""
    return all(isinstance(each, type) and issubclass(each, slicer.vtkMRMLNode) for each in members(kind))


def storage(annotated: Any) -> Storage:
    """Returns what keeps values of a type; raises TypeError for one that this stand-in does not know."""
    kind, annotations = split(annotated)
    validators = [each for each in annotations if isinstance(each, Validator)]
    if is_node(kind):
        return NodeStorage(kind, validators)
    if kind in (int, float, bool, str) or (isinstance(kind, type) and issubclass(kind, enum.Enum | pathlib.PurePath)):
        return Storage(kind, validators)
    if (typing.get_origin(kind) or kind) in (list, dict):
        return JsonStorage(kind, validators)
    raise TypeError(
        f"the stand-in of parameterNodeWrapper cannot keep {kind}: use a plain type, or set SLICER_PYTHON_SOURCE"
    )


class Storage:
    """Keeps numbers, booleans, texts, paths and enums as texts, in the same form as Slicer does."""

    def __init__(self, kind: Any, validators: list[Validator]) -> None:
        self.kind = kind
        self.validators = validators

    def default(self) -> Any:
        return next(iter(self.kind)) if issubclass(self.kind, enum.Enum) else self.kind()

    def holds(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        allowed = (int, float) if self.kind is float else self.kind
        if not isinstance(value, allowed):
            raise TypeError(f"Value must be of type '{self.kind}', is type '{type(value)}' value '{value}'")
        for validator in self.validators:
            validator.validate(value)
        node.SetParameter(name, value.name if isinstance(value, enum.Enum) else str(value))

    def read(self, node: Any, name: str) -> Any:
        text = node.GetParameter(name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)


class JsonStorage(Storage):
    """Keeps lists and dicts as one JSON text (Slicer keeps one parameter an element)."""

    def default(self) -> Any:
        return (typing.get_origin(self.kind) or self.kind)()

    def write(self, node: Any, name: str, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)
        node.SetParameter(name, json.dumps(value))

    def read(self, node: Any, name: str) -> Any:
        value = json.loads(node.GetParameter(name))
        key = (typing.get_args(self.kind) or (str,))[0]
        return {key(each): entry for each, entry in value.items()} if isinstance(value, dict) else value


class NodeStorage(Storage):
    """Keeps a node as a node reference, so that it survives saving and is cleared with its node."""

    def default(self) -> Any:
        return None

    def holds(self, node: Any, name: str) -> bool:
        return node.GetNodeReference(name) is not None

    def write(self, node: Any, name: str, value: Any) -> None:
        fits: bool = value is None or isinstance(value, tuple(members(self.kind)))
        if not fits:
            raise TypeError(f"Value must be of type '{self.kind}', is type '{type(value)}'")
        for validator in self.validators:
            validator.validate(value)
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)
