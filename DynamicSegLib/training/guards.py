"""Failures of the machine turned into messages that say what to change."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from DynamicSegLib.errors import TrainingError


@contextmanager
def clear_memory_errors(batch: int, size: tuple[int, int]) -> Iterator[None]:
    """Inside the block, running out of memory (of the GPU or of the machine) is a TrainingError."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _message(batch, size, error) from error
    except RuntimeError as error:
        # The CPU allocator has no class of its own.
        if "not enough memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        raise _message(batch, size, error) from error


def _message(batch: int, size: tuple[int, int], error: BaseException) -> TrainingError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TrainingError(
        f"A step with batch {batch} and size {size[0]} x {size[1]} does not fit into memory ({reason}): lower batch, "
        "or set data.resident to false. The last checkpoint is whole; the same command goes on from it."
    )
