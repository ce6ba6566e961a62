"""Which backend and device run a study, and why."""

from importlib.util import find_spec

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.errors import BackendError

BACKENDS = ("auto", "torch")


def choose_backend(backend: str = "auto", device: str = "auto", precision: str = "auto") -> Backend:
    """A backend by name, or the best one for this machine.

    Parameters
    ----------
    backend: `auto` or `torch`.
    device: `auto`, `cpu`, `cuda` or `cuda:N`.
    precision: `auto`, `fp32` or `bf16`.

    Raises
    ------
    BackendError: torch is not installed, a name is unknown, or the machine lacks what was asked for.
    """
    if find_spec("torch") is None:
        raise BackendError("torch is not installed: `pip install torch`, or let the Slicer module install it.")
    if backend not in BACKENDS:
        raise BackendError(f"Backend {backend!r} is unknown: expected one of {', '.join(BACKENDS)}.")
    import torch

    if device == "auto":
        found = torch.cuda.is_available()
        device = "cuda" if found else "cpu"
        reason = f"found {torch.cuda.get_device_name()}" if found else "no CUDA device was found"
    elif device == "cpu" or device.split(":")[0] == "cuda":
        reason = "asked for"
    else:
        raise BackendError(f"Device {device!r} is unknown: expected auto, cpu, cuda or cuda:N.")
    return TorchBackend(device, "fp32" if precision == "auto" else precision, reason)
