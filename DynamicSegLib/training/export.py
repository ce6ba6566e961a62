"""What runs leave behind: weights, what these belong to, and what the run was; and the way back from them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from torch import Tensor

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.config import CandidateConfig, DecisionConfig, RunConfig
from DynamicSegLib.weights import Storage, save_weights

BANK_FILE = "bank.json"
DECISION_FILE = "decision.json"
ROUTER_FILE = "router.safetensors"


@dataclass(frozen=True)
class RunRecord:
    """What a finished run says of itself.

    cases: all that it was trained on, those of further caches too. start: the bundle that it went on from. finished:
    the day, as in ISO 8601.
    """

    cases: tuple[str, ...]
    steps: int
    seed: int
    start: str | None
    finished: str

    @classmethod
    def of(cls, config: RunConfig, cases: Iterable[CachedCase]) -> "RunRecord":
        """The record of a run that ends today."""
        names = tuple(case.record.case for case in cases)
        return cls(names, config.steps, config.seed, config.started_from, date.today().isoformat())


def recorded_run(folder: Path) -> RunRecord | None:
    """What the run whose output is `folder` says of itself; None for a run of an older version."""
    for path in (folder / BANK_FILE, folder / DECISION_FILE):
        run = json.loads(path.read_text(encoding="utf-8")).get("run") if path.is_file() else None
        if run is not None:
            return RunRecord(**{**run, "cases": tuple(run["cases"])})
    return None


def record_run(folder: Path, run: RunRecord) -> None:
    """Add a run's record to the finished bank in `folder`."""
    content = json.loads((folder / BANK_FILE).read_text(encoding="utf-8"))
    write_text_whole(folder / BANK_FILE, json.dumps({**content, "run": asdict(run)}, indent=2) + "\n")


def export_bank(
    folder: Path,
    candidates: Sequence[CandidateConfig],
    states: Mapping[str, Mapping[str, Tensor]],
    modalities: int,
    run: RunRecord | None = None,
) -> None:
    """Write the weights of a run, float32, what they belong to, and what the run was."""
    folder.mkdir(parents=True, exist_ok=True)
    finished = []
    for each in candidates:
        file = folder / f"{each.name.lower()}.safetensors"
        save_weights(file, states[each.name], Storage.FLOAT32)
        finished.append(Candidate(each.name, each.network, each.arguments, file, context=Context(each.neighbours_mm)))
    write_bank(folder, finished, modalities, run)


def export_decision(
    config: DecisionConfig, state: Mapping[str, Tensor], candidates: Sequence[str], cases: Iterable[CachedCase]
) -> None:
    """Write a decision network, float32, the names of the candidates that it chooses from, and what the run was."""
    run = asdict(RunRecord.of(config, cases))
    content = {"candidates": list(candidates), "choice": _choice(config), "run": run}
    write_text_whole(config.output / DECISION_FILE, json.dumps(content, indent=2) + "\n")
    save_weights(config.output / ROUTER_FILE, state, Storage.FLOAT32)


def decided_candidates(folder: Path) -> list[str] | None:
    """The candidates that the decision network in `folder` chooses from; None for one of an older version."""
    path = folder / DECISION_FILE
    return list(json.loads(path.read_text(encoding="utf-8"))["candidates"]) if path.is_file() else None


def require_choice(config: DecisionConfig) -> None:
    """TrainingError where the finished decision network in `config.output` says that it learned another choice."""
    path, wanted = config.output / DECISION_FILE, _choice(config)
    kept = json.loads(path.read_text(encoding="utf-8"))["choice"] if path.is_file() else wanted
    if kept != wanted:
        raise TrainingError(
            f"The decision network in {config.output} learned with {_written(kept)}, where {_written(wanted)} was "
            "expected: remove that folder to train it again, or name another output."
        )


def _choice(config: DecisionConfig) -> dict[str, Any]:
    return {"alpha": config.alpha, "softmax": config.softmax.value, "backbone": config.backbone}


def _written(choice: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in choice.items())


def write_bank(folder: Path, candidates: Iterable[Candidate], modalities: int, run: RunRecord | None = None) -> None:
    """Write what the weights in a folder belong to, as `read_bank` reads it; each candidate names its file."""
    rows = [{**described(each), "weights": each.weights.name} for each in candidates if each.weights is not None]
    content = {"modalities": modalities, "candidates": rows} | ({} if run is None else {"run": asdict(run)})
    write_text_whole(folder / BANK_FILE, json.dumps(content, indent=2) + "\n")


def described(candidate: Candidate) -> dict[str, Any]:
    """A candidate without its weights as plain values, named as in `CandidateConfig`."""
    return {
        "name": candidate.name,
        "network": candidate.network,
        "arguments": dict(candidate.arguments),
        "neighbours_mm": list(candidate.context.neighbours_mm),
    }


def read_bank(*folders: Path) -> Bank:
    """The bank of one run, or of several individual runs together, in the order given."""
    candidates: list[Candidate] = []
    modalities = 0
    for folder in folders:
        try:
            content = json.loads((folder / BANK_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{folder} holds no finished bank ({error}): run `dynamicseg train bank` to its end first."
            ) from error
        modalities = content["modalities"]
        candidates += [
            Candidate(
                row["name"],
                row["network"],
                row["arguments"],
                folder / row["weights"],
                context=Context(tuple(row.get("neighbours_mm", ()))),
            )
            for row in content["candidates"]
        ]
    return Bank(tuple(candidates), modalities)


def describes(bank: Bank, candidates: Sequence[CandidateConfig]) -> bool:
    """Whether a finished bank has just these networks, of these arguments, that see these neighbours."""
    finished = [(c.name, c.network, c.arguments, c.context.neighbours_mm) for c in bank.candidates]
    return finished == [(c.name, c.network, c.arguments, c.neighbours_mm) for c in candidates]
