"""Which backend, device and precision run a study, and why."""

import ctypes
import sys
from collections.abc import Callable
from importlib.util import find_spec

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.fallback import FallbackBackend
from DynamicSegLib.backends.openvino_backend import OpenvinoBackend
from DynamicSegLib.backends.openvino_models import is_installed as openvino_is_installed
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.errors import BackendError

BACKENDS = ("auto", "openvino", "torch")
SMALLEST_AGREEMENT = 0.998
"""bf16 is chosen by itself only where its labels reach this Dice against float32's."""
LARGEST_LOSS = 0.002
"""int8 is chosen by itself only where it loses no more than this of the Dice that float32 reaches on labelled cases."""

DiceOf = Callable[[Backend, Backend, str], float | None]
"""Dice of a lower precision against float32 (exact backend, lower backend, machine): `agreement.Agreement.dice`."""


def choose_backend(
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    dice_of: DiceOf | None = None,
    int8_loss: float | None = None,
) -> Backend:
    """A backend by name, or the best one for this machine: CUDA where there is any, else OpenVINO, else torch.

    `auto` runs a network that OpenVINO cannot run with torch; where OpenVINO was asked for by name that is an error.

    Parameters
    ----------
    backend: `auto`, `openvino` or `torch`.
    device: `auto`, `cpu`, `cuda` or `cuda:N`.
    precision: `auto`, or one that the backend knows. `auto` is bf16 on OpenVINO or CUDA where the device computes it
        natively and `dice_of` finds that it agrees; int8 on a CPU that has 8-bit arithmetic, but no bf16, where
        `int8_loss` is small enough; else float32. `int8` runs on OpenVINO only.
    dice_of: measures the agreement of two precisions; without it bf16 is not chosen by `auto`.
    int8_loss: Dice that the networks' int8 models lose (`bundle.Int8Models`); None where there are none.

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
    if backend == "openvino" or (backend == "auto" and precision == "int8"):
        if device not in ("auto", "cpu"):
            raise BackendError(f"OpenVINO runs on the CPU here, not on {device!r}: pass --backend torch.")
        return _openvino(OpenvinoBackend, precision, "asked for", dice_of, int8_loss)
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
    return _openvino(_openvino_or_torch, precision, reason, dice_of, int8_loss)


_Make = Callable[[str, str], Backend]
"""A backend from a precision and the reason why it was chosen."""


def _openvino_or_torch(precision: str, reason: str) -> Backend:
    return FallbackBackend(OpenvinoBackend(precision, reason), lambda: TorchBackend("cpu", "fp32", reason))


def _torch(device: str, precision: str, reason: str, dice_of: DiceOf | None) -> Backend:
    if precision == "auto" and device.startswith("cuda"):
        name = TorchBackend(device, "fp32", reason).device_name
        if name is not None:
            return _agreeing(lambda *facts: TorchBackend(device, *facts), reason, dice_of, name, "this GPU")
    return TorchBackend(device, "fp32" if precision == "auto" else precision, reason)


def _openvino(make: _Make, precision: str, reason: str, dice_of: DiceOf | None, int8_loss: float | None) -> Backend:
    if precision != "auto":
        return make(precision, reason)
    if openvino_models.can_compute("BF16"):
        return _agreeing(make, reason, dice_of, openvino_models.machine(), "this CPU")
    reason = f"{reason}; this CPU has no bf16 of its own"
    if int8_loss is None or not openvino_models.can_compute("INT8"):
        return make("fp32", f"{reason}, so fp32")
    lost = f"loses {max(int8_loss, 0.0):.4f} Dice on labelled cases"
    if int8_loss > LARGEST_LOSS:
        return make("fp32", f"{reason}, and int8 {lost}, more than {LARGEST_LOSS}, so fp32")
    return make("int8", f"{reason}, and int8 {lost}, so int8")


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
