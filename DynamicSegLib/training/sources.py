"""From the data section of a configuration to a pool of slices and a sampler over it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.cache import CachedCase, open_cases
from DynamicSegLib.training.config import DataConfig
from DynamicSegLib.training.sampling import CaseSampler, SlicePool


@dataclass(frozen=True)
class ListedCase:
    """One row of the list of cases."""

    case: str
    fold: int
    weight: float = 1.0


def read_case_list(path: Path) -> list[ListedCase]:
    """Read a CSV with columns `case`, `fold` and optionally `weight`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [ListedCase(row["case"], int(row["fold"]), float(row.get("weight") or 1)) for row in rows]
    except OSError as error:
        raise TrainingError(f"The list of cases {path} cannot be read: {error}.") from error
    except (KeyError, ValueError) as error:
        raise TrainingError(f"The list of cases {path} needs columns case and fold: {error}.") from error


def chosen_cases(config: DataConfig) -> list[ListedCase]:
    """The rows of the list whose fold is asked for (all where `folds` is empty)."""
    return [row for row in read_case_list(config.cases) if not config.folds or row.fold in config.folds]


def open_sources(config: DataConfig, device: torch.device) -> tuple[SlicePool, CaseSampler]:
    """The pool of all slices that the run may see, and the sampler that draws from it."""
    rows = chosen_cases(config)
    cases = open_cases(config.cache, [row.case for row in rows])
    weights = [row.weight for row in rows]
    shares = sum(config.extra.values())
    if not 0 <= shares < 1:
        raise TrainingError(f"data.extra takes {shares:.2f} of all draws: expected below 1.")
    base = sum(weights)
    for folder, share in config.extra.items():
        more = open_cases(Path(folder), cases_in(Path(folder)))
        weights += [base * share / (1 - shares) / len(more)] * len(more)
        cases += more
    return SlicePool(_alike(cases), device, config.resident), CaseSampler.of(cases, weights, config.tumour_share)


def cases_in(folder: Path) -> list[str]:
    """Names of all cases of a cache."""
    return sorted(path.parent.name for path in folder.glob("*/case.json"))


def _alike(cases: Sequence[CachedCase]) -> Sequence[CachedCase]:
    kinds = {(case.record.modalities, case.record.classes) for case in cases}
    if len(kinds) > 1:
        raise TrainingError(f"The caches hold different kinds of data, {sorted(kinds)}: train on one kind at a time.")
    return cases
