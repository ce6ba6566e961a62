"""Tiny bundles of the other two methods, on the volumes of `Testing.tiny`: random weights, decisions that vary."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from DynamicSegLib.bank import Bank
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import write_bundle
from DynamicSegLib.context import ALONE, Context
from DynamicSegLib.methods import med_danet_v2, mutualnet
from DynamicSegLib.methods.med_danet import build_decision_network
from DynamicSegLib.networks.bit_selector import spatial_gradient
from DynamicSegLib.networks.dynamic import DynamicNetwork
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_network import Slimmable, recalibrate
from DynamicSegLib.networks.slimmable_unet import slimmable_unet2d
from DynamicSegLib.networks.stage_by_stage import STAGES
from DynamicSegLib.query_table import QueryRow, to_plain
from DynamicSegLib.study import Study, build_study
from DynamicSegLib.weights import Storage
from Testing.tiny import COLUMNS, MODALITIES, ROWS, describe_tiny_bundle, head_images

CROP = 16
CONFIGURATIONS = (Configuration(0.5, 120), Configuration(0.5), Configuration(1.0))
QUALITY = (0.5, 0.6, 0.9)


def tiny_study() -> Study:
    """The small head, prepared for the tiny bundles."""
    return build_study(head_images(), describe_tiny_bundle().input)


def head_slices(context: Context = ALONE) -> NDArray[np.float32]:
    """Slices of the small head with brain on them, float32 `[slice, channel, row, column]`; see `Context`."""
    study = tiny_study()
    return context.gather(study.volumes, range(2, 10), study.spacing_mm[0])


def write_tiny_v2_bundle(folder: Path, name: str = "v2-tiny", context: Context = ALONE) -> Bundle:
    """Write `<folder>/<name>`: crop 16 and whole; selectors that divide the small head's slices by bits.

    The decision network believes in tumour everywhere, and more in whole slices.
    """
    torch.manual_seed(0)
    candidates = med_danet_v2.candidates((CROP,), context=context, width=4)
    slices = torch.from_numpy(head_slices(context))
    network = DynamicNetwork(0, (CROP,), in_channels=slices.shape[1], width=4)
    network.train()
    with torch.no_grad():
        for module in network.segmentation.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        for _ in range(20):
            network.dense(slices, 0, quantised=False)
    divide_bits(network.eval(), slices)
    # One file of weights for all candidates, as a training run leaves it.
    bank = Bank(tuple(replace(each, weights=Path("shared")) for each in candidates), len(MODALITIES))
    described = replace(describe_tiny_bundle(name), method=med_danet_v2.METHOD, bank=bank, facts={"title": "Tiny V2"})
    states = {each.name: network.state_dict() for each in candidates}
    router = confident_router(described, (0.5, 1.5))
    return write_bundle(folder / name, described, states, router, "# Tiny V2\n", Storage.FLOAT32)


def write_tiny_mutual_bundle(folder: Path, name: str = "slim") -> Bundle:
    """Write `<folder>/<name>`: three configurations of one slimmable network, with their query table."""
    candidates = tuple(
        replace(mutualnet.candidate(c.width, c.resolution, 4, 4, base=8), weights=Path("shared"))
        for c in CONFIGURATIONS
    )
    bank = Bank(candidates, len(MODALITIES))
    rows = [
        QueryRow(c.name, c.width, c.resolution, cost.macs, cost.paper_flops, {"WT": quality})
        for c, cost, quality in zip(CONFIGURATIONS, bank.costs((ROWS, COLUMNS))[1:], QUALITY, strict=True)
    ]
    facts = {"title": "Tiny MutualNet", mutualnet.FACT: to_plain(rows)}
    described = replace(describe_tiny_bundle(name), method=mutualnet.METHOD, bank=bank, facts=facts)
    shared = tiny_slimmable().shared_state(CONFIGURATIONS)
    states = {candidate.name: shared for candidate in candidates}
    router = confident_router(described, (0.5, 1.0, 1.5))
    return write_bundle(folder / name, described, states, router, "# Tiny MutualNet\n", Storage.FLOAT32)


def tiny_slimmable() -> Slimmable:
    """The network of `write_tiny_mutual_bundle`, the same at each call."""
    torch.manual_seed(0)
    network = slimmable_unet2d(len(MODALITIES), 4, base=8)
    torch.nn.init.normal_(network.network.decoder.head.weight, std=0.5)
    for configuration in CONFIGURATIONS:
        recalibrate(network, configuration, [torch.randn(2, len(MODALITIES), ROWS, COLUMNS)])
    return network.eval()


def confident_router(bundle: Bundle, qualities: Sequence[float]) -> dict[str, torch.Tensor]:
    """Weights of a decision network that sees the same area everywhere; `qualities`: logits, one a candidate."""
    decision = build_decision_network(bundle)
    with torch.no_grad():
        decision.area.weight.zero_()
        decision.area.bias.fill_(5.0)
        decision.quality.weight.zero_()
        decision.quality.bias.copy_(torch.tensor(qualities))
    return decision.state_dict()


@torch.no_grad()
def divide_bits(network: DynamicNetwork, x: torch.Tensor) -> DynamicNetwork:
    """Set each selector such that about half of the slices take the widest bits at its stage."""
    (encoder,) = network.segmentation.encoder
    x = encoder.begin(x)
    for index in range(STAGES):
        selector = network.segmentation.selector(index)
        if selector is None:
            _, x = encoder.stage(index, x, network.segmentation.spaces[index][0])
            continue
        torch.nn.init.zeros_(selector.first.weight)
        torch.nn.init.zeros_(selector.second.weight)
        selector.first.weight[0, 0] = 1.0
        selector.second.weight[-1, 0] = 100.0
        selector.first.bias.zero_()
        selector.second.bias.zero_()
        found = torch.log1p(spatial_gradient(x)).flatten().sort().values
        selector.second.bias[-1] = -100 * found[len(found) // 2 - 1 : len(found) // 2 + 1].mean()
        _, x = encoder.stage(index, x, network.segmentation.choose(index, x))
    return network
