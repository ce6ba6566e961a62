"""The stages as the command line calls them: fine-tuning, and memory that does not suffice."""

import json
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
from DynamicSegLib.training.config import BankConfig, BundleConfig, CandidateConfig, DataConfig, DecisionConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.export import BANK_FILE, DECISION_FILE, read_bank
from DynamicSegLib.training.guards import clear_memory_errors
from DynamicSegLib.weights import Storage, load_weights
from Testing.Library.test_training_bank_run import config_of
from Testing.Library.test_training_decision_run import config_of as decision_config_of
from Testing.Library.test_training_folds import TASK, write
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
        stages._router_state(str(alone.folder), bundle.bank)


def test_a_router_of_other_options_cannot_start_a_decision_network(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    bundle = write_tiny_bundle(tmp_path)
    first = bundle.bank.candidates[0]
    stages.train_bank(config_of(tmp_path, steps=0, candidates=(as_config(first, "crop16"),)), CPU)
    with pytest.raises(TrainingError, match=r"chooses among skip, S, L, where skip, crop16 were expected"):
        stages.train_decision(decision_config(tmp_path), CPU, str(bundle.folder))


def test_a_router_of_another_backbone_cannot_start_a_decision_network(tmp_path: Path) -> None:
    tiny_cache(tmp_path)
    bundle = write_tiny_bundle(tmp_path)
    stages.train_bank(config_of(tmp_path, steps=0), CPU)
    config = decision_config(tmp_path, backbone="ghostnet-0.5x")
    with pytest.raises(TrainingError, match=r"are of another one, where a ghostnet-0.5x for 2 candidates was expected"):
        stages.train_decision(config, CPU, str(bundle.folder))


def as_config(candidate: Candidate, name: str) -> CandidateConfig:
    return CandidateConfig(name, candidate.network, dict(candidate.arguments))


def decision_config(folder: Path, **changes: object) -> DecisionConfig:
    """Of the bank of `config_of`, trained on the same cases."""
    task = write(folder / "task.yaml", TASK)
    return decision_config_of(
        folder, **{"banks": (folder / "run",), "task": task, "steps": 0, "size": (24, 24), **changes}
    )


def bundle_config(folder: Path, fold: int, **changes: object) -> BundleConfig:
    """Of the bank and the decision network of `config_of` and `decision_config`."""
    return BundleConfig(
        **{
            "output": folder / "bundles",
            "name": "tiny",
            "banks": (folder / "run",),
            "decision": folder / "decision",
            "cache": folder / "cache",
            "cases": folder / "cases.csv",
            "folds": (fold,),
            "validation": folder / "validation",
            "task": str(folder / "task.yaml"),
            **changes,
        }  # type: ignore[arg-type]
    )


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A bank and a decision network, both of the cases 0 and 1."""
    tiny_cache(tmp_path)
    stages.train_bank(config_of(tmp_path, steps=0), CPU)
    stages.train_decision(decision_config(tmp_path), CPU)
    return tmp_path


def test_a_bundle_is_not_judged_on_cases_that_its_runs_were_trained_on(trained: Path) -> None:
    said: list[str] = []
    with pytest.raises(TrainingError, match=r"folds \[1\]: .*run was trained on case1, .*data.folds"):
        stages.make_bundle(bundle_config(trained, 1), CPU, said.append)
    assert not (trained / "bundles").exists()
    card = stages.make_bundle(bundle_config(trained, 2), CPU, said.append).card
    assert "## Figures on 1 held-out case\n" in card and "The runs did not learn from them." in card
    assert "- S, L: 0 steps, seed 1, ended on " in card
    assert "- S, L, decision network learned from 2 cases: case0, case1." in card
    assert "not calibrated, for lack of other cases" in card and "calibrated on the other cases" not in card
    assert "**Licence.** not stated" in card


def test_a_decision_network_of_other_cases_than_its_bank_counts_too(trained: Path) -> None:
    config = decision_config(
        trained, output=trained / "other", data=DataConfig(trained / "cache", trained / "cases.csv")
    )
    stages.train_decision(config, CPU)
    with pytest.raises(TrainingError, match=r"folds \[2\]: .*other was trained on case2"):
        stages.make_bundle(bundle_config(trained, 2, decision=trained / "other"), CPU, lambda text: None)


def test_runs_without_a_record_still_become_a_bundle_and_the_card_says_so(trained: Path) -> None:
    (trained / "decision" / DECISION_FILE).unlink()
    content = json.loads((trained / "run" / BANK_FILE).read_text(encoding="utf-8"))
    del content["run"]
    (trained / "run" / BANK_FILE).write_text(json.dumps(content), encoding="utf-8")
    card = stages.make_bundle(bundle_config(trained, 1), CPU, lambda text: None).card
    assert "Not every run recorded its cases" in card and "## Runs" not in card


def test_a_bank_that_saw_the_cases_of_its_decision_network_is_warned_of(trained: Path) -> None:
    said: list[str] = []
    stages.train_decision(decision_config(trained), CPU, report=said.append)
    assert next(text for text in said if text.startswith("Warning: ")).count("case0, case1") == 1
    said.clear()
    unseen = DataConfig(trained / "cache", trained / "cases.csv", (2,))
    stages.train_decision(decision_config(trained, output=trained / "other", data=unseen), CPU, report=said.append)
    assert not any("Warning" in text for text in said)


def test_a_decision_network_of_another_bank_is_refused(trained: Path) -> None:
    first = read_bank(trained / "run").candidates[0]
    alike = (as_config(first, "X"), as_config(first, "Y"))
    stages.train_bank(config_of(trained, steps=0, candidates=alike, output=trained / "alike"), CPU)
    config = bundle_config(trained, 2, banks=(trained / "alike",))
    with pytest.raises(TrainingError, match=r"decision chooses from S, L, where X, Y were expected"):
        stages.make_bundle(config, CPU, lambda text: None)
    config = bundle_config(trained, 2, backbone="ghostnet-0.5x")
    with pytest.raises(TrainingError, match=r"where a ghostnet-0\.5x for S, L was expected"):
        stages.make_bundle(config, CPU, lambda text: None)
    config = bundle_config(trained, 2, decision=trained / "nowhere")
    with pytest.raises(TrainingError, match="nowhere holds no finished decision network"):
        stages.make_bundle(config, CPU, lambda text: None)


def test_the_card_names_the_bundle_that_a_run_went_on_from(trained: Path) -> None:
    stages.train_bank(config_of(trained, steps=0, started_from="glioma 0123456789abcdef"), CPU)
    card = stages.make_bundle(bundle_config(trained, 2), CPU, lambda text: None).card
    assert "- S, L: 0 steps, seed 1, from the weights of bundle glioma 0123456789abcdef, ended on " in card
    assert "what the bundle that they went on from had learned from is not known" in card


def test_the_small_configurations_hold_out_what_their_bundle_is_judged_on() -> None:
    configs = Path(stages.__file__).parent / "configs"
    bundle = read_config(configs / "glioma-bundle.yaml", BundleConfig)
    assert bundle.training == {} and "licence" not in bundle.facts
    for name, kind in {"small-bank": BankConfig, "small-decision": DecisionConfig}.items():
        folds = read_config(configs / f"{name}.yaml", kind).data.folds
        assert folds and not set(folds) & set(bundle.folds), name


def test_int8_models_are_made_again_where_the_bank_changed(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def quantise(bank: Bank, _: object, folder: Path) -> dict[str, Path]:
        made.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return {"S": folder / "S.xml"}

    monkeypatch.setattr(stages, "quantise_bank", quantise)
    config, data = bundle_config(trained, 2, int8_slices=4), DataConfig(trained / "cache", trained / "cases.csv")
    for seed in (1, 1, 2):
        stages.train_bank(config_of(trained, steps=0, seed=seed, output=trained / str(seed)), CPU)
        bank = read_bank(trained / str(seed))
        models = stages.quantised(config, bank, data, trained / "int8", lambda text: None)
        assert models == {"S": trained / "int8" / "S.xml"}
    assert len(made) == 2


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
