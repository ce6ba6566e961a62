"""Rules that spend the same budget, compared on held-out cases: the plan, the papers' alpha, and simpler ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.budget import plan_by_alpha, plan_within
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.evaluation.policies import Prices
from DynamicSegLib.routing import Prediction

SHARES = (0.05, 0.1, 0.2, 0.4, 0.6, 1.0)
_ALPHAS = (0.0, *np.geomspace(1e-4, 1.0, 60).tolist())
_RANDOM_DRAWS = 20

Options = NDArray[np.int64]
Rule = Callable[["HeldOut", Prices, int], Options | None]
"""A rule's options for a case within a budget in macs, the router included; None where it cannot keep it."""


@dataclass(frozen=True)
class HeldOut:
    """One case that nothing was trained on: what the router says of it, and what each candidate really reaches."""

    prediction: Prediction
    overlaps: Overlaps


@dataclass(frozen=True)
class RuleRow:
    """A rule's mean Dice by structure at each budget share; None where it cannot stay within the budget."""

    rule: str
    dice: tuple[Mapping[str, float] | None, ...]


def compare_rules(cases: Sequence[HeldOut], prices: Prices, names: Sequence[str]) -> list[RuleRow]:
    """Every rule at every budget of `SHARES` (1.0: the costliest candidate on every slice), mean over cases.

    Rules: `plan` (ours), `alpha` (Eq. 4 of Med-DANet, for each budget the alpha that spends most of it), each
    candidate everywhere, `random` (random candidates on random slices until the money is gone, mean of 20 draws), and
    `oracle` (the plan with the true Dice and area of each slice).
    """
    rules: dict[str, Rule] = {
        "plan": _planned,
        "alpha": _alpha,
        **{f"{name} everywhere": _everywhere(option + 1) for option, name in enumerate(names)},
        "oracle": _oracle,
    }
    rows = [RuleRow(name, tuple(_mean(cases, prices, rule, share) for share in SHARES)) for name, rule in rules.items()]
    draws = [[_mean(cases, prices, _random(seed), share) for seed in range(_RANDOM_DRAWS)] for share in SHARES]
    rows.insert(-1, RuleRow("random", tuple(_average([d for d in each if d is not None]) for each in draws)))
    return rows


def _mean(cases: Sequence[HeldOut], prices: Prices, rule: Rule, share: float) -> Mapping[str, float] | None:
    reached = []
    for case in cases:
        budget = int(share * case.prediction.slices * max(prices.macs))
        options = rule(case, prices, budget)
        if options is None:
            return None
        reached.append(case.overlaps.volume_dice(options))
    return _average(reached)


def _average(dice: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    return {name: float(np.mean([each[name] for each in dice])) for name in dice[0]}


def _planned(case: HeldOut, prices: Prices, budget: int) -> Options | None:
    left = budget - prices.router.macs * case.prediction.slices
    return None if left < 0 else plan_within(case.prediction, prices.macs, left).options


def _alpha(case: HeldOut, prices: Prices, budget: int) -> Options | None:
    left = budget - prices.router.macs * case.prediction.slices
    plans = [plan_by_alpha(case.prediction, prices.paper_flops, alpha, prices.macs) for alpha in _ALPHAS]
    affordable = [plan for plan in plans if plan.cost <= left]
    return max(affordable, key=lambda plan: plan.cost).options if affordable else None


def _everywhere(option: int) -> Rule:
    def rule(case: HeldOut, prices: Prices, budget: int) -> Options | None:
        slices = case.prediction.slices
        return np.full(slices, option, np.int64) if prices.macs[option] * slices <= budget else None

    return rule


def _random(seed: int) -> Rule:
    def rule(case: HeldOut, prices: Prices, budget: int) -> Options:
        rng = np.random.default_rng(seed)
        options = np.zeros(case.prediction.slices, np.int64)
        for index in rng.permutation(case.prediction.slices):
            option = int(rng.integers(1, len(prices.macs)))
            if prices.macs[option] <= budget:
                options[index] = option
                budget -= prices.macs[option]
        return options

    return rule


def _oracle(case: HeldOut, prices: Prices, budget: int) -> Options:
    dice = case.overlaps.slice_dice()
    quality = np.concatenate([np.zeros((len(dice), 1)), dice], axis=1).astype(np.float32)
    truth = Prediction(quality, case.overlaps.foreground.astype(np.float32), case.prediction.choice)
    return plan_within(truth, prices.macs, budget).options


def structures_of(rows: Sequence[RuleRow]) -> list[str]:
    """Names of the structures that the rows score."""
    return list(next(dice for row in rows for dice in row.dice if dice is not None))


def rules_markdown(rows: Sequence[RuleRow], structure: str) -> str:
    """The comparison as a Markdown table of one structure's Dice."""
    lines = [
        "| rule | " + " | ".join(f"{100 * share:g} %" for share in SHARES) + " |",
        "|---" * (len(SHARES) + 1) + "|",
    ]
    for row in rows:
        cells = ["" if dice is None else f"{dice[structure]:.3f}" for dice in row.dice]
        lines.append(f"| {row.rule} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
