"""Checkpoints: written beside and renamed, so that a run stopped at any moment resumes from a whole one."""

from pathlib import Path
from typing import Any

import torch

from DynamicSegLib.errors import TrainingError


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
