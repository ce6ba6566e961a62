"""The thresholds of cleaning, measured: what each would do to cases that no network saw, and which one that speaks for.

Thresholds are chosen together by the mean over cases and structures of Dice minus HD95 / 373.13 mm, the challenges' own
worst distance: so both faults count, each by how much it costs a case. How much of the gain is luck of the choice shows
where each case is cleaned with thresholds that were chosen on the other cases only.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.cleaning import Cleaning, SmallLabel
from DynamicSegLib.evaluation.metrics import WORST_HD95_MM, Score, mean_scores, score_volume
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.found_labels import FoundLabels
from DynamicSegLib.training.validation import Validator

ISLANDS_ML = (0.0, 0.1, 0.3, 1.0, 3.0)
LABELS_ML = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)

Scores = Mapping[str, Score]
"""By structure."""


@dataclass(frozen=True, order=True)
class Thresholds:
    """Volumes in mL below which islands vanish, and each label that a case may lack is relabelled; 0 leaves them."""

    island_ml: float = 0.0
    label_ml: float = 0.0

    def cleaning(self, optional: Mapping[int, int]) -> Cleaning:
        """As rules. `optional`: labels that a case may lack, and what a too small one becomes."""
        rules = {value: SmallLabel(self.label_ml, becomes) for value, becomes in optional.items()}
        return Cleaning(self.island_ml, rules if self.label_ml else {})


@dataclass(frozen=True)
class CleaningTrial:
    """What all thresholds do to all cases: `scores` by case and thresholds."""

    scores: Mapping[str, Mapping[Thresholds, Scores]]

    @property
    def best(self) -> Thresholds:
        """The thresholds of the best mean value over all cases."""
        return self._best(list(self.scores))

    def of(self, thresholds: Thresholds) -> dict[str, Scores]:
        """By case."""
        return {case: each[thresholds] for case, each in self.scores.items()}

    def left_out(self) -> dict[str, Scores]:
        """By case, with thresholds chosen on the other cases; those of one case alone are not chosen."""
        chosen = {case: self._best([other for other in self.scores if other != case]) for case in self.scores}
        return {case: self.scores[case][thresholds] for case, thresholds in chosen.items()}

    def _best(self, cases: Sequence[str]) -> Thresholds:
        if not cases:
            return Thresholds()
        tried = self.scores[cases[0]]
        # Sorted, so that among equals the ones that change least win.
        return max(sorted(tried), key=lambda each: float(np.mean([value(self.scores[case][each]) for case in cases])))


def value(scores: Scores) -> float:
    """How good labels of a case are, both measures on one scale: -1 at worst, 1 at best."""
    return float(np.mean([score.dice - score.hd95_mm / WORST_HD95_MM for score in scores.values()]))


def try_thresholds(
    labels: FoundLabels, options: NDArray[np.int64], structures: Structures, optional: Mapping[int, int]
) -> dict[Thresholds, Scores]:
    """One case under all thresholds. `options`: its plan; `structures`, `optional`: in class indices."""
    known: dict[bytes, Scores] = {}
    found: dict[Thresholds, Scores] = {}
    for island_ml, label_ml in product(ISLANDS_ML, LABELS_ML if optional else LABELS_ML[:1]):
        thresholds = Thresholds(island_ml, label_ml)
        volume = labels.volume(options, thresholds.cleaning(optional))
        # Most thresholds give what another gave, and distances take seconds.
        key = hashlib.sha256(volume.tobytes()).digest()
        if key not in known:
            known[key] = score_volume(volume, labels.reference, structures, labels.spacing_mm)
        found[thresholds] = known[key]
    return found


def try_on_cases(
    validator: Validator,
    cases: Sequence[CachedCase],
    optional: Mapping[int, int],
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, dict[Thresholds, Scores]]:
    """All thresholds on the labels of the dynamic choice, by case. `optional`: in class indices."""
    tried = {}
    for case in cases:
        options = validator.predict(case).choice
        tried[case.record.case] = try_thresholds(validator.found(case), options, validator.structures, optional)
        report(f"{case.record.case}: tried")
    return tried


def trial_markdown(trial: CleaningTrial) -> str:
    """Three tables: islands alone, labels after the islands that were chosen, and what the choice is worth."""
    best = trial.best
    tried = next(iter(trial.scores.values()))
    islands = {f"{each.island_ml:g}": trial.of(each) for each in sorted(tried) if each.label_ml == 0}
    labels = {f"{each.label_ml:g}": trial.of(each) for each in sorted(tried) if each.island_ml == best.island_ml}
    choice = {
        "no cleaning": trial.of(Thresholds()),
        f"chosen on all cases: islands {best.island_ml:g} mL, labels {best.label_ml:g} mL": trial.of(best),
        "chosen on the other cases": trial.left_out(),
    }
    parts = [_table("islands below, mL", islands)]
    if len(labels) > 1:
        parts.append(_table(f"labels below, mL (islands {best.island_ml:g})", labels))
    parts.append(_table(f"thresholds, {len(trial.scores)} cases", choice))
    return "\n".join(parts)


def _table(head: str, rows: Mapping[str, Mapping[str, Scores]]) -> str:
    names = list(next(iter(next(iter(rows.values())).values())))
    heads = [head, *(f"{name} Dice" for name in names), *(f"{name} HD95 mm" for name in names), "value"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for title, cases in rows.items():
        means = mean_scores(cases)
        cells = [f"{means[name]['dice']:.4f}" for name in names] + [f"{means[name]['hd95_mm']:.2f}" for name in names]
        cells.append(f"{np.mean([value(scores) for scores in cases.values()]):.4f}")
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n".join(lines) + "\n"
