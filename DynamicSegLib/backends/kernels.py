"""Real arithmetic for networks that run in pieces at different widths: int8, 16-bit floating point, float32.

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
    import torch
    from torch import Tensor, nn

Shape = tuple[int, ...]

_INT8, _HALF = 8, 16
# Raised whenever modules compute something else than before: models kept on disk are made anew.
_GENERATION = 1


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

    def compile(self, name: str, build: "Callable[[], nn.Module]", shapes: Sequence[Shape], bits: int) -> Kernel:
        """A module as a function of arrays.

        Parameters
        ----------
        name: tells the modules of one network apart.
        build: makes the module, where it is not kept on disk already.
        shapes: of one slice's inputs, `(1, ...)`.
        bits: 32 for everything outside quantised stages.
        """
        ...


def kernels_for(backend: Backend, key: str = "") -> Kernels:
    """The kernels of a run's backend. `key`: names the weights, for keeping what was compiled."""
    facts = backend.facts
    if facts.name == "openvino":
        return OpenVINOKernels(facts.precision, key)
    return TorchKernels(facts.device, facts.precision)


class TorchKernels:
    """Torch as it is: 16-bit types by autocast; torch has no int8 convolutions, floating point imitates them."""

    def __init__(self, device: str, precision: str = "fp32") -> None:
        import torch

        self._device = torch.device(device)
        self._precision = precision
        if self._device.type == "cuda":
            self._half: torch.dtype | None = torch.float16
        else:
            # Without the unit bf16 is emulated, slower than float32.
            self._half = torch.bfloat16 if _cpu_has_bf16() else None

    def describe(self, bits: int) -> str:
        """See `Kernels`."""
        half = str(self._half).removeprefix("torch.") if self._half else "float32"
        if bits > _HALF:
            return f"{'bfloat16' if self._precision == 'bf16' else 'float32'} (torch)"
        if bits > _INT8:
            return f"{half} (torch)" + ("" if self._half else ": this processor has no bf16 unit")
        stand_in = half if self._device.type == "cuda" else "float32"
        return f"{stand_in} that imitates int{bits} (torch): it has no int8 convolutions; on a CPU OpenVINO has"

    def keeps_quantisers(self, bits: int) -> bool:
        """See `Kernels`."""
        return bits <= _INT8 or self._half is None

    def arrays(self, slices: NDArray[np.float32]) -> "Tensor":
        """See `Kernels`."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(slices)).to(self._device)

    def plain(self, array: "Tensor") -> NDArray[np.generic]:
        """See `Kernels`."""
        return array.cpu().numpy()

    def compile(self, name: str, build: "Callable[[], nn.Module]", shapes: Sequence[Shape], bits: int) -> Kernel:
        """See `Kernels`."""
        import torch

        module = build().eval().to(self._device)
        kind = self._type_of(bits)

        def run(*tensors: "Tensor") -> "tuple[Tensor, ...]":
            with torch.inference_mode(), torch.autocast(self._device.type, kind, enabled=kind is not None):
                results = module(*tensors)
            return tuple(each.float() if each.is_floating_point() else each for each in results)

        return run

    def _type_of(self, bits: int) -> "torch.dtype | None":
        import torch

        if bits > _HALF:
            return torch.bfloat16 if self._precision == "bf16" else None
        if bits > _INT8 or self._device.type == "cuda":
            return self._half
        return None


class OpenVINOKernels:
    """OpenVINO on the CPU: int8 where a module's quantisers have 8 bits or fewer, bf16 up to 16, float32 otherwise.

    Parameters
    ----------
    precision: of what is not quantised, `fp32` or `bf16`.
    key: names the weights, so that compiled modules can be kept on disk; empty where nothing does.
    """

    def __init__(self, precision: str = "fp32", key: str = "") -> None:
        self._int8, self._bf16 = models.can_compute("INT8"), models.can_compute("BF16")
        self._precision, self._key = precision, key

    def describe(self, bits: int) -> str:
        """See `Kernels`."""
        if bits > _HALF:
            return f"{'bfloat16' if self._precision == 'bf16' and self._bf16 else 'float32'} (OpenVINO)"
        if bits > _INT8:
            return "bfloat16 (OpenVINO)" if self._bf16 else "float32 (OpenVINO): this processor has no bf16 unit"
        return "int8 (OpenVINO)" if self._int8 else "float32 (OpenVINO): this processor has no int8 unit"

    def keeps_quantisers(self, bits: int) -> bool:
        """See `Kernels`."""
        return bits <= _INT8 or not self._bf16

    def arrays(self, slices: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Kernels`."""
        return slices

    def plain(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """See `Kernels`."""
        return array

    def compile(self, name: str, build: "Callable[[], nn.Module]", shapes: Sequence[Shape], bits: int) -> Kernel:
        """See `Kernels`; each slice runs in a stream of its own."""
        return models.runner(self.compiled(name, build, shapes, bits))

    def compiled(self, name: str, build: "Callable[[], nn.Module]", shapes: Sequence[Shape], bits: int) -> Any:
        """The compiled model behind `compile`, from disk where it is kept."""
        half = self._bf16 and (_INT8 < bits <= _HALF or (bits > _HALF and self._precision == "bf16"))
        circumstances = (self._key, name, bits, list(shapes), _GENERATION) if self._key else ()
        return models.compiled(circumstances, lambda: _converted(build(), shapes), "bf16" if half else "fp32")


def _converted(module: "nn.Module", shapes: Sequence[Shape]) -> Any:
    """A traced module as an OpenVINO model for inputs of exactly these shapes.

    The front end is called directly: `openvino.convert_model` reports its use over the network.
    """
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


def _cpu_has_bf16() -> bool:
    import torch

    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported()) if supported is not None else False
