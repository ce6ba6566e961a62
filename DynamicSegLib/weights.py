"""Weights on disk: safetensors, stored at 32, 16 or 8 bits, always float32 in memory."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from DynamicSegLib.errors import BundleError
from DynamicSegLib.files import write_whole

if TYPE_CHECKING:
    from torch import Tensor, nn

_SCALE = "::scale"
# Tensors below this many elements (norms, biases) cost nothing and stay exact.
_SMALL = 1024


class Storage(str, Enum):
    """Type of the large tensors in the file. `INT8`: symmetric, one scale for each output channel."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"


def save_weights(path: Path, state: Mapping[str, "Tensor"], storage: Storage = Storage.FLOAT16) -> None:
    """Write a state dict. Tensors of fewer than 1,024 elements and integers are stored as they are."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        if not tensor.is_floating_point() or tensor.numel() < _SMALL or storage is Storage.FLOAT32:
            tensors[name] = tensor.clone()
        elif storage is Storage.FLOAT16:
            tensors[name] = tensor.half()
        else:
            tensors[name], tensors[name + _SCALE] = _quantised(tensor.float())
    write_whole(path, save(tensors))


def load_weights(path: Path) -> dict[str, "Tensor"]:
    """Read a state dict; floating-point tensors come back as float32.

    Raises
    ------
    BundleError: the file is not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} cannot be read as safetensors ({error}): install the bundle again.") from error
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(_SCALE):
            continue
        scale = tensors.get(name + _SCALE)
        if scale is not None:
            tensor = tensor.float() * scale.reshape(-1, *[1] * (tensor.dim() - 1))
        state[name] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def load_into(module: "nn.Module", path: Path) -> None:
    """Fill a module with the weights of a file.

    A module that is a part of a larger one has a method `weights_from`, which takes its own state dict out of the
    file's (e.g. `networks.slimmable_unet.SlimmableUNet2DConfiguration`).

    Raises
    ------
    BundleError: names or shapes differ; the message says which.
    """
    state, own = load_weights(path), module.state_dict()
    part = getattr(module, "weights_from", None)
    if callable(part):
        state = part(state)
    wrong = sorted(own.keys() ^ state.keys()) or [name for name in own if own[name].shape != state[name].shape]
    if wrong:
        name = wrong[0]
        have = tuple(state[name].shape) if name in state else "absent"
        want = tuple(own[name].shape) if name in own else "absent"
        raise BundleError(
            f"{path} does not fit its network: {len(wrong)} tensors differ, first {name!r} is {have} in the file where "
            f"the network has {want}. The bundle is damaged or made for another version."
        )
    module.load_state_dict(state)


def _quantised(tensor: "Tensor") -> tuple["Tensor", "Tensor"]:
    import torch

    rows = tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None]
    scale = (rows.abs().amax(dim=1) / 127).clamp_min(1e-12)
    shaped = scale.reshape(-1, *[1] * (tensor.dim() - 1))
    return (tensor / shaped).round().clamp(-127, 127).to(torch.int8), scale
