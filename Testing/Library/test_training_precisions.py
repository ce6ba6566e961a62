"""Lower precisions: int8 made by NNCF with the bundle, all of them judged on labelled cases, run later without NNCF."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("nncf", reason="nncf is not installed: pip install 'DynamicSeg[int8]'")
pytest.importorskip("openvino", reason="openvino is not installed: pip install 'DynamicSeg[openvino]'")

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.base import Deferred
from DynamicSegLib.backends.openvino_backend import OpenvinoBackend
from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import Bundle, Label, read_bundle
from DynamicSegLib.bundles import write_bundle
from DynamicSegLib.context import Context
from DynamicSegLib.errors import BackendError, BundleError, TrainingError
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.networks.classes import ClassesOnly
from DynamicSegLib.networks.registry import build_network
from DynamicSegLib.study import InputSpec
from DynamicSegLib.training import precisions
from DynamicSegLib.training.precisions import (
    Precisions,
    calibration_slices,
    joined,
    judge,
    quantise_bank,
    require_packages,
)
from DynamicSegLib.weights import Storage, load_weights, save_weights
from Testing.Library.training_cases import tiny_cache
from Testing.tiny import write_tiny_bundle
from Testing.tiny_methods import tiny_study

SLICES = np.random.default_rng(0).normal(size=(5, 2, 24, 32)).astype(np.float32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path))


def tiny_bank(folder: Path) -> Bank:
    """One UNet of two channels and three classes, whose classes vary."""
    arguments = {"in_channels": 2, "out_channels": 3, "base": 4}
    torch.manual_seed(0)
    network = build_network("unet2d", arguments)
    nn.init.normal_(network.decoder.head.weight, std=0.5)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / "s.safetensors", network.state_dict(), Storage.FLOAT32)
    return Bank((Candidate("S", "unet2d", arguments, folder / "s.safetensors"),), 2)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle with int8 models of both candidates."""
    folder = tmp_path_factory.mktemp("quantised")
    bundle = write_tiny_bundle(folder / "plain")
    models = quantise_bank(bundle.bank, lambda _: tiny_study().volumes.swapaxes(0, 1), folder / "int8")
    states = {c.name: load_weights(c.weights) for c in bundle.bank.candidates if c.weights is not None}
    assert bundle.router is not None and bundle.router.weights is not None
    router = load_weights(bundle.router.weights)
    described = replace(bundle, int8=models, dice_lost={"int8": 0.0004})
    return write_bundle(folder / "tiny", described, states, router, "# Tiny", Storage.FLOAT32)


def no_network() -> nn.Module:
    raise AssertionError("the network was built")


def test_int8_computes_in_8_bits_at_any_size_and_differs_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = tiny_bank(tmp_path / "bank")
    models = quantise_bank(bank, lambda _: SLICES, tmp_path / "int8")
    seen: list[object] = []
    runner = openvino_models.runner
    monkeypatch.setattr(openvino_models, "runner", lambda model: seen.append(model) or runner(model))
    exact = Deferred(lambda: ClassesOnly(bank.candidates[0].build()))
    for size in ((24, 32), (40, 16)):
        slices = np.random.default_rng(1).normal(size=(4, 2, *size)).astype(np.float32)
        (found,) = OpenvinoBackend("int8", "").compile(Deferred(no_network, "tiny", models["S"]), 2, size)(slices)
        (expected,) = OpenvinoBackend("fp32", "").compile(exact, 2, size)(slices)
        assert len(np.unique(expected)) == 3
        assert 0.85 < (expected == found).mean() < 1
    facts = [node.get_rt_info() for node in seen[0].get_runtime_model().get_ordered_ops()]  # type: ignore[attr-defined]
    kinds = [
        str(fact["runtimePrecision"].astype(str)) for fact in facts if fact["layerType"].astype(str) == "Convolution"
    ]
    assert {kinds[0], kinds[-1]} == {"f32"}, "the first and the last stay as they are"
    assert len(kinds) > 2 and set(kinds[1:-1]) <= {"u8", "i8"}
    assert capsys.readouterr().out == ""


def test_models_that_are_there_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = tiny_bank(tmp_path / "bank")
    first = quantise_bank(bank, lambda _: SLICES, tmp_path / "int8")
    monkeypatch.setattr(Candidate, "build", lambda *_: no_network())
    assert quantise_bank(bank, lambda _: SLICES, tmp_path / "int8") == first


def test_missing_packages_are_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    require_packages(int8=True)
    monkeypatch.setattr(precisions, "find_spec", lambda name: None if name == "nncf" else name)
    require_packages(int8=False)
    with pytest.raises(TrainingError, match=r"nncf, .* pip install 'DynamicSeg\[int8\]', or set .* int8_slices to 0"):
        require_packages(int8=True)


def test_calibration_slices_are_of_all_cases_and_hold_something(tmp_path: Path) -> None:
    cases = tiny_cache(tmp_path)
    slices = calibration_slices(cases, 12, Context())
    assert slices.shape == (12, 2, 24, 24)
    assert all(each.any() for each in slices)
    assert len({each.tobytes() for each in slices}) > len(cases)
    np.testing.assert_array_equal(calibration_slices(cases, 12, Context((1.0,)))[:, :2], slices)


def test_every_case_is_judged_by_candidate_precision_and_structure(tmp_path: Path) -> None:
    cases = tiny_cache(tmp_path)
    bank = tiny_bank(tmp_path / "bank")
    models = quantise_bank(bank, partial(calibration_slices, cases, 8), tmp_path / "int8")
    labels = (Label(1, "outer", (255, 0, 0)), Label(2, "inner", (0, 255, 0)))
    bundle = Bundle("tiny", "med-danet", InputSpec(("a", "b"), size=(24, 24)), labels, bank, None, int8=models)
    scores = judge(bundle, cases, Structures({"WT": (1, 2), "TC": (2,)}))
    lower = ["bf16", "int8"] if openvino_models.has_bf16() else ["int8"]
    assert list(scores) == ["S"] and list(scores["S"]) == ["fp32", *lower]
    for found in scores["S"].values():
        assert len(found) == len(cases)
        assert all(set(each) == {"WT", "TC"} and all(0 <= dice <= 1 for dice in each.values()) for each in found)
    assert scores["S"]["fp32"] != scores["S"]["int8"]
    assert list(Precisions(scores=scores).dice_lost) == lower


def test_what_is_lost_is_that_of_the_candidate_that_suffers_most() -> None:
    good, bad, worse = {"WT": 0.9, "TC": 0.8}, {"WT": 0.7, "TC": 0.6}, {"WT": 0.9, "TC": 0.79}
    better = {"S": {"fp32": [bad], "bf16": [good]}}
    mixed = {"S": {"fp32": [good, bad], "bf16": [worse, bad]}, "L": {"fp32": [bad], "bf16": [good]}}
    assert Precisions(scores=mixed).dice_lost == {"bf16": pytest.approx(0.0025)}
    assert Precisions(scores=better).dice_lost == {"bf16": pytest.approx(-0.2)}
    assert "| S, bf16 | 0.8000 | 0.6950 |" in Precisions(scores=mixed).markdown()
    assert Precisions().dice_lost == {} and Precisions().markdown() == ""


def test_folds_are_judged_together() -> None:
    one, other = ({"S": {"fp32": [{"WT": dice}], "bf16": [{"WT": dice - 0.1}]}} for dice in (0.9, 0.7))
    assert joined({}, one) == one
    assert joined(one, other)["S"]["fp32"] == [{"WT": 0.9}, {"WT": 0.7}]


def test_a_bundle_carries_its_int8_models_and_runs_them_without_building_a_network(
    quantised: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quantised.dice_lost == {"int8": 0.0004}
    assert {path.name for path in quantised.int8.values()} == {"s-int8.xml", "l-int8.xml"}
    monkeypatch.setattr(Candidate, "build", lambda *_: no_network())
    run = start_run(tiny_study(), quantised, precision="int8")
    for _ in run.execute(run.plan()):
        pass
    result = run.segmentation()
    assert result.facts["precision"] == "int8"
    assert result.labels.any()


def test_auto_takes_a_bundles_int8_where_there_is_no_bf16(quantised: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_models, "has_bf16", lambda: False)

    def chosen(bundle: Bundle, setting: str = "whole") -> str:
        return start_run(tiny_study(), bundle, backend="openvino", setting=setting).backend.facts.precision

    assert chosen(quantised) == "int8"
    assert chosen(quantised, "window") == "fp32"
    assert chosen(replace(quantised, int8={"S": quantised.int8["S"]})) == "fp32"
    assert chosen(replace(quantised, dice_lost={})) == "fp32"


def test_int8_of_a_bundle_without_such_models_is_refused(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    with pytest.raises(BackendError, match=r"Bundle 'tiny' has no int8 model of S .*choose precision fp32 or bf16"):
        start_run(tiny_study(), bundle, precision="int8")


@pytest.mark.parametrize("file", ["s-int8.xml", "l-int8.bin"])
def test_a_damaged_or_missing_int8_model_is_named(quantised: Bundle, tmp_path: Path, file: str) -> None:
    folder = Path(shutil.copytree(quantised.folder, tmp_path / "copy"))
    (folder / file).write_bytes(b"damaged")
    with pytest.raises(BundleError, match=f"{file} has SHA-256"):
        read_bundle(folder)
    (folder / file).unlink()
    with pytest.raises(BundleError, match=f"{file} is missing"):
        read_bundle(folder)
