"""What a bank run leaves behind: one safetensors file a candidate and `bank.json`, and the way back from them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.training.config import CandidateConfig
from DynamicSegLib.weights import Storage, save_weights

BANK_FILE = "bank.json"


def export_bank(
    folder: Path, candidates: Sequence[CandidateConfig], states: Mapping[str, Mapping[str, Tensor]], modalities: int
) -> None:
    """Write the weights of a run, float32, and what they belong to."""
    folder.mkdir(parents=True, exist_ok=True)
    finished = []
    for each in candidates:
        file = folder / f"{each.name.lower()}.safetensors"
        save_weights(file, states[each.name], Storage.FLOAT32)
        finished.append(Candidate(each.name, each.network, each.arguments, file, context=Context(each.neighbours_mm)))
    write_bank(folder, finished, modalities)


def write_bank(folder: Path, candidates: Iterable[Candidate], modalities: int) -> None:
    """Write what the weights in a folder belong to, as `read_bank` reads it; each candidate names its file."""
    rows = [{**described(each), "weights": each.weights.name} for each in candidates if each.weights is not None]
    write_text_whole(folder / BANK_FILE, json.dumps({"modalities": modalities, "candidates": rows}, indent=2) + "\n")


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
