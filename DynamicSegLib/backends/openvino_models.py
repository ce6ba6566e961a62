"""OpenVINO's models on the CPU: compiled once for a machine, kept on disk, and run one slice a stream."""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.model_cache import ModelCache
from DynamicSegLib.errors import BackendError
from DynamicSegLib.resources import cache_folder
from DynamicSegLib.threads import thread_count
from DynamicSegLib.version import __version__

if TYPE_CHECKING:
    import openvino

INSTALL = "pip install 'DynamicSeg[openvino]'"
_DEVICE = "CPU"
# What 8 bits do not reach stays in float32.
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
PRECISIONS = tuple(_HINTS)
# One slice a stream and one thread a stream is faster than larger batches on more threads (no waiting for each other);
# each stream has its own intermediate results in memory, hence the limit.
_MOST_STREAMS = 8
# OpenVINO reports every import to Intel over the network, and NNCF its use, unless the user has opted out; a program
# for hospitals must not. Both do without the package that does it.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def is_installed() -> bool:
    """Whether the package openvino is there."""
    return find_spec("openvino") is not None


@cache
def core() -> Any:
    """OpenVINO's core; loading the CPU's plugin takes a noticeable time, so one serves the whole process.

    Raises
    ------
    BackendError: OpenVINO is not installed, or does not load here.
    """
    if not is_installed():
        raise BackendError(f"OpenVINO is not installed: {INSTALL}.")
    try:
        from openvino import Core

        return Core()
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(f"OpenVINO is installed but does not load here ({error}): pass --backend torch.") from error


def has_bf16() -> bool:
    """Whether this CPU multiplies bf16 itself; elsewhere it saves no time."""
    return "BF16" in core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def machine() -> str:
    """What a compiled model depends on besides its network: OpenVINO's version and the CPU."""
    names = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    properties = [str(core().get_property(_DEVICE, name)) for name in names]
    from openvino import get_version

    return " ".join([get_version(), *properties])


def stream_count() -> int:
    """Slices that are run at the same time."""
    return min(thread_count(), _MOST_STREAMS)


def kept_models() -> ModelCache:
    """Where models are kept on disk."""
    return ModelCache(cache_folder() / "openvino")


def compiled(
    circumstances: Sequence[object], make: "Callable[[], openvino.Model]", precision: str
) -> "openvino.CompiledModel":
    """A model for one slice, compiled at `precision` (one of `PRECISIONS`), or read from disk where it is kept.

    Parameters
    ----------
    circumstances: what the model depends on besides machine and precision; empty where it cannot be kept.
    make: gives the model where it has to be compiled.

    Raises
    ------
    RuntimeError: OpenVINO cannot compile the model; what `make` raises.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": thread_count(),
        "NUM_STREAMS": str(stream_count()),
    }
    words, models = (*circumstances, precision, machine(), __version__), kept_models()
    found = models.find(words) if circumstances else None
    if found is not None:
        try:
            from openvino import Tensor

            return core().import_model(Tensor(np.fromfile(found, np.uint8)), _DEVICE, settings)
        except RuntimeError:  # kept by another build of the same version: make it anew
            models.drop(found)
    model = core().compile_model(make(), _DEVICE, settings)
    if circumstances:
        models.keep(words, model.export_model().getvalue())
    return model


def runner(model: "openvino.CompiledModel") -> Callable[..., tuple[NDArray[np.generic], ...]]:
    """A compiled model for one slice as a function of many: arrays `[n, ...]`, one an input, to arrays `[n, ...]`."""
    from openvino import AsyncInferQueue

    queue = AsyncInferQueue(model, stream_count())
    kinds = [(tuple(port.shape)[1:], port.element_type.to_dtype()) for port in model.outputs]

    def run(*inputs: NDArray[np.generic]) -> tuple[NDArray[np.generic], ...]:
        arrays = [np.ascontiguousarray(each, np.float32) for each in inputs]
        count = len(arrays[0])
        outputs = tuple(np.empty((count, *shape), kind) for shape, kind in kinds)

        def keep(request: Any, place: int) -> None:
            for output, tensor in zip(outputs, request.output_tensors, strict=True):
                output[place] = tensor.data[0]

        queue.set_callback(keep)
        for place in range(count):
            queue.start_async([array[place : place + 1] for array in arrays], place, share_inputs=True)
        queue.wait_all()
        return outputs

    return run
