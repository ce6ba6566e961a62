"""Med-DANet V2 under the engine: a bundle of tiny networks, slices cropped and whole, at bits that follow them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DynamicSegLib.backends.kernels import Kernels, TorchKernels
from DynamicSegLib.backends.torch_backend import TorchBackend
from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.budget import Budget
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cli.main import main
from DynamicSegLib.context import Context
from DynamicSegLib.cost import Cost, count
from DynamicSegLib.errors import BundleError
from DynamicSegLib.extent import Extent
from DynamicSegLib.geometry import place_working_grid
from DynamicSegLib.methods import med_danet, staged_execution
from DynamicSegLib.methods import med_danet_v2 as v2
from DynamicSegLib.methods.registry import extent_of, start_run
from DynamicSegLib.methods.staged_execution import DynamicExecution
from DynamicSegLib.networks.pieces import AfterEncoder, Stages
from DynamicSegLib.networks.unet import UNet2D
from DynamicSegLib.reporting.tables import decision_rows
from DynamicSegLib.study import Study
from DynamicSegLib.training.v2_judging import CaseRunner
from Testing.tiny import COLUMNS, ROWS
from Testing.tiny_methods import CROP, head_slices, tiny_study, write_tiny_v2_bundle

TORCH = TorchBackend("cpu", "fp32", "test")
# Share of the pixels of a network with random weights, whose classes lie close together.
AROUND = Context((-1.0, 1.0))
AGREEMENT = {"fp32": 0.98, "bf16": 0.95}


class Imitation(TorchKernels):
    """Fake quantisation in float32 everywhere: what training computes."""

    def __init__(self) -> None:
        super().__init__("cpu")

    def keeps_quantisers(self, bits: int) -> bool:
        return True


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_v2_bundle(tmp_path_factory.mktemp("v2"))


def test_the_reference_bundle_is_the_papers_policy_space() -> None:
    bundle = v2.reference_bundle(128)
    assert bundle.bank.options == ("skip", "crop96", "whole")
    costs = bundle.bank.costs((128, 128))
    assert costs[0] == Cost()
    assert 0 < costs[1].macs < costs[2].macs


def test_candidates_of_the_papers_other_spaces_can_be_built_and_counted() -> None:
    for candidates in (v2.candidates((32, 64), (8, 12, 16)), v2.candidates((64,), base="transbts2d", size=128)):
        costs = [each.cost((128, 128), 4).macs for each in candidates]
        assert costs == sorted(costs)
    assert len(v2.candidates(())) == 1


def test_a_space_for_each_stage_costs_its_widest_bits_and_has_fewer_selectors() -> None:
    """As a bank on disk names them: lists."""
    (whole,) = v2.candidates((), [[8, 16], [8], [8], [8]])
    (everywhere,) = v2.candidates((), [8, 16])
    ours, widest = (each.cost((128, 128), 4) for each in (whole, everywhere))
    selectors = sum((16 << index) * 16 + 16 + 2 * 16 for index in range(1, 4))
    assert whole.arguments["bits"] == [[8, 16], [8], [8], [8]]
    assert widest.macs - ours.macs == selectors
    stages = (169_869_312, 169_869_312, 301_989_888)
    # What the selectors look at costs no multiply-accumulates, but paper FLOPs.
    assert widest.paper_flops - ours.paper_flops == pytest.approx(sum(stages) * 8 / 32, rel=5e-3)


def test_candidates_of_one_network_are_one_file(bundle: Bundle) -> None:
    assert bundle.folder is not None
    assert sorted(path.name for path in bundle.folder.glob("*.safetensors")) == [
        "router.safetensors", "shared.safetensors",
    ]  # fmt: skip
    assert v2.network_of(bundle).crops == (CROP,)


def test_candidates_of_two_networks_are_refused(bundle: Bundle) -> None:
    first, last = bundle.bank.candidates
    other = replace(first, arguments={**first.arguments, "bits": [8]})
    with pytest.raises(BundleError, match="not one network"):
        v2.network_of(replace(bundle, bank=Bank((other, last), 4)))


def test_the_parts_sum_up_to_what_is_planned_with() -> None:
    bundle = v2.reference_bundle(240)
    for option, names in ((1, 9), (2, 8)):
        parts = v2.cost_parts(bundle, (240, 240), option)
        assert len(parts) == names
        assert all(part.macs > 0 and part.paper_flops > 0 for part in parts.values())
        router = v2.router_cost(bundle, (240, 240))
        planned = bundle.bank.costs((240, 240))[option]
        assert sum(part.macs for part in parts.values()) == router.macs + planned.macs
        assert sum(part.paper_flops for part in parts.values()) == router.paper_flops + planned.paper_flops
        if option == 1:
            assert sum(part.parameters for part in parts.values()) == router.parameters + planned.parameters
        assert parts["encoder stage 4"].parameters == 8 * (128 * 128 * 9 + 128) + 8 * 2 * 128
    assert list(v2.cost_parts(bundle, (240, 240), 0)) == ["policy network"]


def test_the_command_shows_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--method", "med-danet-v2", "--size", "128"]) == 0
    shown = capsys.readouterr().out
    for part in ("policy network", "position network", "bit selectors", "encoder stage 4", "decoder"):
        assert part in shown


def test_each_stage_of_the_parts_costs_what_the_paper_counts() -> None:
    parts = v2.cost_parts(v2.reference_bundle(128), (128, 128), 1)
    found = [parts[f"encoder stage {index}"].macs / 1e6 for index in range(1, 5)]
    assert [round(each, 3) for each in found] == [53.084, 95.551, 95.551, 169.869]


def test_a_run_decides_crops_and_bits_within_its_budget(bundle: Bundle) -> None:
    run = start_run(tiny_study(), bundle, backend="torch")
    prediction = run.route()
    costs = [cost.macs for cost in run.costs]
    budget = run.smallest_budget_macs + 6 * costs[1] + 4 * costs[2]
    plan = run.plan(Budget.parse(str(budget)))
    for _ in run.execute(plan):
        pass
    result = run.segmentation()
    assert result.spent.macs <= budget
    assert set(plan.options.tolist()) >= {1, 2}
    assert prediction.options == 3
    seen = set()
    for decision in result.decisions:
        bits = [decision.extra.get(f"bits_{stage}") for stage in range(1, 5)]
        if decision.option == 0:
            assert decision.extra == {}
            continue
        assert set(bits) <= {8, 16}
        seen.add(tuple(bits))
        bound = run.router_cost + run.costs[decision.option]
        assert decision.macs == bound.macs
        assert decision.paper_flops <= bound.paper_flops
        if decision.candidate == "crop16":
            assert decision.extra["crop_rows"] == decision.extra["crop_columns"] == CROP
            assert 0 <= decision.extra["crop_row"] <= ROWS - CROP
            assert 0 <= decision.extra["crop_column"] <= COLUMNS - CROP
        else:
            assert "crop_row" not in decision.extra
    assert len(seen) > 1
    assert set(result.facts["arithmetic"]) == {"8 bits", "16 bits", "32 bits"}
    rows = decision_rows(result)
    assert any("crop_row" in row for row in rows)
    assert all("bits_1" in row for row in rows if row["option"])


def test_crops_and_whole_slices_see_neighbours_and_the_policy_network_the_slice(tmp_path: Path) -> None:
    bundle = write_tiny_v2_bundle(tmp_path, "aware", AROUND)
    study = tiny_study()
    run = start_run(study, bundle, backend="torch")
    for _ in run.execute(run.plan(pins={2: 1, 5: 2})):
        pass
    found = run.segmentation().labels
    for place, option in ((2, 1), (5, 2)):
        x = AROUND.gather(study.volumes, [place], study.spacing_mm[0])
        eager = bundle.bank.candidates[option - 1].build().eval()(torch.from_numpy(x)).argmax(dim=1)[0].numpy()
        # The third class is label 4.
        assert ((found[place] == np.array([0, 1, 2, 4])[eager]).mean()) > AGREEMENT["bf16"]
        parts = v2.cost_parts(bundle, (ROWS, COLUMNS), option)
        assert sum(part.macs for part in parts.values()) == run.router_cost.macs + run.costs[option].macs
    alone = v2.cost_parts(write_tiny_v2_bundle(tmp_path), (ROWS, COLUMNS), 1)
    aware = v2.cost_parts(bundle, (ROWS, COLUMNS), 1)
    # Eight further channels into a first layer of four, 3 x 3, on every pixel of the crop.
    assert aware["stem"].macs == alone["stem"].macs + 8 * 4 * 9 * CROP**2
    assert aware["position network"].macs > alone["position network"].macs
    assert aware["policy network"] == alone["policy network"]


def test_training_judges_what_the_engine_gives(tmp_path: Path) -> None:
    bundle, study = write_tiny_v2_bundle(tmp_path, "aware", AROUND), tiny_study()
    run = start_run(study, bundle, backend="torch")
    for _ in run.execute(run.plan(pins=dict.fromkeys(range(study.slices), 2))):
        pass
    result = run.segmentation()

    # Without a policy network all slices are taken whole.
    runner = CaseRunner(replace(bundle, router=None), TORCH, (ROWS, COLUMNS))
    classes, costs = runner.run(study.volumes, study.spacing_mm[0])

    assert (np.array([0, 1, 2, 4])[classes] == result.labels).mean() > AGREEMENT["bf16"]
    looked = run.router_cost.macs
    assert [cost.macs + looked for cost in costs] == [decision.macs for decision in result.decisions]


def test_a_decisions_cost_is_the_count_of_a_network_fixed_to_its_bits(bundle: Bundle) -> None:
    execution = DynamicExecution(bundle, TORCH, (ROWS, COLUMNS), "whole", Imitation())
    outcome = execution.run(2, head_slices())
    staged = execution.network.segmentation
    bound = bundle.bank.costs((ROWS, COLUMNS))[2]
    for cost, extra in zip(outcome.costs, outcome.extras, strict=True):
        saved = 0
        for index in range(4):
            shape = (1, 4 << index, ROWS >> index, COLUMNS >> index)
            saved += count(Stages(staged, index, (16,)), shape).paper_flops
            saved -= count(Stages(staged, index, (extra[f"bits_{index + 1}"],)), shape).paper_flops
        assert cost == Cost(bound.macs, bound.paper_flops - saved, bound.parameters)
    narrow = [extra for extra in outcome.extras if all(extra[f"bits_{i}"] == 8 for i in range(1, 5))]
    full = count(UNet2D(base=4), (1, 4, ROWS, COLUMNS))
    assert all(cost.paper_flops < full.paper_flops for cost in outcome.costs)
    assert len(narrow) < len(outcome.extras)


def test_only_the_crop_and_what_the_last_stage_sees_of_it_differ_from_nothing(bundle: Bundle) -> None:
    execution = DynamicExecution(bundle, TORCH, (ROWS, COLUMNS), "whole", Imitation())
    x = head_slices()
    outcome = execution.run(1, x)
    again = execution.run(1, x[3:4])
    assert np.array_equal(again.classes[0], outcome.classes[3])
    (candidate, *_) = bundle.bank.candidates
    eager = candidate.build().eval()(torch.from_numpy(x)).argmax(dim=1).numpy()
    assert (eager == outcome.classes).mean() > 0.999


def test_windows_record_the_mean_bits_and_cost_no_more_than_planned(bundle: Bundle) -> None:
    execution = DynamicExecution(bundle, TORCH, (ROWS, COLUMNS), "window", Imitation())
    x = head_slices()[:2]
    outcome = execution.run(1, x)
    assert outcome.classes.shape == (2, ROWS, COLUMNS)
    bound = bundle.bank.costs((ROWS, COLUMNS), "window")[1]
    for cost, extra in zip(outcome.costs, outcome.extras, strict=True):
        assert cost.macs == bound.macs
        assert cost.paper_flops <= bound.paper_flops
        assert "crop_row" not in extra
        assert 8 <= extra["bits_1"] <= 16


def test_models_kept_for_one_setting_are_not_taken_for_the_other(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last piece gives classes of whole slices and logits of windows, at the same size where slices are small."""
    keys: list[str] = []
    monkeypatch.setattr(staged_execution, "kernels_for", lambda _, key: keys.append(key) or Imitation())
    for setting in ("whole", "window"):
        DynamicExecution(bundle, TORCH, (128, 128), setting)
    assert all(bundle.checksum in key for key in keys)
    assert len(set(keys)) == 2


def agreement(kernels: Kernels, bundle: Bundle, option: int) -> float:
    """Share of pixels that get the class of fake quantisation."""
    x = head_slices()
    ours = DynamicExecution(bundle, TORCH, (ROWS, COLUMNS), "whole", kernels).run(option, x)
    theirs = DynamicExecution(bundle, TORCH, (ROWS, COLUMNS), "whole", Imitation()).run(option, x)
    same_bits = [a == b for a, b in zip(ours.extras, theirs.extras, strict=True)]
    assert np.mean(same_bits) > 0.7
    return float((ours.classes == theirs.classes)[same_bits].mean())


@pytest.mark.parametrize("option", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_torch_agrees_with_fake_quantisation(bundle: Bundle, precision: str, option: int) -> None:
    assert agreement(TorchKernels("cpu", precision), bundle, option) > AGREEMENT[precision]


@pytest.mark.parametrize("option", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_openvino_agrees_with_fake_quantisation(bundle: Bundle, precision: str, option: int) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    from DynamicSegLib.backends.kernels import OpenVINOKernels

    assert agreement(OpenVINOKernels(precision), bundle, option) > AGREEMENT[precision]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stages_of_eight_bits_really_run_in_int8(bundle: Bundle, precision: str) -> None:
    """The second stage's four convolutions and the one that leads down, beside stages of 16 bits and the decoder."""
    pytest.importorskip("openvino", reason="openvino is not installed")
    from DynamicSegLib.backends import openvino_models
    from DynamicSegLib.backends.kernels import OpenVINOKernels

    if precision == "bf16" and not openvino_models.has_bf16():
        pytest.skip("this processor has no unit for bf16")
    kernels, network = OpenVINOKernels(precision), v2.network_of(bundle).segmentation
    bits = [width if kernels.keeps_quantisers(width) else 32 for width in (8, 16, 16)]
    stages = Stages(network, 1, bits, after=AfterEncoder(network, True, None))
    compiled = kernels.compiled("stages", lambda: stages, ((1, 8, 20, 16), (1, 4, 40, 32)))
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kinds = [
        str(fact["runtimePrecision"].astype(str)) for fact in facts if fact["layerType"].astype(str) == "Convolution"
    ]
    assert sum(kind in ("u8", "i8") for kind in kinds) == 5
    assert {"fp32": "f32", "bf16": "bf16"}[precision] in kinds


def test_bits_are_computed_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A type that rounds by itself needs no quantisers; whatever imitates a width does, and is called so."""
    from DynamicSegLib.backends import openvino_models
    from DynamicSegLib.backends.kernels import OpenVINOKernels

    plain, half = TorchKernels("cpu"), TorchKernels("cpu", "bf16")
    assert [plain.keeps_quantisers(bits) for bits in (8, 16, 32)] == [True, True, False]
    assert [half.keeps_quantisers(bits) for bits in (8, 16, 32)] == [True, False, False]
    assert "float32 that imitates 16 bits" in plain.describe(16)
    assert half.describe(16) == half.describe(32) == "bfloat16 (torch)"
    assert "no int8" in half.describe(8)
    monkeypatch.setattr(openvino_models, "has_bf16", lambda: True)
    assert OpenVINOKernels("bf16").describe(16) == OpenVINOKernels("bf16").describe(32) == "bfloat16 (OpenVINO)"
    assert OpenVINOKernels("bf16").describe(8) == "int8 (OpenVINO)"
    monkeypatch.setattr(openvino_models, "has_bf16", lambda: False)
    assert OpenVINOKernels("bf16").describe(8) == "int8 (OpenVINO)"
    assert OpenVINOKernels("bf16").describe(16) == "float32 that imitates 16 bits (OpenVINO)"
    assert OpenVINOKernels("bf16").keeps_quantisers(16)


def test_a_candidate_of_another_method_is_refused(bundle: Bundle) -> None:
    other = Candidate("M2", "unet2d", {})
    with pytest.raises(BundleError, match="not one network"):
        v2.network_of(replace(bundle, bank=Bank((other, bundle.bank.candidates[-1]), 4)))


def test_slices_are_seen_whole_as_the_position_network_learnt_them() -> None:
    """Med-DANet's candidates see what holds the head; on that part the position network would look beside it."""
    size = (240, 240)
    volumes = np.zeros((4, 2, *size), np.float32)
    volumes[:, 1, 40:100, 50:120] = 1
    grid = place_working_grid(sitk.Image([*size[::-1], 2], sitk.sitkUInt8), "axial", (1.0, 1.0), size)
    described = v2.reference_bundle(240)
    study = Study(volumes, described.input, grid)

    assert extent_of(study, described) == Extent.whole(size)
    assert extent_of(study, med_danet.reference_bundle(240)) == Extent.around(volumes) != Extent.whole(size)
