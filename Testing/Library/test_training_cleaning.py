"""Cleaning in training: held-out figures are of cleaned labels, kept apart from others; thresholds are measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.bank import Bank
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cleaning import Cleaning, SmallLabel, clean
from DynamicSegLib.cost import Cost
from DynamicSegLib.errors import BundleError
from DynamicSegLib.evaluation.metrics import Score, score_volume
from DynamicSegLib.evaluation.policies import DYNAMIC, ORACLE, SKIP_ONLY
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.networks.decision import DecisionNetwork
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.routing import Prediction
from DynamicSegLib.training import mutual_table, v2_judging, validation
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.cleaning_choice import (
    CleaningTrial,
    Thresholds,
    trial_markdown,
    try_thresholds,
    value,
)
from DynamicSegLib.training.config import CandidateConfig, FoldsConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.export import export_bank, read_bank
from DynamicSegLib.training.folds import CrossValidation
from DynamicSegLib.training.found_labels import CleanedLabels, FoundLabels
from DynamicSegLib.training.mutual_table import score_cases
from DynamicSegLib.training.task import read_task
from DynamicSegLib.training.v2_judging import judge
from DynamicSegLib.training.validation import Validator
from DynamicSegLib.weights import Storage, save_weights
from Testing.Library.test_training_folds import TASK, run_command, write, write_configs
from Testing.Library.training_cases import tiny_cache

CPU = torch.device("cpu")
STRUCTURES = Structures({"WT": (1, 2), "TC": (2,)})
# Everything of class 2 becomes class 1, and only the largest part stays.
EVERYTHING = Cleaning(1e6, {2: SmallLabel(1e6, 1)})
MILLIMETRE = (1.0, 1.0, 1.0)


def found_labels() -> FoundLabels:
    """A tumour of 64 voxels without core. Found: the tumour, an island of 4 voxels, and 2 voxels of core."""
    reference = np.zeros((6, 20, 20), np.uint8)
    reference[1:5, 4:8, 4:8] = 1
    found = reference.copy()
    found[2, 5, 5:7] = 2
    found[2, 18, 12:16] = 1
    return FoundLabels(found[None], reference, MILLIMETRE)


ALL = np.ones(6, np.int64)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("bank")
    arguments = {"in_channels": 2, "out_channels": 3}
    candidates = tuple(CandidateConfig(f"U{base}", "unet2d", {**arguments, "base": base}) for base in (2, 4))
    torch.manual_seed(3)
    states = {}
    for each in candidates:
        network = build_network(each.network, each.arguments)
        torch.nn.init.normal_(network.decoder.head.weight, std=0.5)  # so that several classes are found
        states[each.name] = network.state_dict()
    export_bank(folder, candidates, states, modalities=2)
    return read_bank(folder)


@pytest.fixture
def case(tmp_path: Path) -> CachedCase:
    return tiny_cache(tmp_path, cases=1)[0]


def validator(bank: Bank, folder: Path, cleaning: Cleaning | None = None) -> Validator:
    torch.manual_seed(4)
    network = DecisionNetwork("shufflenetv2-m", 2, 2).eval()
    return Validator(bank, network, STRUCTURES, 0.001, folder, CPU, cleaning=cleaning)


def test_found_labels_come_back_and_score_the_same_although_the_plane_is_cropped(tmp_path: Path) -> None:
    labels = found_labels()
    labels.save(tmp_path / "case.npz")
    read = FoundLabels.load(tmp_path / "case.npz")

    assert read.found.shape == (1, 6, 17, 14) and read.spacing_mm == MILLIMETRE
    for cleaning in (None, Cleaning(0.005)):
        assert read.scores(ALL, cleaning, STRUCTURES) == labels.scores(ALL, cleaning, STRUCTURES)
    dice = CleanedLabels(read, EVERYTHING, STRUCTURES).volume_dice(ALL)
    assert dice == {"WT": 1.0, "TC": 1.0}
    assert CleanedLabels(read, EVERYTHING, STRUCTURES).volume_dice(0 * ALL) == {"WT": 0.0, "TC": 1.0}


def test_a_case_in_which_nothing_was_found_is_kept_too(tmp_path: Path) -> None:
    empty = np.zeros((3, 8, 8), np.uint8)
    FoundLabels(empty[None], empty, MILLIMETRE).save(tmp_path / "case.npz")

    assert FoundLabels.load(tmp_path / "case.npz").found.shape[:2] == (1, 3)


def test_held_out_cases_are_scored_as_a_user_gets_them(bank: Bank, case: CachedCase, tmp_path: Path) -> None:
    cleaned = validator(bank, tmp_path / "kept", EVERYTHING)
    (result,) = cleaned.validate([case])

    labels = cleaned.found(case)
    for policy in ("U2", "U4", DYNAMIC):
        plain = labels.volume(result.plans[policy], None)
        expected = clean(plain, case.record.spacing_mm, EVERYTHING)
        assert result.scores[policy] == score_volume(expected, labels.reference, STRUCTURES, case.record.spacing_mm)
    reached = cleaned.reached(result).volume_dice(result.plans["U4"])
    assert reached == pytest.approx({name: score.dice for name, score in result.scores["U4"].items()})


def test_held_out_cases_are_judged_with_second_looks_and_kept_apart(
    bank: Bank, case: CachedCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = case.record.shape[0]
    choice = np.zeros(slices, np.int64)
    choice[3] = 2
    predicted = Prediction(np.full((slices, 3), 0.5, np.float32), np.full(slices, 99, np.float32), choice)
    monkeypatch.setattr(Validator, "predict", lambda *_: predicted)
    plain = validator(bank, tmp_path / "kept")
    looking = replace(plain, second_look_mm2=1.0)
    (before,), (after,) = plain.validate([case]), looking.validate([case])

    found = looking.found_mm2(after)
    assert found.shape == (slices, 2) and (found == plain.found_mm2(before)).all()
    assert before.plans[DYNAMIC].tolist() == choice.tolist()
    assert after.plans[DYNAMIC][2:5].tolist() == [2, 2, 2]
    assert after.plans["skip, else U4"][2:5].tolist() == [2, 2, 2]
    for policy in ("U2", "U4", ORACLE, SKIP_ONLY):
        assert after.plans[policy].tolist() == before.plans[policy].tolist()
    assert plain.validate([case])[0].plans[DYNAMIC].tolist() == choice.tolist()


def test_results_of_other_rules_are_kept_apart_and_run_no_network(
    bank: Bank, case: CachedCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept"
    (plain,) = validator(bank, folder).validate([case])
    monkeypatch.setattr(validation, "run_bank", lambda *_: pytest.fail("the bank ran again"))
    (cleaned,) = validator(bank, folder, EVERYTHING).validate([case])

    assert cleaned.scores["U4"] != plain.scores["U4"]
    assert validator(bank, folder).validate([case])[0].scores == plain.scores
    assert validator(bank, folder, EVERYTHING).validate([case])[0].scores == cleaned.scores
    assert validator(bank, folder, Cleaning()).validate([case])[0].scores == plain.scores


def test_the_query_table_measures_cleaned_labels_and_keeps_them_apart(
    bank: Bank, case: CachedCase, tmp_path: Path
) -> None:
    (plain,) = score_cases([case], bank, STRUCTURES, tmp_path, CPU, distances=False)
    (cleaned,) = score_cases([case], bank, STRUCTURES, tmp_path, CPU, distances=False, cleaning=EVERYTHING)

    networks = [candidate.build().eval() for candidate in bank.candidates]
    results = mutual_table.run_bank(bank, networks, case.volumes(), 1.0, CPU)
    for candidate, result in zip(bank.candidates, results, strict=True):
        volume = clean(result, case.record.spacing_mm, EVERYTHING)
        expected = score_volume(volume, case.classes(), STRUCTURES, case.record.spacing_mm)
        assert cleaned[candidate.name] == {name: [pytest.approx(score.dice)] for name, score in expected.items()}
    assert plain != cleaned
    assert score_cases([case], bank, STRUCTURES, tmp_path, CPU, distances=False) == [plain]


def test_every_threshold_is_tried_on_both_faults() -> None:
    tried = try_thresholds(found_labels(), ALL, STRUCTURES, {2: 1})

    assert len(tried) == 30
    plain, mended = tried[Thresholds()], tried[Thresholds(0.1, 0.05)]
    assert plain["WT"].dice == pytest.approx(2 * 64 / (64 + 68)) and plain["TC"] == Score(0.0, 373.13)
    assert mended == {"WT": Score(1.0, 0.0), "TC": Score(1.0, 0.0)}
    assert tried[Thresholds(0.1, 0.0)]["TC"] == plain["TC"] and tried[Thresholds(0.0, 0.05)]["WT"] == plain["WT"]
    assert len(try_thresholds(found_labels(), ALL, STRUCTURES, {})) == 5


def scores(dice: float, hd95_mm: float = 0.0) -> dict[str, Score]:
    return {"WT": Score(dice, hd95_mm)}


def test_dice_and_distance_both_count() -> None:
    assert value(scores(0.8, 37.313)) == pytest.approx(0.7)
    assert value({"WT": Score(1.0, 0.0), "ET": Score(0.0, 373.13)}) == pytest.approx(0.0)


def test_the_best_thresholds_are_those_of_the_best_mean_and_among_equals_the_least() -> None:
    low, high = Thresholds(0.1), Thresholds(0.3)
    trial = CleaningTrial(
        {
            "a": {Thresholds(): scores(0.5), low: scores(0.8), high: scores(0.8)},
            "b": {Thresholds(): scores(0.6), low: scores(0.5), high: scores(0.5)},
        }
    )

    assert trial.best == low


def test_a_case_has_no_say_in_the_thresholds_that_it_is_judged_with() -> None:
    high = Thresholds(1.0)
    trial = CleaningTrial(
        {
            "a": {Thresholds(): scores(0.1), high: scores(0.9)},
            "b": {Thresholds(): scores(0.6), high: scores(0.5)},
            "c": {Thresholds(): scores(0.6), high: scores(0.5)},
        }
    )

    assert trial.best == high
    assert trial.left_out() == {"a": scores(0.1), "b": scores(0.5), "c": scores(0.5)}


def test_the_tables_show_each_threshold_and_what_the_choice_is_worth() -> None:
    labels = found_labels()
    tried = try_thresholds(labels, ALL, STRUCTURES, {2: 1})
    text = trial_markdown(CleaningTrial({"a": tried, "b": tried}))

    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == ["islands below, mL", "WT Dice", "TC Dice", "WT HD95 mm", "TC HD95 mm", "value"]
    assert [row[0] for row in rows[1:6]] == ["0", "0.1", "0.3", "1", "3"]
    assert rows[6][0] == "labels below, mL (islands 0.1)"
    assert [row[0] for row in rows[7:13]] == ["0", "0.05", "0.1", "0.2", "0.5", "1"]
    assert rows[13][0] == "thresholds, 2 cases"
    assert rows[15] == ["chosen on all cases: islands 0.1 mL, labels 0.05 mL", *["1.0000"] * 2, *["0.00"] * 2, "1.0000"]
    assert rows[16][1:] == rows[15][1:]


def test_the_command_tries_thresholds_on_the_held_out_cases_of_a_bundle(
    bank: Bank, case: CachedCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = validator(bank, tmp_path / "unused").network
    (tmp_path / "decision").mkdir()
    save_weights(tmp_path / "decision" / "router.safetensors", network.state_dict(), Storage.FLOAT32)
    assert bank.candidates[0].weights is not None
    task = {**TASK, "optional": {20: 10}}
    config = {
        "output": "unused",
        "name": "squares",
        "banks": [str(bank.candidates[0].weights.parent)],
        "decision": str(tmp_path / "decision"),
        "cache": str(case.folder.parent),
        "cases": str(tmp_path / "cases.csv"),
        "folds": [0],
        "validation": str(tmp_path / "validation"),
        "task": write(tmp_path / "task.yaml", task),
    }

    assert run_command("cleaning", "--config", write(tmp_path / "bundle.yaml", config), "--device", "cpu") == 0

    text = capsys.readouterr().out
    assert text.startswith("| islands below, mL |")
    assert "| labels below, mL (islands " in text and "| chosen on the other cases | " in text
    assert (tmp_path / "validation" / "labels" / "case0.npz").is_file()


CLEANS = {"smallest_island_ml": 0.01, "smallest_label_ml": {20: {"millilitres": 0.5, "becomes": 10}}}


def configured(folder: Path, cleaning: object) -> FoldsConfig:
    """The tiny cross-validation whose bundle cleans."""
    config = read_config(write_configs(folder), FoldsConfig)
    content = yaml.safe_load(config.bundle.read_text(encoding="utf-8"))
    write(config.bundle, {**content, "cleaning": cleaning})
    return config


def test_rules_that_do_not_fit_the_task_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"task 'squares': smallest_label_ml of label 4: 4, where one of .* 10, 20"):
        CrossValidation(
            configured(tmp_path, {"smallest_label_ml": {4: {"millilitres": 1, "becomes": 10}}}), CPU, lambda text: None
        )


def test_a_cross_validation_judges_and_ships_what_its_bundle_cleans(tmp_path: Path) -> None:
    run = CrossValidation(configured(tmp_path, CLEANS), CPU, lambda text: None)
    assert run.cleaning == Cleaning(0.01, {2: SmallLabel(0.5, 1)})

    bundle = run.bundle()

    assert bundle.cleaning == Cleaning(0.01, {20: SmallLabel(0.5, 10)})
    assert "- inner of less than 0.5 mL in the whole case becomes outer." in bundle.card
    assert "- Connected parts of less than 0.01 mL become background" in bundle.card
    # No inner square has 0.5 mL, so that none is left.
    assert {point.measured["TC"] for point in bundle.curve} == {0.0}
    text = trial_markdown(run.try_cleaning())
    assert "thresholds, 3 cases" in text and "labels below" not in text


def test_med_danet_v2_is_judged_on_cleaned_labels(
    bank: Bank, case: CachedCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = read_task(write(tmp_path / "task.yaml", TASK))
    found = case.classes()
    found[0, 0, 0] = 2
    runner = type("Runner", (), {"__init__": lambda *_: None, "run": lambda *_: (found, [Cost()] * len(found))})
    monkeypatch.setattr(v2_judging, "CaseRunner", runner)
    bundle = Bundle("v2", "med-danet-v2", task.input, task.labels, bank, None)
    backend = TorchBackend("cpu", "fp32", "test")

    plain = judge(bundle, case, task, backend)
    cleaned = judge(replace(bundle, cleaning=Cleaning(0.01, {20: SmallLabel(1e6, 10)})), case, task, backend)

    assert plain.dice["WT"] < 1 and 0 < plain.dice["TC"] < 1
    assert cleaned.dice == {"WT": 1.0, "TC": 0.0}
