"""How many CPU threads this process uses: one number for torch, OpenVINO and SimpleITK alike."""

import os
import sys

from DynamicSegLib.errors import InputError

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
