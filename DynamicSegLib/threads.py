"""How many CPU threads this process uses: one number for torch, OpenVINO and SimpleITK alike."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from DynamicSegLib.errors import InputError

_T = TypeVar("_T")
_SLAB = 8  # slices

_chosen: int | None = None


def thread_count() -> int:
    """Threads to compute with: what `use_threads` was given, else one for each core this process may use."""
    return _chosen or available_cores()


def available_cores() -> int:
    """Cores this process may run on; fewer than the machine's where a scheduler or container pins it."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def use_threads(count: int) -> None:
    """Compute with `count` threads from now on; call it before anything is compiled or read.

    Raises
    ------
    InputError: fewer than one.
    """
    global _chosen
    if count < 1:
        raise InputError(f"--threads {count}: expected 1 or more.")
    import SimpleITK as sitk

    _chosen = count
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
    if "torch" in sys.modules:
        apply_to_torch()


def apply_to_torch() -> None:
    """Give torch the chosen number; without a choice it keeps its own."""
    if _chosen is not None:
        import torch

        torch.set_num_threads(_chosen)


def on_slabs(work: Callable[[slice], _T], slices: int) -> list[_T]:
    """`work` on some neighbouring slices after the other, in all threads: results in order.

    NumPy lets other threads run while it computes, and no copy is as large as a volume.
    """
    slabs = [slice(first, min(first + _SLAB, slices)) for first in range(0, slices, _SLAB)]
    with ThreadPoolExecutor(thread_count()) as pool:
        return list(pool.map(work, slabs))
