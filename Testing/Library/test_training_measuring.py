"""Measured results are kept, and made again where the networks are others than those that gave them."""

from pathlib import Path

import pytest
import torch

from DynamicSegLib.bank import Bank
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.networks.decision import DecisionNetwork
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.training import measuring, mutual_table, validation
from DynamicSegLib.training.config import CandidateConfig
from DynamicSegLib.training.export import export_bank, read_bank
from DynamicSegLib.training.measuring import digest_of, keep_measured, measure_cases
from DynamicSegLib.training.mutual_table import score_cases
from DynamicSegLib.training.validation import Validator
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")
STRUCTURES = Structures({"WT": (1, 2), "TC": (2,)})


def bank_in(folder: Path, seed: int) -> Bank:
    """A bank of one tiny network; another seed gives other weights in the same files."""
    candidate = CandidateConfig("S", "unet2d", {"in_channels": 2, "out_channels": 3, "base": 2})
    torch.manual_seed(seed)
    export_bank(folder, (candidate,), {"S": build_network(candidate.network, candidate.arguments).state_dict()}, 2)
    return read_bank(folder)


def note_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one entry whenever a bank runs on a case."""
    runs: list[str] = []
    original = measuring.run_bank
    for module in (measuring, mutual_table, validation):
        monkeypatch.setattr(module, "run_bank", lambda *values: (runs.append("run"), original(*values))[1])
    return runs


def test_overlaps_are_measured_again_where_the_bank_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, runs, said = tiny_cache(tmp_path, 1), note_runs(monkeypatch), list[str]()

    def measure(seed: int, setting: str = "whole") -> None:
        bank = bank_in(tmp_path / "bank", seed)
        measure_cases(cases, bank, STRUCTURES, tmp_path / "overlaps", CPU, said.append, setting)

    measure(1)
    measure(1)
    assert len(runs) == 1 and said == ["case0: measured"]
    measure(2)
    assert len(runs) == 2 and "case0.npz: not of these networks and settings, measured again" in said[1]
    measure(2, "window")
    assert len(runs) == 3


def test_a_result_without_a_digest_is_measured_again(tmp_path: Path) -> None:
    path, said = tmp_path / "case0.json", list[str]()
    path.write_text("old", encoding="utf-8")
    for _ in range(2):
        keep_measured(path, "digest", lambda: path.write_text("new", encoding="utf-8") and None, said.append)
    assert path.read_text(encoding="utf-8") == "new" and len(said) == 1


def test_a_measurement_that_is_interrupted_is_not_taken_for_a_finished_one(tmp_path: Path) -> None:
    path = tmp_path / "case0.json"
    keep_measured(path, "first", lambda: path.write_text("first", encoding="utf-8") and None, lambda _: None)

    def interrupted() -> None:
        path.write_text("second", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_measured(path, "second", interrupted, lambda _: None)
    keep_measured(path, "first", lambda: path.write_text("again", encoding="utf-8") and None, lambda _: None)
    assert path.read_text(encoding="utf-8") == "again"


def test_the_digest_follows_weights_files_networks_and_settings(tmp_path: Path) -> None:
    bank, network = bank_in(tmp_path, 1), DecisionNetwork("shufflenetv2-m", 1, 2)
    before = digest_of(bank, network, "whole")
    assert digest_of(bank, network, "whole") == before
    assert digest_of(bank, network, "window") != before
    with torch.no_grad():
        network.quality.bias.add_(1)
    assert digest_of(bank, network, "whole") != before
    assert digest_of(bank_in(tmp_path, 2)) != digest_of(bank_in(tmp_path, 1))


def test_held_out_cases_are_validated_again_where_bank_or_decision_network_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, runs, said = tiny_cache(tmp_path, 1), note_runs(monkeypatch), list[str]()

    def validate(bank_seed: int, network_seed: int) -> object:
        torch.manual_seed(network_seed)
        network = DecisionNetwork("shufflenetv2-m", 1, 2).eval()
        bank = bank_in(tmp_path / "bank", bank_seed)
        return Validator(bank, network, STRUCTURES, 0.001, tmp_path / "kept", CPU).validate(cases, said.append)[0]

    first = validate(1, 1)
    validate(1, 1)
    assert len(runs) == 1 and not any("measured again" in text for text in said)
    other = validate(1, 2)
    assert (first.prediction.quality != other.prediction.quality).any()  # type: ignore[attr-defined]
    assert len(runs) == 1, "what the bank finds does not depend on who decides"
    validate(2, 2)
    assert len(runs) == 2
    assert sum("case0.npz: not of these networks" in text for text in said) == 1
    assert sum("case0.json: not of these networks" in text for text in said) == 2


def test_the_query_table_is_measured_again_where_the_network_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, runs = tiny_cache(tmp_path, 1), note_runs(monkeypatch)
    for seed in (1, 1, 2):
        score_cases(cases, bank_in(tmp_path / "bank", seed), STRUCTURES, tmp_path / "scores", CPU, distances=False)
    assert len(runs) == 2
