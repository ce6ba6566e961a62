"""Real arithmetic for networks that run in pieces of stages at different widths: int8, 16-bit floating point, float32.

On a CPU OpenVINO is the first choice. Both it and oneDNN through torch reach the processor's int8 and bf16 units (one
encoder stage of 128 channels, batch 4 of 96 x 96 pixels, one core with VNNI: 3.7 ms and 1.9 ms for its int8
convolutions, 10 ms in float32), but torch quantises, normalises and activates in separate passes over memory and runs
what stays in float32 twice as slowly (stage 1: 8.5 ms against 19.4 ms), and its quantised operators are deprecated.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.backends import openvino_models as models
from DynamicSegLib.backends.base import Backend
from DynamicSegLib.networks.stage_by_stage import Kernel

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, ...]

_INT8, _HALF = 8, 16
# Raised whenever modules compute something else than before: models kept on disk are made anew.
_GENERATION = 2


class Kernels(Protocol):
    """Turns modules into functions of arrays that really compute at a given width."""

    def describe(self, bits: int) -> str:
        """What computes at `bits`, for the summary; where the machine lacks the type, what stands in for it."""
        ...

    def keeps_quantisers(self, bits: int) -> bool:
        """Whether a module of `bits` is to be given with its quantisers, or without because the type itself rounds."""
        ...

    def arrays(self, slices: NDArray[np.float32]) -> Any:
        """Slices as what compiled modules take and give: NumPy's arrays, or tensors of torch."""
        ...

    def plain(self, array: Any) -> NDArray[np.generic]:
        """The reverse of `arrays`."""
        ...

    def compile(self, name: str, build: "Callable[[], nn.Module]", shapes: Sequence[Shape]) -> Kernel:
        """A module as a function of arrays.

        Parameters
        ----------
        name: tells the modules of one network apart.
        build: makes the module, where it is not kept on disk already.
        shapes: of one slice's inputs, `(1, ...)`.
        """
        ...


def kernels_for(backend: Backend, key: str = "") -> Kernels:
    """The kernels of a run's backend. `key`: names the weights, for keeping what was compiled."""
    facts = backend.facts
    if facts.name == "openvino":
        return OpenVINOKernels(facts.precision, key)
    return TorchKernels(facts.device, facts.precision)


class TorchKernels:
    """Torch as it is: bf16 by autocast; it has no int8 convolutions, floating point imitates them.

    Parameters
    ----------
    precision: `fp32` or `bf16`, of what is not quantised and of 16 bits.
    """

    def __init__(self, device: str, precision: str = "fp32") -> None:
        import torch

        self._device, self._half = torch.device(device), precision == "bf16"

    def describe(self, bits: int) -> str:
        """See `Kernels`."""
        kind = "bfloat16" if self._half else "float32"
        if not self.keeps_quantisers(bits):
            return f"{kind} (torch)"
        what = f"{kind} that imitates {bits} bits (torch)"
        return f"{what}: it has no int8 convolutions; on a CPU OpenVINO has" if bits <= _INT8 else what

    def keeps_quantisers(self, bits: int) -> bool:
        """See `Kernels`."""
        return bits <= (_INT8 if self._half else _HALF)

    def arrays(self, slices: NDArray[np.float32]) -> "Tensor":
        """See `Kernels`."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(slices)).to(self._device)

    def plain(self, array: "Tensor") -> NDArray[np.generic]:
        """See `Kernels`."""
        return array.cpu().numpy()

    def compile(self, name: str, build: "Callable[[], nn.Module]", shapes: Sequence[Shape]) -> Kernel:
        """See `Kernels`."""
        import torch

        module = build().eval().to(self._device)

        def run(*tensors: "Tensor") -> "tuple[Tensor, ...]":
            with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
                results = module(*tensors)
            return tuple(each.float() if each.is_floating_point() else each for each in results)

        return run


class OpenVINOKernels:
    """OpenVINO on the CPU: int8 where a stage's quantisers have 8 bits or fewer, and one precision for the rest.

    Parameters
    ----------
    precision: of what is not quantised and of 16 bits, `fp32`, or `bf16` where the processor has it.
    key: names the weights, so that compiled modules can be kept on disk; empty where nothing does.
    """

    def __init__(self, precision: str = "fp32", key: str = "") -> None:
        self._half, self._key = precision == "bf16" and models.has_bf16(), key

    def describe(self, bits: int) -> str:
        """See `Kernels`."""
        kind = "bfloat16" if self._half else "float32"
        if not self.keeps_quantisers(bits):
            return f"{kind} (OpenVINO)"
        if bits > _INT8:
            return f"{kind} that imitates {bits} bits (OpenVINO)"
        return "int8 (OpenVINO)"

    def keeps_quantisers(self, bits: int) -> bool:
        """See `Kernels`."""
        return bits <= (_INT8 if self._half else _HALF)

    def arrays(self, slices: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Kernels`."""
        return slices

    def plain(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """See `Kernels`."""
        return array

    def compile(self, name: str, build: "Callable[[], nn.Module]", shapes: Sequence[Shape]) -> Kernel:
        """See `Kernels`; each slice runs in a stream of its own."""
        return models.runner(self.compiled(name, build, shapes))

    def compiled(self, name: str, build: "Callable[[], nn.Module]", shapes: Sequence[Shape]) -> Any:
        """The compiled model behind `compile`, from disk where it is kept."""
        circumstances = (self._key, name, list(shapes), _GENERATION) if self._key else ()
        return models.compiled(circumstances, lambda: _converted(build(), shapes), "bf16" if self._half else "fp32")


def _converted(module: "nn.Module", shapes: Sequence[Shape]) -> Any:
    """A traced module as an OpenVINO model for inputs of exactly these shapes."""
    import torch
    from openvino import PartialShape, Type
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from openvino.passes import ConstantFolding, Manager

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Not frozen: freezing would fold the weights' quantisers away, and with them the way to int8.
        examples = tuple(torch.rand(shape) for shape in shapes)
        traced = torch.jit.trace(module.cpu().eval(), examples, check_trace=False)
        # Named, since the front end does not keep it alive.
        decoder = TorchScriptPythonDecoder(traced, skip_freeze=True)
        front_end = FrontEndManager().load_by_framework("pytorch")
        model = front_end.convert(front_end.load(decoder))
    for place, shape in zip(model.inputs, shapes, strict=True):
        place.get_node().set_element_type(Type.f32)
        place.get_node().set_partial_shape(PartialShape(list(shape)))
    model.validate_nodes_and_infer_types()
    # OpenVINO takes a quantiser for one only where its ranges are constants.
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)
    return model
