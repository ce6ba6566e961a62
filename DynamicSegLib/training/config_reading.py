"""YAML in, the dataclasses of `config` out; a key or value that does not fit is a clear error."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.config import NOT_IN_FILES

T = TypeVar("T")


def read_config(path: Path, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """Read a YAML file as the dataclass `kind`; each override is `key=value`, e.g. `data.cache=/data/cache`.

    Raises
    ------
    TrainingError: the file is absent or not YAML, or a key or value does not fit.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(
            f"The configuration {path} cannot be read as YAML in UTF-8: {_in_a_line(error)}."
        ) from error
    if not isinstance(content, dict):
        raise TrainingError(f"The configuration {path} holds {type(content).__name__}, where key: value pairs belong.")
    for override in overrides:
        _replace(content, override)
    return from_mapping(kind, content, str(path))


def _replace(content: dict[str, Any], override: str) -> None:
    import yaml

    key, separator, value = override.partition("=")
    *outer, last = key.split(".")
    for name in outer:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise TrainingError(f"--set {override}: {name!r} holds no further keys.")
    if not separator or not last:
        raise TrainingError(f"--set {override}: expected KEY=VALUE, e.g. data.cache=/data/cache.")
    try:
        content[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise TrainingError(f"--set {override}: the value is not YAML ({_in_a_line(error)}).") from error


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def from_mapping(kind: type[T], values: Mapping[str, object], where: str) -> T:
    """Build the dataclass `kind` (nested ones too) from plain values; TrainingError names the key that does not fit."""
    known = {f.name: f for f in fields(kind) if f.metadata != NOT_IN_FILES}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TrainingError(f"{where}: unknown key {unknown[0]!r}; expected one of {', '.join(known)}.")
    missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in values]
    if missing:
        raise TrainingError(f"{where}: {missing[0]!r} is missing.")
    hints = get_type_hints(kind)
    converted = {name: _convert(hints[name], value, f"{where}: {name}") for name, value in values.items()}
    try:
        return kind(**converted)
    except TrainingError as error:
        raise TrainingError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(h for h in get_args(hint) if h is not type(None))
    if is_dataclass(hint):
        return from_mapping(hint, _expected(dict, value, where), where)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        items = _expected(list, value, where)
        kinds = get_args(hint)
        kinds = (kinds[0],) * len(items) if kinds[1:] == (...,) else kinds
        if len(kinds) != len(items):
            raise TrainingError(f"{where}: {len(items)} values, where {len(kinds)} were expected.")
        return tuple(
            _convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, items, strict=True))
        )
    if get_origin(hint) is list:
        return [
            _convert(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(_expected(list, value, where))
        ]
    if get_origin(hint) is dict:
        key_hint, hint = get_args(hint)
        pairs = _expected(dict, value, where).items()
        return {_convert(key_hint, key, where): _convert(hint, item, f"{where}.{key}") for key, item in pairs}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint, value, where)
    if hint is Path:
        return Path(_expected(str, value, where)).expanduser()
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        return _number(value, where)
    return value if hint is Any else _expected(hint, value, where)


def _member(kind: type[Enum], value: object, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        expected = ", ".join(str(member.value) for member in kind)
        raise TrainingError(f"{where}: {value!r}, where one of {expected} was expected.") from None


def _number(value: int | str, where: str) -> float:
    # YAML 1.1 reads 1e-4 as text.
    try:
        return float(value)
    except ValueError:
        raise TrainingError(f"{where}: {value!r}, where a number was expected.") from None


def _expected(kind: type[T], value: object, where: str) -> T:
    if isinstance(value, tuple) and kind is list:
        value = list(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TrainingError(f"{where}: {value!r}, where {kind.__name__} was expected.")
    return value
