"""The stages as the command line calls them: fine-tuning, and memory that does not suffice."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import Bundle, Label, RouterSpec
from DynamicSegLib.bundles import write_bundle
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.decision import DecisionNetwork
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.study import InputSpec
from DynamicSegLib.training import stages
from DynamicSegLib.training.bank_run import BankRun
from DynamicSegLib.training.config import CandidateConfig
from DynamicSegLib.training.export import read_bank
from DynamicSegLib.training.guards import clear_memory_errors
from DynamicSegLib.weights import Storage, load_weights
from Testing.Library.test_training_bank_run import config_of
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")


def write_tiny_bundle(folder: Path) -> Bundle:
    """A bundle with the candidates of `config_of`, random weights."""
    torch.manual_seed(7)
    candidates = tuple(Candidate(c.name, c.network, c.arguments) for c in config_of(folder).candidates)
    bundle = Bundle(
        name="tiny",
        method="med-danet",
        input=InputSpec(("a", "b"), size=(24, 24)),
        labels=(Label(1, "outer", (255, 0, 0)), Label(2, "inner", (0, 255, 0))),
        bank=Bank(candidates, 2),
        router=RouterSpec("shufflenetv2-m", {}),
    )
    states = {c.name: build_network(c.network, c.arguments).state_dict() for c in candidates}
    router = DecisionNetwork("shufflenetv2-m", 2, 2).state_dict()
    return write_bundle(folder / "tiny", bundle, states, router, "# Tiny", Storage.FLOAT32)


def test_fine_tuning_starts_from_the_bundles_weights(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    bundle = write_tiny_bundle(tmp_path)
    stages.train_bank(config_of(tmp_path, steps=0), CPU, str(bundle.folder))
    exported = read_bank(tmp_path / "run")
    for before, after in zip(bundle.bank.candidates, exported.candidates, strict=True):
        assert before.weights is not None and after.weights is not None
        old, new = load_weights(before.weights), load_weights(after.weights)
        assert all(torch.equal(value, new[name]) for name, value in old.items())


def test_a_bundle_with_none_of_the_candidates_is_refused_and_names_its_own(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    bundle = write_tiny_bundle(tmp_path)
    other = CandidateConfig("X", "unet2d", {"in_channels": 2, "out_channels": 3, "base": 4})
    with pytest.raises(TrainingError, match="has S, L, but none of X to start from"):
        stages.train_bank(config_of(tmp_path, candidates=(other,)), CPU, str(bundle.folder))
    as_another = replace(other, starts_as="S")
    stages.train_bank(config_of(tmp_path, candidates=(as_another,), steps=0), CPU, str(bundle.folder))


def test_a_bundle_without_router_cannot_start_a_decision_network(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    states = {c.name: load_weights(c.weights) for c in bundle.bank.candidates if c.weights is not None}
    alone = write_bundle(tmp_path / "alone", replace(bundle, router=None), states, None, "# Alone")
    with pytest.raises(TrainingError, match="no router to start from"):
        stages._router_state(str(alone.folder))


def test_memory_that_does_not_suffice_says_what_to_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_cache(tmp_path)

    def fail(_: BankRun, __: object) -> dict[str, float]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(BankRun, "one_step", fail)
    with pytest.raises(TrainingError, match=r"batch 4 and size 16 x 16 does not fit into memory .*lower batch"):
        BankRun(config_of(tmp_path), CPU).train()


def test_other_faults_are_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="shape"), clear_memory_errors(1, (8, 8)):
        raise RuntimeError("shape mismatch")
    with pytest.raises(TrainingError), clear_memory_errors(1, (8, 8)):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 10 bytes")
