"""Which backend, device and precision run a study, and why."""

import ctypes
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.fallback import FallbackBackend
from DynamicSegLib.backends.openvino_backend import OpenvinoBackend
from DynamicSegLib.backends.openvino_models import is_installed as openvino_is_installed
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.errors import BackendError

BACKENDS = ("auto", "openvino", "torch")
LARGEST_LOSS = 0.002
"""A lower precision is chosen by itself only where it loses no more than this of float32's Dice on labelled cases."""
SMALLEST_AGREEMENT = 0.998
"""Where nobody measured that loss: only where its labels reach this Dice against float32's, on this machine."""
SANE_AGREEMENT = 0.95
"""Where the loss is known to be small: labels that agree less say that this machine computes something else."""

DiceOf = Callable[[Backend, Backend, str], float | None]
"""Dice of a lower precision against float32 (exact backend, lower backend, machine): `agreement.Agreement.dice`."""


def choose_backend(
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    dice_of: DiceOf | None = None,
    dice_lost: Mapping[str, float] | None = None,
) -> Backend:
    """A backend by name, or the best one for this machine: CUDA where there is any, else OpenVINO, else torch.

    `auto` runs a network that OpenVINO cannot run with torch; where OpenVINO was asked for by name that is an error.

    Parameters
    ----------
    backend: `auto`, `openvino` or `torch`.
    device: `auto`, `cpu`, `cuda` or `cuda:N`.
    precision: `auto`, or one that the backend knows. `auto` is bf16 where the device (CPU with OpenVINO, GPU) computes
        it natively, int8 on other CPUs where the bundle has such models; float32 where they lose more than
        `LARGEST_LOSS`, or their labels agree too little with float32's. `int8` runs on OpenVINO only.
    dice_of: measures the agreement of two precisions; without it `auto` stays with float32.
    dice_lost: by precision, Dice that the networks lose on labelled cases (`Bundle.dice_lost`); int8 needs to be there.

    Raises
    ------
    BackendError: a package is not installed, a name is unknown, or the machine lacks what was asked for.
    """
    if find_spec("torch") is None:
        raise BackendError("torch is not installed: `pip install torch`, or let the Slicer module install it.")
    if backend not in BACKENDS:
        raise BackendError(f"Backend {backend!r} is unknown: expected one of {', '.join(BACKENDS)}.")
    if device not in ("auto", "cpu") and device.split(":")[0] != "cuda":
        raise BackendError(f"Device {device!r} is unknown: expected auto, cpu, cuda or cuda:N.")
    check = _Check(dice_of, dice_lost or {})
    if backend == "openvino" or (backend == "auto" and precision == "int8"):
        if device not in ("auto", "cpu"):
            instead = "choose precision fp32 or bf16" if precision == "int8" else "pass --backend torch"
            raise BackendError(f"OpenVINO runs on the CPU here, not on {device!r}: {instead}.")
        return _openvino(OpenvinoBackend, precision, "asked for", check)
    found = _cuda_device() if device == "auto" else None
    if found is not None:
        return _torch("cuda", precision, f"found {found}", check)
    reason = "no CUDA device was found" if device == "auto" else "asked for"
    if backend == "torch" or device not in ("auto", "cpu"):
        return _torch("cpu" if device == "auto" else device, precision, reason, check)
    missing = _why_no_openvino()
    if missing:
        return _torch("cpu", precision, f"{missing}; {reason}" if device == "auto" else missing, check)
    reason = f"the fastest installed for a CPU; {reason}"
    return _openvino(_openvino_or_torch, precision, reason, check)


_Make = Callable[[str, str], Backend]
"""A backend from a precision and the reason why it was chosen."""


@dataclass(frozen=True)
class _Check:
    """Whether a lower precision may be used: see `choose_backend`."""

    dice_of: DiceOf | None
    dice_lost: Mapping[str, float]

    def lower(self, precision: str, make: _Make, reason: str, machine: str, device: str) -> Backend:
        """`precision`, native to `device`, where little is lost and its labels agree with float32's; else float32."""
        lost = self.dice_lost.get(precision)
        if lost is not None and lost > LARGEST_LOSS:
            return make("fp32", f"{reason}; fp32, as {precision} loses {lost:.4f} Dice, more than {LARGEST_LOSS}")
        if self.dice_of is None:
            return make("fp32", f"{reason}; fp32, as nothing was given to check {precision} on")
        dice = self.dice_of(make("fp32", ""), make(precision, ""), machine)
        if dice is None:
            return make("fp32", f"{reason}; fp32, as no structure was found on which {precision} could be checked")
        bound = SMALLEST_AGREEMENT if lost is None else SANE_AGREEMENT
        if dice < bound:
            return make("fp32", f"{reason}; fp32, as {precision}'s Dice against it is {dice:.4f}, below {bound}")
        why = f"native to {device}, with a Dice of {dice:.4f} against fp32"
        known = "" if lost is None else f"; on labelled cases it loses {max(lost, 0.0):.4f} Dice"
        return make(precision, f"{reason}; {precision}, {why}{known}")


def _why_no_openvino() -> str:
    """Why OpenVINO cannot be used here; empty where it can."""
    if not openvino_is_installed():
        return f"openvino, several times faster, is not installed ({openvino_models.INSTALL})"
    try:
        openvino_models.core()
    except BackendError as error:
        return str(error).partition(": pass")[0]
    return ""


def _openvino_or_torch(precision: str, reason: str) -> Backend:
    return FallbackBackend(OpenvinoBackend(precision, reason), lambda: TorchBackend("cpu", "fp32", reason))


def _torch(device: str, precision: str, reason: str, check: _Check) -> Backend:
    if precision == "auto" and device.startswith("cuda"):
        name = TorchBackend(device, "fp32", reason).device_name
        if name is not None:
            return check.lower("bf16", lambda *facts: TorchBackend(device, *facts), reason, name, "this GPU")
    return TorchBackend(device, "fp32" if precision == "auto" else precision, reason)


def _openvino(make: _Make, precision: str, reason: str, check: _Check) -> Backend:
    if precision != "auto":
        return make(precision, reason)
    machine = openvino_models.machine()
    if openvino_models.has_bf16():
        return check.lower("bf16", make, reason, machine, "this CPU")
    reason = f"{reason}; this CPU has no bf16 of its own"
    if "int8" in check.dice_lost:
        return check.lower("int8", make, reason, machine, "this CPU")
    return make("fp32", f"{reason}, so fp32")


def load_libraries(backend: str) -> None:
    """Import what a backend computes with: to be called beside the reading of volumes, it takes as long as that."""
    if backend in ("auto", "openvino") and openvino_is_installed():
        openvino_models.machine()
    else:
        import torch  # noqa: F401


def has_cuda() -> bool:
    """Whether `auto` would run on a GPU."""
    return _cuda_device() is not None


def _cuda_device() -> str | None:
    """Name of the CUDA device that torch would use; torch, slow to import, is asked only where a driver is.

    None for a GPU of which this build of torch has no kernels.
    """
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    try:
        torch.zeros(1, device="cuda").add_(1).item()
    except RuntimeError:
        return None
    return str(torch.cuda.get_device_name())
