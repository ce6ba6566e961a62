"""Checkpoints: written beside and renamed, so that a run stopped at any moment resumes from a whole one."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.errors import TrainingError

# None of these changes a result: folders are carried to other machines, and a finished run may export something else.
_PLACES = ("output", "overlaps", "data.cache", "data.cases", "data.folds", "data.extra", "data.resident")
_HABITS = ("checkpoint_every", "log_every", "compiled")
_EXPORT = ("keep", "fix_bits", "recalibration_slices")
_WITHOUT_EFFECT = frozenset({*_PLACES, *_HABITS, *_EXPORT, "started_from"})


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (state dicts and plain values) to `path`, whole or not at all.

    Raises
    ------
    TrainingError: the disk is full or cannot be written; the previous checkpoint is left as it was.
    """
    beside = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, beside)
        beside.replace(path)
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        raise TrainingError(
            f"The checkpoint {path} could not be written ({error}); the previous one is untouched. Free some space and "
            "start the same command again: it resumes."
        ) from error


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The content of `path`, or None where there is no checkpoint yet. Tensors and plain values only, never code."""
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise TrainingError(f"The checkpoint {path} is damaged ({error}): remove it to begin anew.") from error
    return content


def plain_values(config: Any, prefix: str = "") -> dict[str, Any]:
    """What of a configuration decides a run's result, by dotted key (`optimiser.learning_rate`), as JSON has values."""
    found: dict[str, Any] = {}
    for name, value in ((prefix + each.name, getattr(config, each.name)) for each in fields(config)):
        if is_dataclass(value):
            found |= plain_values(value, f"{name}.")
        elif name not in _WITHOUT_EFFECT:
            found[name] = json.loads(json.dumps(value, default=_plain))
    return found


def _plain(value: Any) -> Any:
    return value.as_posix() if isinstance(value, Path) else asdict(value)


def require_same_run(folder: Path, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """TrainingError where the checkpoint in `folder` is of a run with other values.

    kept, wanted: from `plain_values`; keys that only one of them has do not count.
    """
    changed = [name for name, value in wanted.items() if name in kept and kept[name] != value]
    if changed:
        first = changed[0]
        raise TrainingError(
            f"The checkpoint in {folder} is of another run: {', '.join(changed)} changed ({first} was "
            f"{_short(kept[first])} and is {_short(wanted[first])} now). Give "
            "the same again, name another output folder, or remove the checkpoint to begin anew."
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def bundle_mark(name: str) -> str:
    """The bundle's name and a checksum of its weights, by which a run knows what it was started from."""
    bundle = load_bundle(name)
    assert bundle.folder is not None
    digest = hashlib.sha256()
    for path in sorted(bundle.folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return f"{bundle.name} {digest.hexdigest()[:16]}"
