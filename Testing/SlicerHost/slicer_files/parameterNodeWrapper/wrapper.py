"""The class decorator ``parameterNodeWrapper``."""

from __future__ import annotations

import typing
from typing import Any

import qt
import slicer
import vtk

from .connectors import Connector, connector
from .storage import Default, Storage, split, storage

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Parameter:
    """A descriptor that reads and writes one parameter of the wrapped node."""

    def __init__(self, name: str, annotated: Any, owner: type) -> None:
        self.name = name
        self.annotated = annotated
        self.storage: Storage = storage(annotated)
        defaults = [each.value for each in split(annotated)[1] if isinstance(each, Default)]
        own = owner.__dict__.get(name, defaults[0] if defaults else None)
        self.default = self.storage.default() if own is None else own

    def __get__(self, wrapper: Any, owner: type) -> Any:
        if wrapper is None:
            return self
        if not self.storage.holds(wrapper.parameterNode, self.name):
            self.storage.write(wrapper.parameterNode, self.name, self.default)
        return self.storage.read(wrapper.parameterNode, self.name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        self.storage.write(wrapper.parameterNode, self.name, value)


class _Wrapper:
    """What every wrapped class can do; the parameters are added as descriptors."""

    _is_parameter_node_wrapper = True
    allParameters: typing.ClassVar[dict[str, _Parameter]]

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        if prefix:
            raise NotImplementedError("the stand-in of parameterNodeWrapper knows no prefix")
        self.parameterNode = parameterNode
        self._bindings: dict[int, tuple[list[tuple[Connector, Any]], int]] = {}
        self._writing_widgets = False
        for name, parameter in self.allParameters.items():
            if not parameter.storage.holds(parameterNode, name):
                setattr(self, name, parameter.default)

    def default(self, name: str) -> Default:
        return Default(self._known(name).default)

    def dataType(self, name: str) -> Any:
        return self._known(name).annotated

    def getValue(self, name: str) -> Any:
        self._known(name)
        return getattr(self, name)

    def setValue(self, name: str, value: Any) -> None:
        self._known(name)
        setattr(self, name, value)

    def _known(self, name: str) -> _Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}; there are {list(self.allParameters)}")
        return self.allParameters[name]

    def connectGui(self, gui: Any) -> int:
        """Binds every widget with the dynamic property SlicerParameterName; returns a tag for disconnectGui."""
        widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "findChildren") else vars(gui).values()
        named = ((each.property(SlicerParameterNamePropertyName), each) for each in widgets)
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        bound = []
        for name, widget in mapping.items():
            link = connector(widget, self.dataType(name))
            link.write(self.getValue(name))
            changed = self._on_changed(name, link)
            link.connect(changed)
            bound.append((link, changed))
        tag = max(self._bindings, default=-1) + 1
        names = list(mapping)
        links = [link for link, _ in bound]
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._update_widgets(names, links))
        self._bindings[tag] = (bound, observer)
        return tag

    def disconnectGui(self, tag: int) -> None:
        if tag in self._bindings:
            bound, observer = self._bindings.pop(tag)
            self.RemoveObserver(observer)
            for link, changed in bound:
                link.disconnect(changed)

    def _on_changed(self, name: str, link: Connector) -> Any:
        def changed() -> None:
            if not self._writing_widgets:
                with slicer.util.NodeModify(self):
                    self.setValue(name, link.read())

        return changed

    def _update_widgets(self, names: list[str], links: list[Connector]) -> None:
        if self._writing_widgets:
            return
        self._writing_widgets = True
        try:
            for name, link in zip(names, links, strict=True):
                link.write(self.getValue(name))
        finally:
            self._writing_widgets = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> None:
        self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(wrapped: type | None = None) -> Any:
    """Makes a class of annotated names a typed view of a parameter node."""

    def make(described: type) -> type:
        hints = typing.get_type_hints(described, include_extras=True)
        parameters = {name: _Parameter(name, annotated, described) for name, annotated in hints.items()}
        for name, value in _Wrapper.__dict__.items():
            if name in parameters:
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            if not name.startswith("__") or name == "__init__":
                setattr(described, name, value)
        for name, parameter in parameters.items():
            setattr(described, name, parameter)
        described.allParameters = parameters  # type: ignore[attr-defined]
        return described

    return make if wrapped is None else make(wrapped)


def isParameterNodeWrapper(thing: Any) -> bool:
    return bool(getattr(thing, "_is_parameter_node_wrapper", False))
