"""Configurations."""

from pathlib import Path
from typing import Any

import pytest

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.evaluation.choices import Softmax
from DynamicSegLib.training.config import BankConfig, BundleConfig, DecisionConfig, FoldsConfig
from DynamicSegLib.training.config_reading import from_mapping, read_config
from DynamicSegLib.training.mutual_config import MutualFoldsConfig
from DynamicSegLib.training.v2_config import V2FoldsConfig

SHIPPED = Path(__file__).resolve().parents[2] / "DynamicSegLib" / "training" / "configs"
SMALLEST: dict[str, Any] = {
    "output": "out",
    "data": {"cache": "c", "cases": "l"},
    "candidates": [{"name": "S", "network": "unet2d"}],
    "steps": 5,
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("paper-bank", BankConfig),
        ("paper-decision", DecisionConfig),
        ("small-bank", BankConfig),
        ("small-decision", DecisionConfig),
        ("small-four-bank", BankConfig),
        ("small-neighbours-bank", BankConfig),
        ("gpu-bank", BankConfig),
        ("gpu-decision", DecisionConfig),
        ("gpu-folds", FoldsConfig),
        ("small-folds", FoldsConfig),
        ("small-four-folds", FoldsConfig),
        ("small-neighbours-folds", FoldsConfig),
        ("gpu-v2-folds", V2FoldsConfig),
        ("small-v2-folds", V2FoldsConfig),
        ("gpu-mutual-folds", MutualFoldsConfig),
        ("small-mutual-folds", MutualFoldsConfig),
        ("glioma-bundle", BundleConfig),
        ("shipped-glioma-bundle", BundleConfig),
        ("shipped-glioma-v2-bundle", BundleConfig),
        ("shipped-glioma-mutual-bundle", BundleConfig),
    ],
)
def test_the_shipped_configurations_are_read(name: str, kind: type) -> None:
    assert isinstance(read_config(SHIPPED / f"{name}.yaml", kind), kind)


def test_the_papers_settings_are_the_papers() -> None:
    bank = read_config(SHIPPED / "paper-bank.yaml", BankConfig)
    assert (bank.batch, bank.size, bank.optimiser.learning_rate, bank.optimiser.amsgrad) == (64, (128, 128), 1e-4, True)
    assert bank.detachment.at == 0.75 and bank.cross_entropy == 0.0 and bank.average == 0.0
    decision = read_config(SHIPPED / "paper-decision.yaml", DecisionConfig)
    assert (decision.alpha, decision.softmax, decision.optimiser.learning_rate) == (0.001, Softmax.COST, 1e-2)


def test_values_are_converted_to_their_types() -> None:
    config = from_mapping(BankConfig, {**SMALLEST, "size": [64, 32], "optimiser": {"learning_rate": "1e-4"}}, "here")
    assert config.output == Path("out")
    assert config.size == (64, 32)
    assert config.optimiser.learning_rate == 1e-4
    data = from_mapping(BankConfig, {**SMALLEST, "data": {**SMALLEST["data"], "extra": {"c": "1e-1"}}}, "here").data
    assert data.extra == {"c": 0.1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bathc": 3}, "here: unknown key 'bathc'"),
        ({"optimiser": {"rate": 3}}, "here: optimiser: unknown key 'rate'"),
        ({"steps": "many"}, "here: steps: 'many', where int was expected"),
        ({"size": [1, 2, 3]}, "here: size: 3 values, where 2 were expected"),
        ({"size": [96, 100]}, r"size \(96, 100\): expected sides that are divisible by 8"),
        ({"average": "much"}, "here: average: 'much', where a number was expected"),
        ({"steps": True}, "here: steps: True, where int was expected"),
        ({"steps": -1}, "steps -1: expected 0 or more"),
        ({"log_every": 0}, "log_every 0: expected 1 or more"),
        ({"checkpoint_every": 0}, "checkpoint_every 0: expected 1 or more"),
        ({"batch": 0}, "here: batch 0: expected 1 or more"),
        ({"average": 1.0}, r"average 1\.0: expected 0 or more and below 1"),
        ({"precision": "fp16"}, "precision: 'fp16', where one of fp32, bf16 was expected"),
        ({"optimiser": {"learning_rate": -1}}, r"learning_rate -1\.0: expected above 0"),
        ({"optimiser": {"learning_rate": ".nan"}}, "where a number was expected"),
        ({"augmentation": {"mirror": 1.5}}, r"augmentation\.mirror 1\.5: expected 0 to 1"),
        ({"augmentation": {"noise": -0.1}}, r"augmentation\.noise -0\.1: expected 0 or more"),
        ({"data": {**SMALLEST["data"], "tumour_share": 2}}, r"tumour_share 2\.0: expected 0 to 1"),
        ({"data": {**SMALLEST["data"], "extra": {"c": "lots"}}}, r"extra\.c: 'lots', where a number was expected"),
        ({"data": {**SMALLEST["data"], "extra": {"c": -0.1}}}, r"data\.extra c -0\.1: expected 0 to 1"),
        ({"candidates": []}, "candidates: there are none"),
        ({"candidates": [{"name": n, "network": "unet2d"} for n in "Ss"]}, "called S, s: expected names that differ"),
        (
            {"candidates": [{"name": n, "network": "unet2d"} for n in "SL"], "detachment": {"names": ["M"]}},
            "detachment.names has 'M', which is no candidate: expected some of S, L",
        ),
        ({"started_from": "glioma"}, "here: unknown key 'started_from'"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        from_mapping(BankConfig, {**SMALLEST, **change}, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"until": 1.5}, "until 1.5: expected"), ({"batch": 0}, "batch 0: expected"), ({"size": [96, 100]}, "by 8")],
)
def test_small_crops_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    early = {"until": 0.6, "size": [96, 96], "batch": 12}
    assert from_mapping(BankConfig, {**SMALLEST, "progressive": early}, "here").progressive is not None
    assert from_mapping(BankConfig, {**SMALLEST, "progressive": None}, "here").progressive is None
    with pytest.raises(TrainingError, match=message):
        from_mapping(BankConfig, {**SMALLEST, "progressive": {**early, **change}}, "here")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(TrainingError, match="here: 'steps' is missing"):
        from_mapping(BankConfig, {key: value for key, value in SMALLEST.items() if key != "steps"}, "here")


def test_an_unknown_choice_lists_the_known_ones() -> None:
    values = {"output": "o", "data": SMALLEST["data"], "banks": [], "overlaps": "v", "steps": 1, "softmax": "all"}
    with pytest.raises(TrainingError, match="one of none, score, cost, both was expected"):
        from_mapping(DecisionConfig, values, "here")


def test_a_file_that_is_no_mapping_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("- 1", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"x\.yaml holds list"):
        read_config(tmp_path / "x.yaml", BankConfig)
    with pytest.raises(TrainingError, match="cannot be read"):
        read_config(tmp_path / "absent.yaml", BankConfig)
    (tmp_path / "latin.yaml").write_bytes("name: Bösartig".encode("latin-1"))
    with pytest.raises(TrainingError, match="cannot be read as YAML in UTF-8"):
        read_config(tmp_path / "latin.yaml", BankConfig)


def test_an_override_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("steps: 1", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"--set size=\[1, 2: the value is not YAML \(while parsing .*, line 1"):
        read_config(tmp_path / "x.yaml", BankConfig, ["size=[1, 2"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 1.5}, r"alpha 1\.5: expected 0 to 1"),
        ({"skip_weight": -1}, r"skip_weight -1\.0: expected 0 or more"),
        ({"blank_share": 2}, r"blank_share 2\.0: expected 0 to 1"),
    ],
)
def test_weights_and_shares_of_the_decision_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    values = {"output": "o", "data": SMALLEST["data"], "banks": [], "overlaps": "v", "steps": 1}
    with pytest.raises(TrainingError, match=message):
        from_mapping(DecisionConfig, {**values, **change}, "here")
