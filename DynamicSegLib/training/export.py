"""What a bank run leaves behind: one safetensors file a candidate and `bank.json`, and the way back from them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.training.config import CandidateConfig
from DynamicSegLib.weights import Storage, save_weights

BANK_FILE = "bank.json"


def export_bank(
    folder: Path, candidates: Sequence[CandidateConfig], states: Mapping[str, Mapping[str, Tensor]], channels: int
) -> None:
    """Write the weights of a run, float32, and what they belong to."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for candidate in candidates:
        file = f"{candidate.name.lower()}.safetensors"
        save_weights(folder / file, states[candidate.name], Storage.FLOAT32)
        rows.append(
            {
                "name": candidate.name,
                "network": candidate.network,
                "arguments": candidate.arguments,
                "neighbours_mm": candidate.neighbours_mm,
                "weights": file,
            }
        )
    write_text_whole(folder / BANK_FILE, json.dumps({"channels": channels, "candidates": rows}, indent=2) + "\n")


def read_bank(*folders: Path) -> Bank:
    """The bank of one run, or of several individual runs together, in the order given."""
    candidates: list[Candidate] = []
    channels = 0
    for folder in folders:
        try:
            content = json.loads((folder / BANK_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{folder} holds no finished bank ({error}): run `dynamicseg train bank` to its end first."
            ) from error
        channels = content["channels"]
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
    return Bank(tuple(candidates), channels)


def describes(bank: Bank, candidates: Sequence[CandidateConfig]) -> bool:
    """Whether a finished bank has just these networks, of these arguments, that see these neighbours."""
    finished = [(c.name, c.network, c.arguments, c.context.neighbours_mm) for c in bank.candidates]
    return finished == [(c.name, c.network, c.arguments, c.neighbours_mm) for c in candidates]
