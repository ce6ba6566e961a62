"""Med-DANet V2 (WACV 2024): skip a slice, crop it at a predicted centre, or take it whole; bits that follow the slice.

The bank's candidates are the crop sizes and the whole slice: one network, so they share their weights. The policy
network is the router, as in Med-DANet, and predicts qualities too, so that budgets work alike. The crop-position
network and the bit selectors belong to the candidates and are in their costs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from DynamicSegLib.bank import SKIP, Bank, Candidate
from DynamicSegLib.bundle import Bundle, RouterSpec, checksum_of
from DynamicSegLib.context import ALONE, Context
from DynamicSegLib.cost import Cost, count
from DynamicSegLib.errors import BundleError
from DynamicSegLib.methods.glioma import INPUT, LABELS, REGIONS
from DynamicSegLib.methods.med_danet import make_router, router_cost
from DynamicSegLib.networks.stage_by_stage import BITS, CROPS, STAGES, padded_size

if TYPE_CHECKING:
    from torch import nn

    from DynamicSegLib.networks.dynamic import DynamicNetwork

__all__ = [
    "METHOD",
    "candidates",
    "cost_parts",
    "make_router",
    "network_of",
    "reference_bundle",
    "router_cost",
    "shared_arguments",
]

METHOD = "med-danet-v2"
NETWORK = "med-danet-v2"


def candidates(
    crops: tuple[int, ...] = CROPS,
    bits: Sequence[int | Sequence[int]] = BITS,
    base: str = "unet2d",
    modalities: int = len(INPUT.modalities),
    out_channels: int = len(LABELS) + 1,
    context: Context = ALONE,
    **arguments: float,
) -> tuple[Candidate, ...]:
    """A policy space as candidates without weights, cheapest first: `crop<size>` for each size, then `whole`.

    Parameters
    ----------
    crops: crop sizes in pixels, ascending multiples of 8; none for the ablation without spatial choice.
    bits: the bit space, or one for each stage; (32,) for the ablation without quantisation.
    modalities: of one slice.
    base, arguments: the base network and what it takes (`width`, `layers`, `size`, `dropout`), see `networks.staged`.

    Source: Med-DANet V2, Table 3 (policy space, bit space, base networks).
    """
    spaces = [each if isinstance(each, int) else list(each) for each in bits]
    common: dict[str, object] = {"crops": list(crops), "bits": spaces, "base": base}
    common |= {"in_channels": modalities * context.planes, "out_channels": out_channels, **arguments}
    return tuple(
        Candidate(f"crop{size}" if size else "whole", NETWORK, {"crop": size, **common}, context=context)
        for size in (*crops, 0)
    )


def reference_bundle(size: int = 240) -> Bundle:
    """The paper's policy space {skip, crop 96, whole} and bit space {8, 16} without weights.

    Parameters
    ----------
    size: in-plane size; the UNet of the paper's setting takes any.

    Source: Med-DANet V2, Sec. 4.1.
    """
    return Bundle(
        name=METHOD,
        method=METHOD,
        input=replace(INPUT, size=(size, size)),
        labels=LABELS,
        bank=Bank(candidates(), len(INPUT.modalities)),
        router=RouterSpec("shufflenetv2-m", {}),
        regions=REGIONS,
    )


def shared_arguments(bundle: Bundle) -> Mapping[str, Any]:
    """The arguments of the one network of all candidates, for whole slices, without building it.

    Raises
    ------
    BundleError: the candidates differ in more than their crop size.
    """
    last = bundle.bank.candidates[-1]
    for candidate in bundle.bank.candidates:
        same = {**candidate.arguments, "crop": 0} == {**last.arguments, "crop": 0} and candidate.network == NETWORK
        if candidate.weights is not None and last.weights is not None:
            same = same and checksum_of(candidate.weights) == checksum_of(last.weights)
        if not same:
            raise BundleError(
                f"Candidates {candidate.name} and {last.name} of bundle {bundle.name!r} are not one network of "
                f"{METHOD} at two crop sizes: install the bundle again."
            )
    return {**last.arguments, "crop": 0}


def network_of(bundle: Bundle) -> "DynamicNetwork":
    """The one network of all candidates, with its weights where the bundle has some.

    Raises
    ------
    BundleError: see `shared_arguments`; the network cannot be built with them.
    """
    from DynamicSegLib.networks.dynamic import DynamicNetwork
    from DynamicSegLib.networks.registry import build_network
    from DynamicSegLib.weights import load_into

    network, weights = build_network(NETWORK, shared_arguments(bundle)), bundle.bank.candidates[-1].weights
    assert isinstance(network, DynamicNetwork)
    if weights is not None:
        load_into(network, weights)
    return network.eval()


def crop_of(bundle: Bundle, option: int) -> int:
    """Crop size of an option in pixels, 0 for the whole slice."""
    return int(bundle.bank.candidates[option - 1].arguments.get("crop", 0))


def cost_parts(bundle: Bundle, size: tuple[int, int], option: int) -> dict[str, Cost]:
    """What one slice of `size` (rows, columns) costs with `option`, part by part, stages at their widest bits.

    The parts are the policy network (spent on every slice), the position network, the bit selectors, stem, the
    encoder's stages, and the rest (bridge, decoder); they sum up to the router's and the candidate's cost.
    """
    parts = {"policy network": router_cost(bundle, size)}
    if bundle.bank.options[option] == SKIP:
        return parts
    candidate = bundle.bank.candidates[option - 1]
    network, crop = network_of(bundle), crop_of(bundle, option)
    cropped = bool(crop) and crop < min(size)
    if cropped and network.position is not None:
        parts["position network"] = count(network.position, (1, bundle.bank.channels_of(option), *size))
    parts |= _segmentation_parts(network, bundle.bank.channels_of(option), (crop, crop) if cropped else size)
    known = sum((part for name, part in parts.items() if name != "policy network"), Cost())
    whole = candidate.cost(size, bundle.bank.modalities)
    parts["decoder"] = Cost(
        whole.macs - known.macs, whole.paper_flops - known.paper_flops, _parameters(network) - known.parameters
    )
    return parts


def _segmentation_parts(network: "DynamicNetwork", channels: int, tile: tuple[int, int]) -> dict[str, Cost]:
    from DynamicSegLib.networks.pieces import Stages

    staged = network.segmentation
    rows, columns = padded_size(*tile)

    def counted(module: "nn.Module | None", index: int) -> Cost:
        if module is None:
            return Cost()
        return count(module, (1, staged.width << index, rows >> index, columns >> index))

    selectors = [counted(staged.selector(index), index) for index in range(STAGES + 1)]
    begin = count(Stages(staged, 0, (), stem=True), (1, channels, rows, columns))
    (encoder,) = staged.encoder
    parts = {"bit selectors": sum(selectors, Cost()), "stem": _less(begin, selectors[0], encoder.stem)}
    for index, space in enumerate(staged.spaces):
        stage = counted(Stages(staged, index, space[-1:]), index)
        own = [encoder.stages[index], *encoder.downs[index : index + 1]]
        parts[f"encoder stage {index + 1}"] = _less(stage, selectors[index + 1], *own)
    return parts


def _less(whole: Cost, part: Cost, *modules: "nn.Module") -> Cost:
    """`whole` without `part`; the parameters are those of `modules`."""
    return Cost(whole.macs - part.macs, whole.paper_flops - part.paper_flops, _parameters(*modules))


def _parameters(*modules: "nn.Module") -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())
