"""OpenVINO on the CPU: several times faster than torch, and without torch once its compiled models are kept on disk."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends.base import BackendFacts, Compiled, Deferred, UnsupportedNetworkError
from DynamicSegLib.backends.model_cache import ModelCache
from DynamicSegLib.errors import BackendError
from DynamicSegLib.resources import cache_folder
from DynamicSegLib.threads import thread_count

if TYPE_CHECKING:
    import openvino
    from torch import nn

INSTALL = "pip install 'DynamicSeg[openvino]'"
_DEVICE = "CPU"
_HINTS = {"fp32": "f32", "bf16": "bf16"}
# One slice a stream and one thread a stream is faster than larger batches on more threads (no waiting for each other);
# each stream has its own intermediate results in memory, hence the limit.
_MOST_STREAMS = 8
# Rows and columns for which a network is converted without naming their number; extents are such.
_OPEN_MULTIPLE = 8
_SLICES_A_STREAM = 4


def is_installed() -> bool:
    """Whether the package openvino is there."""
    return find_spec("openvino") is not None


def has_native_bf16() -> bool:
    """Whether this CPU multiplies bf16 itself; elsewhere bf16 saves no time."""
    return "BF16" in _core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def machine() -> str:
    """What a compiled model depends on besides its network: OpenVINO's version and the CPU."""
    from openvino import get_version

    core = _core()
    names = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    return " ".join([get_version(), *(str(core.get_property(_DEVICE, name)) for name in names)])


class OpenvinoBackend:
    """Runs networks one slice a stream, asynchronously, at an explicit precision.

    Parameters
    ----------
    precision: `fp32` or `bf16`.
    reason: why it was chosen, for the summary.

    Raises
    ------
    BackendError: OpenVINO is not installed, or an unknown precision.
    """

    def __init__(self, precision: str, reason: str) -> None:
        if precision not in _HINTS:
            raise BackendError(f"Precision {precision!r} is unknown to openvino: expected {' or '.join(_HINTS)}.")
        self._core = _core()
        self._threads = thread_count()
        self._streams = min(self._threads, _MOST_STREAMS)
        self._cache = ModelCache(cache_folder() / "openvino")
        self.facts = BackendFacts("openvino", "cpu", precision, reason)
        self.batch = _SLICES_A_STREAM * self._streams

    def compile(self, network: "nn.Module | Deferred", channels: int, size: tuple[int, int]) -> Compiled:
        """See `Backend`. The compiled model of a `Deferred` with a key is kept on disk.

        Raises
        ------
        UnsupportedNetworkError: OpenVINO cannot convert or compile the network.
        """
        return _runner(self._compiled(network, (1, channels, *size)), self._streams)

    def _compiled(self, network: "nn.Module | Deferred", shape: tuple[int, int, int, int]) -> "openvino.CompiledModel":
        key = network.key if isinstance(network, Deferred) else ""
        circumstances = (key, shape, self.facts.precision, machine())
        found = self._cache.find(circumstances) if key else None
        if found is not None:
            try:
                return self._core.import_model(_tensor(found), _DEVICE, self._settings())
            except RuntimeError:  # kept by another build of the same version: make it anew
                found.unlink(missing_ok=True)
        try:
            compiled = self._core.compile_model(self._model(network, shape), _DEVICE, self._settings())
        except RuntimeError as error:
            module = network.build() if isinstance(network, Deferred) else network
            raise _unsupported(module, error) from error
        if key:
            self._cache.keep(circumstances, compiled.export_model().getvalue())
        return compiled

    def _model(self, network: "nn.Module | Deferred", shape: tuple[int, int, int, int]) -> "openvino.Model":
        """The network for inputs of `shape`; where its rows and columns can stay open, converted once for all sizes.

        A compiled model for one size is 5 to 9 % faster than one for all, and quickly made where torch is not needed.
        """
        if not isinstance(network, Deferred):
            return convert(network, shape)
        if not network.key or any(n % _OPEN_MULTIPLE for n in shape[2:]):
            return convert(network.build(), shape)
        circumstances = (network.key, shape[:2], "converted", machine())
        found = self._cache.find(circumstances)
        if found is not None:
            try:
                return _of_size(_unpacked(self._core, found), shape)
            except (RuntimeError, ValueError):  # kept by another build of the same version: make it anew
                found.unlink(missing_ok=True)
        module = network.build()
        model = convert_open(module, shape)
        if model is None:
            return convert(module, shape)
        self._cache.keep(circumstances, _packed(model))
        return _of_size(model, shape)

    def _settings(self) -> dict[str, Any]:
        return {
            "INFERENCE_PRECISION_HINT": _HINTS[self.facts.precision],
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": str(self._streams),
        }


def convert(module: "nn.Module", shape: tuple[int, ...]) -> "openvino.Model":
    """A torch module as an OpenVINO model for inputs of exactly `shape`, by `torch.export`.

    `openvino.convert_model` does the same and reports its use to Intel over the network; a program for hospitals must
    not, so its front end is called directly.

    Raises
    ------
    UnsupportedNetworkError: torch cannot export the module, or OpenVINO lacks one of its operations.
    """
    try:
        return _of_size(_converted(module, shape, None), shape)
    # Whatever export or conversion runs into, the remedy is the same; the cause is kept.
    except Exception as error:
        raise _unsupported(module, error) from error


def convert_open(module: "nn.Module", shape: tuple[int, ...]) -> "openvino.Model | None":
    """`convert` with rows and columns left open, for all multiples of 8; None where the network does not allow it.

    torch exports a network in this way only where it computes the same at every such size.
    """
    from torch.export import Dim

    sizes = {axis: _OPEN_MULTIPLE * Dim(name, min=2) for axis, name in ((2, "rows"), (3, "columns"))}
    try:
        return _converted(module, shape, sizes)
    except Exception:  # networks fail in many ways, and each is converted for its own size then
        return None


def _converted(module: "nn.Module", shape: tuple[int, ...], sizes: "dict[int, Any] | None") -> "openvino.Model":
    import torch

    with _quiet(), torch.no_grad():
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

        example, dynamic = torch.zeros(shape), None if sizes is None else (sizes,)
        exported = torch.export.export(module.cpu().eval(), (example,), dynamic_shapes=dynamic)
        decoder = TorchFXPythonDecoder.from_exported_program(exported, dynamic_shapes=sizes is not None)
        front_end = FrontEndManager().load_by_framework("pytorch")
        return front_end.convert(front_end.load(decoder))


def _of_size(model: "openvino.Model", shape: tuple[int, ...]) -> "openvino.Model":
    model.reshape(list(shape))
    return model


def _packed(model: "openvino.Model") -> bytes:
    """A converted model as bytes: the length of its description, the description, its weights."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        description, weights = Path(folder) / "model.xml", Path(folder) / "model.bin"
        openvino.serialize(model, str(description), str(weights))
        text = description.read_bytes()
        return len(text).to_bytes(8, "little") + text + weights.read_bytes()


def _unpacked(core: Any, path: Path) -> "openvino.Model":
    from openvino import Tensor

    content = np.memmap(path, np.uint8, "r")
    end = 8 + int.from_bytes(content[:8].tobytes(), "little")
    # Copied, since the model may outlive this use of the file.
    return core.read_model(content[8:end].tobytes(), Tensor(np.array(content[end:])))


def _unsupported(module: "nn.Module", error: Exception) -> UnsupportedNetworkError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    # What is around a network (padding, choice of the class) all of them have.
    innermost = module
    while "network" in dict(innermost.named_children()):
        innermost = innermost.get_submodule("network")
    return UnsupportedNetworkError(f"OpenVINO cannot run {type(innermost).__name__} ({first_line})")


def _runner(compiled: "openvino.CompiledModel", streams: int) -> Compiled:
    from openvino import AsyncInferQueue

    queue = AsyncInferQueue(compiled, streams)
    kinds = [(tuple(port.shape)[1:], port.element_type.to_dtype()) for port in compiled.outputs]

    def run(slices: NDArray[np.float32]) -> tuple[NDArray[np.generic], ...]:
        outputs = tuple(np.empty((len(slices), *shape), kind) for shape, kind in kinds)

        def keep(request: Any, place: int) -> None:
            for output, tensor in zip(outputs, request.output_tensors, strict=True):
                output[place] = tensor.data[0]

        queue.set_callback(keep)
        slices = np.ascontiguousarray(slices, np.float32)
        for place in range(len(slices)):
            queue.start_async([slices[place : place + 1]], place, share_inputs=True)
        queue.wait_all()
        return outputs

    return run


def _tensor(path: Path) -> "openvino.Tensor":
    """A file's bytes, read by the system as they are needed."""
    from openvino import Tensor

    return Tensor(np.memmap(path, np.uint8, "r"))


@cache
def _core() -> Any:
    """OpenVINO's core; loading the CPU's plugin takes a noticeable time, so one serves the whole process."""
    if not is_installed():
        raise BackendError(f"OpenVINO is not installed: {INSTALL}.")
    from openvino import Core

    return Core()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the converters' warnings about their own internals."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
