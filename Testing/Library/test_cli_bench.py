"""The benchmark: every measurement it promises, honest scaling, and files that appear whole."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DynamicSegLib.benchmark import jobs, report, stand_in, suite
from DynamicSegLib.benchmark.published import PublishedBackend
from DynamicSegLib.benchmark.suite import Measurement
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cli.main import main
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.reading import read_case
from DynamicSegLib.study import build_study
from Testing.tiny import SLICES, head_images, write_case, write_tiny_bundle


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMICSEG_HOME", str(tmp_path / "home"))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_tiny_bundle(tmp_path / "bundles")


@pytest.fixture
def common(tmp_path: Path, bundle: Bundle) -> dict[str, Any]:
    return {"case": str(write_case(tmp_path / "case", head_images())), "bundle": str(bundle.folder)}


def case_row(title: str, seconds: float, **more: Any) -> dict[str, Any]:
    phases = {"read": 0.25, "run": seconds - 0.25, "total": seconds}
    facts = {"backend": "torch", "precision": "fp32", "peak_memory_mb": 300.0, "macs": 4e9, "process_seconds": 2.0}
    return {"group": "case", "title": title, "bundle": "tiny", "seconds": phases, **facts, **more}


def results() -> list[dict[str, Any]]:
    """Worked out by hand: half of the peak, the peer four times slower."""
    candidate = {"candidate": "M1", "macs": 2_000_000_000, "ms": 40.0}
    return [
        {"group": "peak", "title": "matmul", "macs_per_second": {"fp32": 1e11}},
        {
            "group": "candidates",
            "title": "",
            "bundle": "tiny",
            "candidates": [candidate],
            "backend": "torch",
            "precision": "fp32",
        },
        case_row("default rule", 2.0),
        case_row("budget 5 %", 1.0, share=5),
        case_row("budget 10 %", 1.5, share=10),
        case_row("other, budget 10 %", 3.0, share=10, bundle="other"),
        case_row("SegResNet", 8.0, windows=18, windows_run=2),
        {**case_row("1,000 slices", 9.0), "group": "large", "peak_memory_mb": 2500.0},
        {"group": "case", "title": "DynUNet", "error": "Measuring 'DynUNet' ended with exit code 1: no memory"},
        {
            "group": "scaling",
            "title": "stacks",
            "budget": "20%",
            "points": [{"slices": 100, "predicted": 2.0, "seconds": 2.5, "around": 2.6}],
        },
    ]


def test_ratios_and_shares_of_the_peak_are_those_worked_out_by_hand() -> None:
    cases, large, candidates, scaling = report.tables(results())
    assert [row[3] for row in cases[2]] == ["1.0", "0.5", "0.8", "1.5", "4.0"]
    assert cases[2][4][0] == "SegResNet (2 of 18 windows run)"
    assert [row[large[1].index("peak MB")] for row in large[2]] == ["2500"]
    assert candidates[2] == [["M1", "torch fp32", "tiny", "2.00", "40.0", "50", "50"]]
    assert scaling[2] == [["100", "2.00", "2.50", "1.25", "25.0"]]


def test_markdown_has_a_table_for_each_and_the_machine() -> None:
    text = report.markdown(results(), {"cpu": "a processor"})
    assert "- cpu: a processor" in text
    assert text.count("| --- | --- |") == 4
    first_table = text[text.index("| one case") : text.index("## A large")].strip().splitlines()
    assert len(first_table) == 2 + 5
    assert len({line.count("|") for line in first_table}) == 1


def test_what_failed_is_listed_and_ends_nothing() -> None:
    assert report.failures(results()) == ["Measuring 'DynUNet' ended with exit code 1: no memory"]
    assert "## Not measured" in report.markdown(results(), {})
    assert report.tables([{"group": "scaling", "title": "stacks", "error": "no time"}]) == []


@pytest.mark.parametrize("quick", [True, False])
def test_all_that_is_promised_is_measured(quick: bool) -> None:
    bundles = [Path("glioma"), Path("glioma-v2")]
    measured = suite.measurements(
        Path("case"), bundles, quick, ["DynUNet (nnU-Net)"], (Path("large"), Path("stand-in"))
    )
    titles = [each.title for each in measured]
    for wanted in (
        *("default rule", "default rule on whole slices", "costliest candidate on every slice"),
        *("costliest, sliding windows", "glioma-v2, default rule", "1,000 slices of 512 x 512, one modality"),
    ):
        assert wanted in titles
    shares = {bundle.name: [] for bundle in bundles}
    for each in measured:
        if each.share is not None:
            shares[Path(each.job["bundle"]).name].append(each.share)
    assert shares["glioma"] == shares["glioma-v2"] == list(suite.QUICK_BUDGETS if quick else suite.BUDGETS)
    assert "published way, default rule" in titles and "DynUNet (nnU-Net)" in titles
    budgets = {each.job["budget"] for each in measured if "budget" in each.job and each.group == "case"}
    assert {"10%", "40%", "100%"} <= budgets
    assert ("5%" in budgets) is not quick
    assert {each.group for each in measured} == {"peak", "candidates", "case", "large", "scaling"}


def test_on_a_gpu_its_ways_are_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "has_cuda", lambda: True)
    measured = suite.measurements(Path("case"), [Path("glioma")], True, ())
    assert {str(way) for way in suite.ways(Path("glioma"))} >= {"torch fp32", "torch fp32 cuda", "torch bf16 cuda"}
    assert all(each.job["device"] == "cuda" for each in measured if each.share is not None)


def test_a_large_volume_of_one_modality_is_read_interpolated_and_run(tmp_path: Path) -> None:
    bundle = stand_in.write_large_stand_in(tmp_path / "bundle", rows=40)
    case = stand_in.write_large_case(tmp_path / "case", (3, 40, 40))
    result = jobs.run_job({"kind": "whole_case", "case": str(case), "bundle": str(bundle.folder), "backend": "torch"})
    assert result["options"] == [0, 3]


def test_a_whole_case_is_timed_by_phase(common: dict[str, Any]) -> None:
    result = jobs.run_job({"kind": "whole_case", **common, "budget": "100%", "backend": "torch"})
    assert sum(result["options"]) == SLICES == result["slices"]
    phases = {name: value for name, value in result["seconds"].items() if name != "total"}
    assert set(phases) == set(report.PHASES) and min(phases.values()) >= 0
    assert result["seconds"]["total"] == pytest.approx(sum(phases.values()))
    assert result["macs"] > 0 and result["peak_memory_mb"] > 0


def test_static_runs_the_costliest_on_every_slice_and_a_part_counts_for_all(common: dict[str, Any]) -> None:
    job = {"kind": "whole_case", **common, "static": True, "backend": "torch"}
    whole, part = jobs.run_job(job), jobs.run_job({**job, "part": 3})
    assert whole["options"] == part["options"] == [0, 0, SLICES]
    assert whole["macs"] == part["macs"]
    assert part["part"] == 3


def test_the_published_way_gives_the_same_labels(common: dict[str, Any], bundle: Bundle) -> None:
    study = build_study(read_case(common["case"], bundle.input.modalities), bundle.input)
    labels = []
    for backend in ("torch", "published"):
        run = jobs._start(study, bundle, backend, "fp32")
        for _ in run.execute(run.plan()):
            pass
        labels.append(run.segmentation().labels)
    assert labels[0].any()
    assert (labels[0] == labels[1]).mean() > 0.999
    assert PublishedBackend.batch == 1


def test_stacks_of_any_height_are_predicted_and_run(common: dict[str, Any]) -> None:
    result = jobs.run_job({"kind": "scaling", **common, "slices": [5, 30], "budget": "100%"})
    assert [point["slices"] for point in result["points"]] == [5, 30]
    assert all(point["predicted"] > 0 and point["seconds"] > 0 for point in result["points"])


def test_the_stand_in_bundle_runs_and_its_router_sees_something(tmp_path: Path) -> None:
    bundle = stand_in.write_stand_in(tmp_path / "stand-in")
    study = build_study(head_images(), bundle.input)
    prediction = start_run(study, bundle, device="cpu").route()
    assert (prediction.area > 100).all()
    assert np.all(np.diff(prediction.quality[:, 1:], axis=1) > 0)


def test_a_measurement_that_fails_says_which_and_why(common: dict[str, Any]) -> None:
    job = Measurement("case", "broken", {"kind": "whole_case", **common, "bundle": "none"})
    (result,) = suite.run_all([job], threads=1)
    assert re.match(r"Measuring 'broken' ended with exit code 1: .*no bundle 'none'", result["error"])


def test_bench_writes_json_markdown_and_a_figure(
    tmp_path: Path, common: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = [{"process_seconds": 1.0, **row} for row in results() if "error" not in row]
    monkeypatch.setattr(suite, "run_all", lambda jobs, threads: iter(measured))
    output = tmp_path / "out"
    assert main(["bench", "--output", str(output), "--case", common["case"], "--bundle", common["bundle"]]) == 0
    assert {path.name for path in output.iterdir()} == {"bench.json", "bench.md", "bench.png"}
    saved = json.loads((output / "bench.json").read_text())
    assert len(saved["results"]) == len(measured) and saved["bundles"] == "tiny"
    assert "SegResNet" in capsys.readouterr().out
