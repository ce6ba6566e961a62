"""Networks by name: the allow-list from which a bundle may pick, ours and MONAI's, with arguments as JSON has them."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import lcm, prod
from typing import Any

from torch import nn

from DynamicSegLib.errors import BundleError
from DynamicSegLib.networks.decision import BACKBONES, DecisionNetwork
from DynamicSegLib.networks.dynamic import DynamicNetwork
from DynamicSegLib.networks.slimmable_unet import SlimmableUNet2DConfiguration
from DynamicSegLib.networks.transbts import TransBTS2D
from DynamicSegLib.networks.unet import UNet2D

MONAI_PREFIX = "monai:"
# Two dimensions always; weights come from the bundle, never from the internet; one output, also in training.
_MONAI_FIXED: Mapping[str, object] = {"spatial_dims": 2, "pretrained": False, "deep_supervision": False}

_Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class _Entry:
    """How to find a network's class, and the divisor of its input size, given its arguments with all defaults."""

    constructor: Callable[[], Callable[..., nn.Module]]
    divisor: Callable[[_Arguments], int]
    fixed: Mapping[str, object]


def _ours(constructor: Callable[..., nn.Module], divisor: int) -> _Entry:
    return _Entry(lambda: constructor, lambda _: divisor, {})


def _monai(name: str, divisor: Callable[[_Arguments], int], needs: str = "monai") -> _Entry:
    return _Entry(lambda: _monai_class(name, needs), divisor, _MONAI_FIXED)


def _monai_class(name: str, needs: str) -> Callable[..., nn.Module]:
    for package in ("monai", needs):
        if find_spec(package) is None:
            raise BundleError(
                f"Network {MONAI_PREFIX}{name} needs the package {package}, which is not installed: "
                "pip install 'DynamicSeg[monai]'."
            )
    from monai.networks import nets

    constructor: Callable[..., nn.Module] = getattr(nets, name)
    return constructor


def _stride_product(arguments: _Arguments) -> int:
    """Strides multiply from level to level; each may be one number or a pair (row, column)."""
    pairs = [(stride, stride) if isinstance(stride, int) else tuple(stride) for stride in arguments["strides"]]
    return lcm(*(prod(axis) for axis in zip(*pairs, strict=True)))


_ENTRIES: Mapping[str, _Entry] = {
    "unet2d": _ours(UNet2D, 8),
    "transbts2d": _ours(TransBTS2D, 8),
    # A configuration that resizes its input chooses a size that fits.
    "slimmable-unet2d": _Entry(
        lambda: SlimmableUNet2DConfiguration, lambda arguments: 8 if arguments["resolution"] is None else 1, {}
    ),
    "med-danet-v2": _ours(DynamicNetwork, 1),
    "decision": _ours(DecisionNetwork, 1),
    **{name: _ours(backbone, 1) for name, backbone in BACKBONES.items()},
    "monai:AttentionUnet": _monai("AttentionUnet", _stride_product),
    "monai:BasicUNet": _monai("BasicUNet", lambda _: 16),
    "monai:DynUNet": _monai("DynUNet", _stride_product),
    "monai:FlexibleUNet": _monai("FlexibleUNet", lambda _: 32),
    "monai:SegResNet": _monai("SegResNet", lambda arguments: 2 ** (len(arguments["blocks_down"]) - 1)),
    "monai:SwinUNETR": _monai("SwinUNETR", lambda arguments: int(arguments["patch_size"]) ** 5, needs="einops"),
    "monai:UNet": _monai("UNet", _stride_product),
}


def network_names() -> tuple[str, ...]:
    """Every name that `build_network` knows."""
    return tuple(_ENTRIES)


def build_network(name: str, arguments: Mapping[str, object]) -> nn.Module:
    """Build a network of the allow-list, with fresh weights.

    Parameters
    ----------
    name: one of `network_names()`, e.g. "unet2d" or "monai:BasicUNet".
    arguments: the constructor's arguments by name, as plain JSON values; MONAI networks are always two-dimensional.

    Returns
    -------
    The network; its attribute `divisor` is the number its input's rows and columns have to be divisible by
    (`padding.PaddedNetwork` takes any size).

    Raises
    ------
    BundleError: unknown name, arguments that do not fit, or MONAI asked for and not installed.
    """
    entry = _ENTRIES.get(name)
    if entry is None:
        raise BundleError(f"Unknown network {name!r}: expected one of {', '.join(_ENTRIES)}.")
    constructor = entry.constructor()
    complete = _complete_arguments(name, inspect.signature(constructor), arguments, entry.fixed)
    try:
        network = constructor(**complete)
        network.divisor = entry.divisor(complete)  # type: ignore[assignment]  # torch types attributes as tensors
    # Whatever a constructor, also MONAI's, makes of values from a file: the file is at fault, and the cause is kept.
    except Exception as error:
        raise BundleError(
            f"Network {name} cannot be built with {_shown(arguments)}: {error} "
            "Correct the candidate's arguments in bundle.json."
        ) from error
    return network


def _complete_arguments(
    name: str, signature: inspect.Signature, arguments: Mapping[str, object], fixed: Mapping[str, object]
) -> dict[str, object]:
    """Arguments with defaults filled in and lists as tuples, after checking their names and the fixed values."""
    known = signature.parameters
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise BundleError(
            f"Network {name} has no argument {', '.join(unknown)}; it takes {', '.join(known)}. "
            "Correct the candidate's arguments in bundle.json."
        )
    for key, value in fixed.items():
        if key in arguments and arguments[key] != value:
            raise BundleError(f"Network {name} with {key} {arguments[key]!r}: only {value!r} is allowed; leave it out.")
    given = {key: _plain(name, key, value) for key, value in arguments.items()}
    given |= {key: value for key, value in fixed.items() if key in known}
    missing = [key for key, parameter in known.items() if parameter.default is parameter.empty and key not in given]
    if missing:
        raise BundleError(
            f"Network {name} misses {', '.join(missing)} in {_shown(arguments)}. Add to the arguments in bundle.json."
        )
    defaults = {key: parameter.default for key, parameter in known.items() if key not in given}
    return given | defaults


def _plain(name: str, key: str, value: object) -> object:
    """A JSON value with tuples for lists, as constructors expect them."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(name, key, item) for item in value)
    if isinstance(value, Mapping):
        return {str(inner): _plain(name, key, item) for inner, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise BundleError(
        f"Network {name}: argument {key} is a {type(value).__name__}; "
        "expected a number, string, list or object, as JSON has them."
    )


def _shown(arguments: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "no arguments"
