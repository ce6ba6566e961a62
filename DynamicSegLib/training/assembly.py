"""From finished runs to a bundle: calibration, quality-cost curve, figures, model card, files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from DynamicSegLib.bank import Bank
from DynamicSegLib.bundle import Bundle, CurvePoint, RouterSpec
from DynamicSegLib.bundles import write_bundle
from DynamicSegLib.errors import DynamicSegError, TrainingError
from DynamicSegLib.evaluation.decisions import calibration, judge_decisions
from DynamicSegLib.evaluation.policies import DYNAMIC, Prices, Reached, activation_ratio, measure_curve
from DynamicSegLib.evaluation.tables import markdown, policy_rows
from DynamicSegLib.networks.decision import DecisionNetwork
from DynamicSegLib.reporting.calibration import write_calibration
from DynamicSegLib.routing import Prediction
from DynamicSegLib.training.calibration import apply_calibration, fit_calibration
from DynamicSegLib.training.card import CardFigures, Runs, model_card
from DynamicSegLib.training.config import BundleConfig
from DynamicSegLib.training.decision_run import load_trained
from DynamicSegLib.training.export import ROUTER_FILE, decided_candidates
from DynamicSegLib.training.precisions import Precisions
from DynamicSegLib.training.task import Task
from DynamicSegLib.training.validation import CaseValidation
from DynamicSegLib.weights import load_weights

SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_LOGIT_LIMIT = 1e-4


@dataclass(frozen=True)
class Assembly:
    """A bank, its decision network, and what held-out cases say of them.

    `reached`: what any plan reaches on each of them, with labels cleaned as the configuration says. `found_mm2`: what
    every candidate found on each of them, float64 `[slice, candidate]`. `runs`: see `card.model_card`.
    """

    config: BundleConfig
    task: Task
    bank: Bank
    network: DecisionNetwork
    validations: Sequence[CaseValidation]
    prices: Prices
    reached: Sequence[Reached]
    found_mm2: Sequence[NDArray[np.float64]]
    precisions: Precisions
    runs: Runs

    def write(self, report: Callable[[str], None] = lambda text: None) -> Bundle:
        """Calibrate, measure the curve, write the bundle with its model card, read it back."""
        names = [candidate.name for candidate in self.bank.candidates]
        calibrated = calibrated_each(self.validations)
        looks = self.config.second_look_mm2, self.found_mm2
        points = measure_curve(calibrated, self.reached, self.prices, SHARES, *looks)
        apply_calibration(self.network, *_fit(self.validations))
        bundle = Bundle(
            name=self.config.name,
            method=self.config.method,
            input=self.task.input,
            labels=self.task.labels,
            bank=self.bank,
            router=RouterSpec(self.config.backbone, {}),
            alpha=self.config.alpha,
            regions=self.task.regions,
            curve=tuple(CurvePoint(p.share, p.macs, p.predicted, p.measured) for p in points),
            facts=self.config.facts,
            cleaning=self.task.cleaning(self.config.cleaning),
            second_look_mm2=self.config.second_look_mm2,
            int8=self.precisions.int8,
            dice_lost=self.precisions.dice_lost,
        )
        costs = dict(zip(names, self.prices.options[1:], strict=True)) | {"(router)": self.prices.router}
        figures = self._figures(calibrated, names)
        card = model_card(bundle, costs, figures, self.config.training, self.runs)
        states = {c.name: load_weights(c.weights) for c in self.bank.candidates if c.weights is not None}
        written = write_bundle(
            self.config.output / self.config.name, bundle, states, self.network.state_dict(), card, self.config.storage
        )
        report(f"{written.folder}: written")
        try:
            write_calibration(figures.calibration, self.config.output / f"{self.config.name}-calibration.png")
        except DynamicSegError as error:
            report(f"No figure of the calibration: {error}")
        return written

    def _figures(self, calibrated: Sequence[Prediction], names: Sequence[str]) -> CardFigures:
        held = self.validations
        overlaps = [each.overlaps for each in held]
        rows = policy_rows({v.case: v.plans for v in held}, {v.case: v.scores for v in held}, self.prices, names)
        shown: Mapping[str, Sequence[np.ndarray]] = {
            policy: [v.plans[policy] for v in held] for policy in held[0].plans if policy not in names
        }
        return CardFigures(
            cases=[v.case for v in held],
            table=markdown(rows, self.config.published),
            activation={policy: activation_ratio(plans, names) for policy, plans in shown.items()},
            decisions=judge_decisions([v.plans[DYNAMIC] for v in held], overlaps, [v.voxel_ml for v in held]),
            calibration={name: calibration(calibrated, overlaps, index) for index, name in enumerate(names)},
            per_case={v.case: {name: score.dice for name, score in v.scores[DYNAMIC].items()} for v in held},
            precisions=self.precisions.markdown(),
        )


def calibrated_each(validations: Sequence[CaseValidation]) -> list[Prediction]:
    """The prediction of each case, calibrated on the other cases only."""
    return [_calibrated(held, [other for other in validations if other is not held]) for held in validations]


def _calibrated(held: CaseValidation, others: Sequence[CaseValidation]) -> Prediction:
    if not others:
        return held.prediction
    scale, shift = _fit(others)
    logits = _logits(held.prediction) * scale + shift
    quality = np.concatenate([held.prediction.quality[:, :1], torch.sigmoid(logits).numpy()], axis=1)
    return replace(held.prediction, quality=quality.astype(np.float32))


def load_decision_network(folder: Path, backbone: str, bank: Bank) -> DecisionNetwork:
    """The decision network that a run left in `folder`.

    Raises
    ------
    TrainingError: there is none, or it is of another backbone or chooses from other candidates than the bank's.
    """
    if not (folder / ROUTER_FILE).is_file():
        raise TrainingError(
            f"{folder} holds no finished decision network: run `dynamicseg train decision` to its end first."
        )
    wanted, known = list(bank.options[1:]), decided_candidates(folder)
    if known not in (None, wanted):
        raise TrainingError(
            f"The decision network in {folder} chooses from {', '.join(known or ())}, where {', '.join(wanted)} were "
            "expected, the bank's candidates: train it on this bank, or name its own."
        )
    network = DecisionNetwork(backbone, len(wanted), bank.modalities)
    load_trained(network, load_weights(folder / ROUTER_FILE), f"a {backbone} for {', '.join(wanted)}")
    return network.eval()


def _logits(prediction: Prediction) -> torch.Tensor:
    quality = np.clip(prediction.quality[:, 1:], _LOGIT_LIMIT, 1 - _LOGIT_LIMIT)
    return torch.logit(torch.from_numpy(quality))


def _fit(validations: Sequence[CaseValidation]) -> tuple[torch.Tensor, torch.Tensor]:
    present = [v.overlaps.foreground > 0 for v in validations]
    logits = torch.cat([_logits(v.prediction)[p] for v, p in zip(validations, present, strict=True)])
    dice = np.concatenate([v.overlaps.slice_dice()[p] for v, p in zip(validations, present, strict=True)])
    return fit_calibration(logits, torch.from_numpy(dice).float())
