"""Which backend, device and precision run a study, and why."""

import ctypes
import sys
from collections.abc import Callable
from importlib.util import find_spec

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.fallback import FallbackBackend
from DynamicSegLib.backends.openvino_backend import OpenvinoBackend, Samples
from DynamicSegLib.backends.openvino_models import is_installed as openvino_is_installed
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.errors import BackendError

BACKENDS = ("auto", "openvino", "torch")
SMALLEST_AGREEMENT = 0.998
"""A lower precision is chosen by itself only where its labels reach this Dice against float32's."""

DiceOf = Callable[[Backend, Backend, str], float | None]
"""Dice of a lower precision against float32 (exact backend, lower backend, machine): `agreement.Agreement.dice`."""


def choose_backend(
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    dice_of: DiceOf | None = None,
    samples: Samples | None = None,
) -> Backend:
    """A backend by name, or the best one for this machine: CUDA where there is any, else OpenVINO, else torch.

    `auto` runs a network that OpenVINO cannot run with torch; where OpenVINO was asked for by name that is an error.

    Parameters
    ----------
    backend: `auto`, `openvino` or `torch`.
    device: `auto`, `cpu`, `cuda` or `cuda:N`.
    precision: `auto`, or one that the backend knows. `auto` is float32, or bf16 on OpenVINO or CUDA where the device
        computes it natively and `dice_of` finds that it agrees.
        `int8` has to be asked for: labels agree to a Dice of about 0.99 only.
    dice_of: measures the agreement of two precisions; without it `auto` stays with float32.
    samples: slices on which `int8` is calibrated.

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
    if backend == "openvino":
        if device not in ("auto", "cpu"):
            raise BackendError(f"OpenVINO runs on the CPU here, not on {device!r}: pass --backend torch.")
        return _openvino(lambda name, why: OpenvinoBackend(name, why, samples), precision, "asked for", dice_of)
    found = _cuda_device() if device == "auto" else None
    if found is not None:
        return _torch("cuda", precision, f"found {found}", dice_of)
    reason = "no CUDA device was found" if device == "auto" else "asked for"
    if backend == "torch" or device not in ("auto", "cpu"):
        return _torch("cpu" if device == "auto" else device, precision, reason, dice_of)
    if not openvino_is_installed():
        missing = f"openvino, several times faster, is not installed ({openvino_models.INSTALL})"
        return _torch("cpu", precision, f"{missing}; {reason}" if device == "auto" else missing, dice_of)
    reason = f"the fastest installed for a CPU; {reason}"
    return _openvino(lambda name, why: _openvino_or_torch(name, why, samples), precision, reason, dice_of)


_Make = Callable[[str, str], Backend]
"""A backend from a precision and the reason why it was chosen."""


def _openvino_or_torch(precision: str, reason: str, samples: Samples | None) -> Backend:
    return FallbackBackend(OpenvinoBackend(precision, reason, samples), lambda: TorchBackend("cpu", "fp32", reason))


def _torch(device: str, precision: str, reason: str, dice_of: DiceOf | None) -> Backend:
    if precision == "auto" and device.startswith("cuda"):
        name = TorchBackend(device, "fp32", reason).device_name
        if name is not None:
            return _agreeing(lambda *facts: TorchBackend(device, *facts), reason, dice_of, name, "this GPU")
    return TorchBackend(device, "fp32" if precision == "auto" else precision, reason)


def _openvino(make: _Make, precision: str, reason: str, dice_of: DiceOf | None) -> Backend:
    if precision != "auto":
        return make(precision, reason)
    if not openvino_models.can_compute("BF16"):
        return make("fp32", f"{reason}; fp32, as this CPU has no bf16 of its own")
    return _agreeing(make, reason, dice_of, openvino_models.machine(), "this CPU")


def _agreeing(make: _Make, reason: str, dice_of: DiceOf | None, machine: str, device: str) -> Backend:
    """bf16, native to `device`, where its labels agree with float32's; else float32."""
    if dice_of is None:
        return make("fp32", f"{reason}; fp32, as nothing was given to check bf16 on")
    dice = dice_of(make("fp32", ""), make("bf16", ""), machine)
    if dice is None:
        return make("fp32", f"{reason}; fp32, as no structure was found on which bf16 could be checked")
    if dice < SMALLEST_AGREEMENT:
        return make("fp32", f"{reason}; fp32, as bf16's Dice against it is {dice:.4f}, below {SMALLEST_AGREEMENT}")
    return make("bf16", f"{reason}; bf16, native to {device}, with a Dice of {dice:.4f} against fp32")


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
    """Name of the CUDA device that torch would use; torch, slow to import, is asked only where a driver is."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
