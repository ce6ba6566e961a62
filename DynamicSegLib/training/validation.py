"""Cases that no network saw: what bank and router do on them, policy by policy, kept case by case."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.bank import Bank
from DynamicSegLib.cleaning import Cleaning
from DynamicSegLib.cost import Cost, count
from DynamicSegLib.evaluation.metrics import Score
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.evaluation.policies import Prices, Reached, is_routed, policies
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.networks.decision import DecisionNetwork
from DynamicSegLib.routing import DecisionRouter, Prediction
from DynamicSegLib.second_look import with_second_looks
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.found_labels import CleanedLabels, FoundLabels, results_folder
from DynamicSegLib.training.measuring import digest_of, keep_measured, of_case, run_bank


@dataclass(frozen=True)
class CaseValidation:
    """One held-out case.

    plans: options by policy. scores: by policy and structure, of cleaned labels where the validator cleans.
    overlaps: of the labels as the networks gave them, slice by slice. size: in plane, (rows, columns).
    labels: file of what every candidate found (see `FoundLabels`).
    """

    case: str
    prediction: Prediction
    overlaps: Overlaps
    plans: Mapping[str, NDArray[np.int64]]
    scores: Mapping[str, Mapping[str, Score]]
    voxel_ml: float
    size: tuple[int, int]
    labels: Path


@dataclass(frozen=True)
class Validator:
    """Runs a bank and a decision network on held-out cases.

    Parameters
    ----------
    structures: in class indices.
    folder: results are kept here; a case whose results of these networks are there is not run again.
    setting: `whole` slices or `window`.
    cleaning: what a user's labels go through, in class indices; None where they stay as they are.
    labels: folder of what the candidates found, which validators of one bank and setting share; `folder/labels` where
        None.
    second_look_mm2: see `bundle.Bundle`; None where every skip of the network stands.
    """

    bank: Bank
    network: DecisionNetwork
    structures: Structures
    alpha: float
    folder: Path
    device: torch.device
    setting: str = "whole"
    cleaning: Cleaning | None = None
    labels: Path | None = None
    second_look_mm2: float | None = None

    def prices(self, size: tuple[int, int]) -> Prices:
        """Costs on one slice of `size`."""
        return Prices(self.bank.costs(size, self.setting), count(self.network, (1, self.bank.modalities, *size)))

    def validate(
        self, cases: Sequence[CachedCase], report: Callable[[str], None] = lambda text: None
    ) -> list[CaseValidation]:
        """All cases, in order."""
        results = []
        for case in cases:
            path = self._results / f"{case.record.case}.json"
            self._keep_found(case, report)
            keep_measured(path, of_case(self._digest, case), partial(self._run, case, path), report)
            results.append(_read(path, self._labels_file(case.record.case)))
            report(f"{case.record.case}: validated")
        return results

    def found(self, case: CachedCase) -> FoundLabels:
        """What every candidate finds on a case, before cleaning; run once, then read."""
        self._keep_found(case)
        return FoundLabels.load(self._labels_file(case.record.case))

    def reached(self, held: CaseValidation) -> Reached:
        """What any plan reaches on a validated case, with labels as a user gets them."""
        if self.cleaning is None:
            return held.overlaps
        return CleanedLabels(FoundLabels.load(held.labels), self.cleaning, self.structures)

    def found_mm2(self, held: CaseValidation) -> NDArray[np.float64]:
        """What every candidate found on a validated case, for second looks: see `FoundLabels.found_mm2`."""
        return FoundLabels.load(held.labels).found_mm2()

    @property
    def _results(self) -> Path:
        folder = results_folder(self.folder, self.cleaning)
        return folder if self.second_look_mm2 is None else folder / f"second-look-{self.second_look_mm2!r}"

    def _labels_file(self, case: str) -> Path:
        return (self.labels or self.folder / "labels") / f"{case}.npz"

    def _keep_found(self, case: CachedCase, report: Callable[[str], None] = lambda text: None) -> None:
        path = self._labels_file(case.record.case)

        def run() -> None:
            found = run_bank(self.bank, self._networks, case.volumes(), case.record.spacing_mm[0], self.device)
            FoundLabels(found, case.classes(), case.record.spacing_mm).save(path)

        keep_measured(path, of_case(self._bank_digest, case), run, report)

    @cached_property
    def _bank_digest(self) -> str:
        return digest_of(self.bank, self.setting)

    @cached_property
    def _digest(self) -> str:
        return digest_of(self.bank, self.setting, self.network, self.structures, self.alpha)

    @cached_property
    def _networks(self) -> list[nn.Module]:
        return [candidate.build(self.setting).to(self.device).eval() for candidate in self.bank.candidates]

    def _run(self, case: CachedCase, path: Path) -> None:
        labels = self.found(case)
        overlaps = Overlaps.count(labels.reference, labels.found, self.structures)
        prediction = self.predict(case)
        names = [candidate.name for candidate in self.bank.candidates]
        prices = self.prices(case.record.shape[1:])
        plans = policies(prediction, overlaps, prices, names, self.alpha)
        if self.second_look_mm2 is not None:
            for policy in plans:
                if is_routed(policy, names):
                    looks = labels.found_mm2(), self.second_look_mm2, prices.macs
                    plans[policy] = with_second_looks(plans[policy], *looks)
        scores = {policy: labels.scores(options, self.cleaning, self.structures) for policy, options in plans.items()}
        overlaps.save(path.with_suffix(".npz"))
        content = {
            "case": case.record.case,
            "size": case.record.shape[1:],
            "voxel_ml": float(np.prod(case.record.spacing_mm)) / 1000,
            "prediction": {name: value.tolist() for name, value in vars(prediction).items()},
            "plans": {policy: options.tolist() for policy, options in plans.items()},
            "scores": {p: {name: asdict(score) for name, score in each.items()} for p, each in scores.items()},
        }
        write_text_whole(path, json.dumps(content))

    def predict(self, case: CachedCase) -> Prediction:
        """What the decision network says of every slice."""
        volumes = case.volumes()
        backend = TorchBackend(str(self.device), "fp32", "validation")
        size = volumes.shape[2:]
        router = DecisionRouter(
            backend.compile(self.network, self.bank.modalities, size),  # type: ignore[arg-type]
            lambda _: Cost(),
        )
        slices = volumes.transpose(1, 0, 2, 3)
        parts = [router.predict(slices[first : first + 8]) for first in range(0, len(slices), 8)]
        fields = ("quality", "area", "choice")
        return Prediction(*(np.concatenate([getattr(part, field) for part in parts]) for field in fields))


def _read(path: Path, labels: Path) -> CaseValidation:
    content = json.loads(path.read_text(encoding="utf-8"))
    raw = content["prediction"]
    return CaseValidation(
        content["case"],
        Prediction(
            np.array(raw["quality"], np.float32), np.array(raw["area"], np.float32), np.array(raw["choice"], np.int64)
        ),
        Overlaps.load(path.with_suffix(".npz")),
        {policy: np.array(options, np.int64) for policy, options in content["plans"].items()},
        {p: {n: Score(**s) for n, s in each.items()} for p, each in content["scores"].items()},
        content["voxel_ml"],
        (content["size"][0], content["size"][1]),
        labels,
    )
