"""OpenVINO on the CPU: several times faster than torch, and without torch once its compiled models are kept on disk."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from DynamicSegLib.backends import openvino_models as models
from DynamicSegLib.backends.base import BackendFacts, Compiled, Deferred, UnsupportedNetworkError
from DynamicSegLib.errors import BackendError
from DynamicSegLib.version import __version__

if TYPE_CHECKING:
    import openvino
    from torch import nn

# Rows and columns for which a network is converted without naming their number; extents are such.
_OPEN_MULTIPLE = 8
_SLICES_A_STREAM = 4


class OpenvinoBackend:
    """Runs networks one slice a stream, asynchronously, at an explicit precision.

    Parameters
    ----------
    precision: `fp32`, `bf16`, or `int8`, which runs models that were quantised beforehand (`Deferred.int8`).
    reason: why it was chosen, for the summary.

    Raises
    ------
    BackendError: OpenVINO is not installed, or an unknown precision.
    """

    def __init__(self, precision: str, reason: str) -> None:
        if precision not in models.PRECISIONS:
            raise BackendError(
                f"Precision {precision!r} is unknown to openvino: expected {' or '.join(models.PRECISIONS)}."
            )
        models.core()
        self.facts = BackendFacts("openvino", "cpu", precision, reason)
        self.side_by_side = models.stream_count()
        self.batch = _SLICES_A_STREAM * self.side_by_side

    def compile(self, network: "nn.Module | Deferred", channels: int, size: tuple[int, int]) -> Compiled:
        """See `Backend`. The compiled model of a `Deferred` with a key is kept on disk.

        Raises
        ------
        UnsupportedNetworkError: OpenVINO cannot convert or compile the network.
        BackendError: `int8`, and there is no such model of the network.
        """
        shape = (1, channels, *size)
        key = network.key if isinstance(network, Deferred) else ""
        circumstances = (key, shape) if key else ()
        try:
            return models.runner(
                models.compiled(circumstances, lambda: self._model(network, shape), self.facts.precision)
            )
        except RuntimeError as error:
            module = network.build() if isinstance(network, Deferred) else network
            raise _unsupported(module, error) from error

    def _model(self, network: "nn.Module | Deferred", shape: tuple[int, int, int, int]) -> "openvino.Model":
        if self.facts.precision != "int8":
            return _model(network, shape)
        if not isinstance(network, Deferred) or network.int8 is None:
            raise BackendError("This network was not quantised to int8: choose fp32 or bf16.")
        return _of_size(models.core().read_model(network.int8), shape)


def _model(network: "nn.Module | Deferred", shape: tuple[int, int, int, int]) -> "openvino.Model":
    """The network for inputs of `shape`; where its rows and columns can stay open, converted once for all sizes.

    A compiled model for one size is 5 to 9 % faster than one for all, and quickly made where torch is not needed.
    """
    if not isinstance(network, Deferred):
        return convert(network, shape)
    if not network.key or any(n % _OPEN_MULTIPLE for n in shape[2:]):
        return convert(network.build(), shape)
    circumstances, kept = (network.key, shape[:2], "converted", models.machine(), __version__), models.kept_models()
    found = kept.find(circumstances)
    if found is not None:
        try:
            return _of_size(_unpacked(found), shape)
        except (RuntimeError, ValueError):  # kept by another build of the same version: make it anew
            kept.drop(found)
    module = network.build()
    model = convert_open(module, shape)
    if model is None:
        return convert(module, shape)
    kept.keep(circumstances, _packed(model))
    return _of_size(model, shape)


def convert(module: "nn.Module", shape: tuple[int, ...]) -> "openvino.Model":
    """A torch module as an OpenVINO model for inputs of exactly `shape`, by `torch.export`.

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


def _unpacked(path: Path) -> "openvino.Model":
    from openvino import Tensor

    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return models.core().read_model(content[8:end], Tensor(np.frombuffer(content[end:], np.uint8)))


def _unsupported(module: "nn.Module", error: Exception) -> UnsupportedNetworkError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    # What is around a network (padding, choice of the class) all of them have.
    innermost = module
    while "network" in dict(innermost.named_children()):
        innermost = innermost.get_submodule("network")
    return UnsupportedNetworkError(f"OpenVINO cannot run {type(innermost).__name__} ({first_line})")


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
