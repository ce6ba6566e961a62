"""What Med-DANet V2 trains: policy, position, quantised network in one module, and the losses of its three phases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import Bundle, RouterSpec
from DynamicSegLib.context import Context
from DynamicSegLib.cost import FLOAT_BITS
from DynamicSegLib.methods.med_danet_v2 import METHOD, candidates, cost_parts
from DynamicSegLib.networks.decision import DecisionNetwork, DecisionOutput
from DynamicSegLib.networks.dynamic import DynamicNetwork
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.networks.stage_by_stage import Spaces
from DynamicSegLib.training.losses import RegionDice, SegmentationLoss
from DynamicSegLib.training.task import Task
from DynamicSegLib.training.v2_config import V2Config


class Options(NamedTuple):
    """All options but skip on a batch. logits: `[n, class, row, column]` each; bits: `[n, stage]` each, float.

    policy: None in the second phase and without a spatial choice. centres: `[n, crop, 2]`, None without crops.
    """

    logits: list[Tensor]
    bits: list[Tensor]
    policy: DecisionOutput | None
    centres: Tensor | None


class V2Model(nn.Module):
    """Policy network and dynamic network, run as a phase asks.

    modalities: channels that the policy network sees, the first ones: those of the slice itself.
    """

    def __init__(self, policy: DecisionNetwork, network: DynamicNetwork, modalities: int) -> None:
        super().__init__()
        self.policy, self.network, self.modalities = policy, network, modalities

    def forward(self, images: Tensor, guide: Tensor, phase: int, choosing: bool) -> Options:
        """Every option on every slice.

        Parameters
        ----------
        images: float `[n, channel, row, column]`, channels as in `Context`.
        guide: float `[n, 2]`, where crops lie in the first phase, in which there is no position network yet.
        choosing: whether there is a choice for the policy network.

        Source: Med-DANet V2, Sec. 4.1: policy and full-precision network, then position network and quantised
        network, then all.
        Deviation: the paper does not say where crops lie in the first phase; here around the labelled foreground, so
        that the policy learns what a well-placed crop achieves. All options are run, so that the policy's gradient
        knows what the others would have given.
        """
        network = self.network
        centres = None
        if network.position is not None:
            guided = [_inside(guide, crop, images.shape[-2:]) for crop in network.crops]
            centres = torch.stack(guided, dim=1) if phase == 1 else network.position(images)
        logits, bits = [], []
        for place, crop in enumerate((*network.crops, 0)):
            centre = None if crop == 0 or centres is None else centres[:, place]
            result = network.dense(images, crop, centre, quantised=phase > 1)
            logits.append(result[0].float())
            bits.append(result[1])
        policy = self.policy(images[:, : self.modalities]) if choosing and phase != 2 else None
        return Options(logits, bits, policy, centres)

    def decision_parameters(self) -> list[nn.Parameter]:
        """Parameters of the policy and the position network."""
        position = self.network.position
        return [*self.policy.parameters(), *(() if position is None else position.parameters())]

    def learn(self, phase: int, choosing: bool) -> None:
        """Let the parts of a phase learn, and only these; the policy network where there is a choice."""
        self.requires_grad_(True)
        if phase == 1:
            self.network.segmentation.selectors.requires_grad_(False)
            if self.network.position is not None:
                self.network.position.requires_grad_(False)
        if phase == 2 or not choosing:
            self.policy.requires_grad_(False)


def build_model(config: V2Config, modalities: int, classes: int) -> V2Model:
    """The module of a run, with fresh weights."""
    network = build_network(METHOD, describe(config, modalities, classes)[-1].arguments)
    assert isinstance(network, DynamicNetwork)
    policy = DecisionNetwork(config.backbone, len(config.policy_crops) + 1, modalities)
    return V2Model(policy, network, modalities)


def describe(config: V2Config, modalities: int, classes: int, spaces: Spaces | None = None) -> tuple[Candidate, ...]:
    """The run's candidates without weights, cheapest first. `spaces`: bits of each stage, if not those of training."""
    return candidates(
        config.policy_crops,
        config.bit_space if spaces is None else spaces,
        config.base,
        modalities=modalities,
        out_channels=classes,
        context=Context(config.neighbours_mm),
        **config.arguments,
    )


@dataclass(frozen=True)
class Prices:
    """G paper FLOPs of each option on a slice of the training size, counted by the library.

    rest: of everything outside the quantised stages, by option (skip left out). stages: at 32 bits, `[option][stage]`.
    """

    rest: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, config: V2Config, task: Task, modalities: int, classes: int) -> "Prices":
        """Counted prices. The policy network is spent on every slice and is left out: no choice changes it."""
        bank = Bank(describe(config, modalities, classes), modalities)
        bundle = Bundle(METHOD, METHOD, task.input, task.labels, bank, RouterSpec(config.backbone, {}))
        rest, stages = [], []
        for option in range(1, len(bank.options)):
            parts = cost_parts(bundle, config.size, option)
            del parts["policy network"]
            quantised = [cost.macs for name, cost in parts.items() if name.startswith("encoder stage")]
            total = sum(cost.paper_flops for cost in parts.values())
            rest.append((total - sum(quantised) * config.bit_space[-1] / FLOAT_BITS) / 1e9)
            stages.append(tuple(macs / 1e9 for macs in quantised))
        return cls(tuple(rest), tuple(stages))

    def of_options(self, bits: Sequence[Tensor]) -> Tensor:
        """Cost of each option at the bits chosen, float `[n, option]`; gradients reach the bits (Eq. 8)."""
        columns = []
        for rest, stages, chosen in zip(self.rest, self.stages, bits, strict=True):
            weights = torch.tensor(stages, device=chosen.device)
            columns.append(rest + (chosen / FLOAT_BITS * weights).sum(dim=1))
        return torch.stack(columns, dim=1)


class V2Loss(nn.Module):
    """Dice plus lambda times GFLOPs, and what a run adds to it.

    Source: Med-DANet V2, Eq. 8 to 10; Gumbel softmax over {skip, crops, whole}, Sec. 3.3.
    """

    def __init__(self, config: V2Config, prices: Prices, classes: int) -> None:
        super().__init__()
        self.config, self.prices = config, prices
        # Eq. 9 is the sum over classes, `RegionDice` the mean.
        self.scale = len(config.regions) or classes - 1
        self.option = SegmentationLoss(config.cross_entropy, config.regions)
        self.dice = RegionDice(config.regions)

    def forward(self, options: Options, classes: Tensor, guide: Tensor, phase: int) -> dict[str, Tensor]:
        """Losses by name, each with its weight; their sum is minimised."""
        costs = self.prices.of_options(options.bits)
        losses: dict[str, Tensor] = {}
        own = torch.stack([self.scale * self.option(logits, classes) for logits in options.logits]).mean()
        if options.policy is None:
            losses["dice"], gflops = own, costs.mean()
        else:
            share = F.gumbel_softmax(options.policy.choice_logits.float(), self.config.temperature, hard=True)
            mixed = mix(share, options.logits)
            losses["dice"] = self.scale * self.dice(mixed, classes)
            gflops = (share[:, 1:] * costs).sum(dim=1).mean()
            if self.config.every_option > 0:
                losses["options"] = self.config.every_option * own
            losses |= self._heads(options, classes)
        losses["gflops"] = self.config.price * gflops
        if self.config.guidance > 0 and phase > 1 and options.centres is not None:
            losses["guidance"] = self.config.guidance * guidance_loss(
                options.centres, classes, guide, self.config.policy_crops
            )
        return losses

    def _heads(self, options: Options, classes: Tensor) -> dict[str, Tensor]:
        assert options.policy is not None
        pixels = (classes > 0).flatten(1).sum(1).float()
        reached = torch.stack([slice_dice(logits.detach(), classes) for logits in options.logits], dim=1)
        quality = F.binary_cross_entropy_with_logits(options.policy.quality_logits.float(), reached, reduction="none")
        present = (pixels > 0).float()
        return {
            "quality": self.config.quality_weight * (quality.mean(1) * present).sum() / present.sum().clamp_min(1),
            "area": self.config.area_weight * F.smooth_l1_loss(options.policy.log_area.float(), torch.log1p(pixels)),
        }


def mix(share: Tensor, logits: Sequence[Tensor]) -> Tensor:
    """Class probabilities under a choice, `[n, class, row, column]`; skip is background everywhere.

    share: float `[n, option]`, one-hot forward, skip first.
    """
    probabilities = torch.stack([torch.softmax(each, dim=1) for each in logits], dim=1)
    mixed = (share[:, 1:, None, None, None] * probabilities).sum(dim=1)
    return torch.cat([mixed[:, :1] + share[:, :1, None, None], mixed[:, 1:]], dim=1)


def slice_dice(logits: Tensor, classes: Tensor) -> Tensor:
    """Dice of each slice, float `[n]`: the mean over foreground classes that label or prediction has; 1 without any."""
    predicted, count = logits.argmax(dim=1), logits.shape[1]
    ours = F.one_hot(predicted, count)[..., 1:].flatten(1, 2).float()
    theirs = F.one_hot(classes, count)[..., 1:].flatten(1, 2).float()
    total = ours.sum(1) + theirs.sum(1)
    present = (total > 0).float()
    dice = 2 * (ours * theirs).sum(1) / total.clamp_min(1)
    some = present.sum(1)
    return torch.where(some > 0, (dice * present).sum(1) / some.clamp_min(1), torch.ones_like(some))


def foreground_centre(classes: Tensor) -> Tensor:
    """Centre of the box around the foreground, float `[n, 2]` (row, column); of the slice where there is none."""
    found = []
    for axis in (1, 2):
        length = classes.shape[axis]
        hit = (classes > 0).any(dim=3 - axis)
        places = torch.arange(length, device=classes.device)
        first = torch.where(hit, places, length).amin(dim=1)
        last = torch.where(hit, places, -1).amax(dim=1)
        found.append(torch.where(last >= 0, (first + last + 1) / 2, torch.full_like(first, length) / 2))
    return torch.stack(found, dim=1)


def guidance_loss(centres: Tensor, classes: Tensor, guide: Tensor, crops: Sequence[int]) -> Tensor:
    """Mean squared distance, in crop sizes, between centres and where crops hold the foreground; slices with some only.

    centres: `[n, crop, 2]`. classes: int64 `[n, row, column]`. guide: see `foreground_centre`.
    """
    present = (classes > 0).flatten(1).any(1).float()
    sizes = torch.tensor(crops, dtype=torch.float32, device=centres.device)
    goals = torch.stack([_inside(guide, crop, classes.shape[-2:]) for crop in crops], dim=1)
    far = ((centres - goals) / sizes[:, None]).square().sum(dim=(1, 2))
    return (far * present).sum() / present.sum().clamp_min(1)


def _inside(centre: Tensor, crop: int, size: torch.Size) -> Tensor:
    """The nearest centre whose crop lies inside slices of `size`."""
    low = torch.full((2,), crop / 2, device=centre.device)
    high = torch.tensor(size, dtype=torch.float32, device=centre.device) - crop / 2
    return torch.minimum(torch.maximum(centre, low), high)
