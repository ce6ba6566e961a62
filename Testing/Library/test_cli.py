"""The command line as a user meets it: files in, files out, exit codes and one clear message."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.cli.main import main
from DynamicSegLib.cli.segment import report
from Testing.tiny import MODALITIES, SLICES, head_images, write_case, write_tiny_bundle


@pytest.fixture(autouse=True)
def own_bundles(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write_tiny_bundle(folder)
    monkeypatch.setenv("DYNAMICSEG_BUNDLES", str(folder))
    monkeypatch.setenv("DYNAMICSEG_HOME", str(folder / "home"))
    return folder


@pytest.fixture
def case(tmp_path: Path) -> Path:
    return write_case(tmp_path / "case", head_images())


def segment(case: Path, output: Path, *more: str) -> int:
    return main(["segment", str(case), "--bundle", "tiny", "--device", "cpu", "--output", str(output), *more])


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "decisions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def test_segment_writes_the_four_files_of_the_contract(case: Path, tmp_path: Path) -> None:
    assert segment(case, tmp_path / "out") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"segmentation.nii.gz", "decisions.csv", "summary.json", "chart.png"}
    labels = sitk.ReadImage(str(tmp_path / "out" / "segmentation.nii.gz"))
    scan = sitk.ReadImage(str(case / "case_flair.nii.gz"))
    assert labels.GetSize() == scan.GetSize() and labels.GetPixelID() == sitk.sitkUInt8
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(labels, name)() == pytest.approx(getattr(scan, name)(), abs=1e-6)
    assert set(np.unique(sitk.GetArrayFromImage(labels))) <= {0, 1, 2, 4}
    assert (tmp_path / "out" / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_the_tables_have_the_contracts_columns_and_add_up(case: Path, tmp_path: Path) -> None:
    segment(case, tmp_path / "out", "--budget", "60%")
    rows, summary = rows_of(tmp_path / "out"), summary_of(tmp_path / "out")
    fixed = ["slice", "option", "candidate", "macs", "paper_flops", "milliseconds"]
    assert list(rows[0]) == [*fixed, "quality_skip", "quality_S", "quality_L"]
    assert [int(row["slice"]) for row in rows] == list(range(SLICES))
    assert sum(int(row["macs"]) for row in rows) == summary["macs"]["spent"] <= summary["macs"]["asked"]
    assert sum(int(row["paper_flops"]) for row in rows) == summary["paper_flops"]["spent"]
    names = ["skip", "S", "L"]
    for name in names:
        share = sum(row["candidate"] == name for row in rows) / SLICES
        assert summary["activation_ratio"][name] == pytest.approx(share)
    assert all(names[int(row["option"])] == row["candidate"] for row in rows)
    for key in ("bundle", "method", "device", "backend", "precision", "slices", "peak_memory_mb", "warnings"):
        assert key in summary
    assert set(summary["seconds"]) >= {"read", "prepare", "start", "route", "run", "write", "total"}
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "segmentation.nii.gz")))
    assert sum(summary["volumes_ml"].values()) == pytest.approx((labels > 0).sum() * 3 / 1000)
    assert summary["asked"]["budget"] == "60%" and summary["asked"]["cleaning"] is True


def test_volumes_are_those_of_the_file_on_any_spacing(tmp_path: Path) -> None:
    images = {}
    for name, image in head_images().items():
        image.SetSpacing((1.7, 1.3, 3.0))
        images[name] = image
    segment(write_case(tmp_path / "case", images), tmp_path / "out")
    written = sitk.ReadImage(str(tmp_path / "out" / "segmentation.nii.gz"))
    voxels = np.count_nonzero(sitk.GetArrayFromImage(written))
    assert voxels
    summary = summary_of(tmp_path / "out")
    assert sum(summary["volumes_ml"].values()) == pytest.approx(voxels * 1.7 * 1.3 * 3.0 / 1000)


def test_labels_are_cleaned_unless_that_is_switched_off(
    own_bundles: Path, case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_bundles / "tiny" / "bundle.json"
    rules = {"smallest_label_ml": {"4": {"millilitres": 1000, "becomes": 1}}}
    path.write_text(json.dumps({**json.loads(path.read_text()), "cleaning": rules}))
    segment(case, tmp_path / "clean")
    assert "note      Enhancing tumor: 0." in capsys.readouterr().out
    segment(case, tmp_path / "raw", "--no-cleaning")
    assert "cleaned  " not in capsys.readouterr().out
    clean, raw = summary_of(tmp_path / "clean"), summary_of(tmp_path / "raw")
    assert raw["cleaning"] is None and raw["notes"] == []
    assert clean["volumes_ml"]["Enhancing tumor"] == 0 < raw["volumes_ml"]["Enhancing tumor"]
    assert clean["cleaning"]["relabelled_ml"] == {
        "Enhancing tumor": pytest.approx(raw["volumes_ml"]["Enhancing tumor"])
    }


def test_one_network_for_the_whole_volume_is_said_in_every_row(
    case: Path, tmp_path: Path, own_bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from Testing.tiny_methods import write_tiny_mutual_bundle

    write_tiny_mutual_bundle(own_bundles)
    assert segment(case, tmp_path / "out", "--bundle", "slim", "--budget", "50%", "--per-volume") == 0
    rows, summary = rows_of(tmp_path / "out"), summary_of(tmp_path / "out")
    assert {(row["candidate"], row["width"], row["resolution"]) for row in rows} == {
        ("skip", "", ""),
        ("0.50x-whole", "0.5", "whole"),
    }
    assert summary["macs"]["spent"] <= summary["macs"]["asked"]
    assert summary["macs"]["router"] == 0


def test_one_network_for_the_whole_volume_needs_a_query_table_and_no_alpha(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(case, tmp_path / "out", "--per-volume") == 2
    assert "'tiny' has no query table" in capsys.readouterr().err
    assert segment(case, tmp_path / "out", "--per-volume", "--alpha", "0.3") == 2
    assert "give only one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_curve_shows_the_query_table_and_its_front(
    tmp_path: Path, own_bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from Testing.tiny_methods import write_tiny_mutual_bundle

    write_tiny_mutual_bundle(own_bundles)
    assert main(["curve", "--bundle", "slim", "--output", str(tmp_path / "out")]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in shown if line[:1] == ["*"]] == ["0.50x-120", "0.50x-whole", "1.00x-whole"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"curve.png", "curve.json", "query_table.json"}
    assert len(json.loads((tmp_path / "out" / "query_table.json").read_text())) == 3


def test_json_goes_to_standard_output_alone(case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment(case, tmp_path / "out", "--json")
    assert json.loads(capsys.readouterr().out) == summary_of(tmp_path / "out")


def test_a_flipped_scans_slices_are_counted_as_they_are_stored(tmp_path: Path) -> None:
    plain = write_case(tmp_path / "plain", head_images())
    flipped = write_case(tmp_path / "flipped", {n: sitk.DICOMOrient(i, "LPI") for n, i in head_images().items()})
    for case in (plain, flipped):
        segment(case, tmp_path / f"out-{case.name}", "--budget", "55%")
    straight = [row["candidate"] for row in rows_of(tmp_path / "out-plain")]
    assert straight != straight[::-1], "the plan must not be symmetric for this test to mean anything"
    assert [row["candidate"] for row in rows_of(tmp_path / "out-flipped")] == straight[::-1]


def test_volumes_can_be_named_one_by_one(case: Path, tmp_path: Path) -> None:
    paths = {name: str(case / f"case_{name}.nii.gz") for name in MODALITIES}
    arguments = ["--flair", paths["flair"], "--t1ce", paths["t1ce"], "--t1", paths["t1"]]
    arguments += ["--volume", f"t2={paths['t2']}", "--bundle", "tiny", "--output", str(tmp_path / "out")]
    assert main(["segment", *arguments]) == 0
    segment(case, tmp_path / "folder")
    named, folder = (sitk.ReadImage(str(tmp_path / d / "segmentation.nii.gz")) for d in ("out", "folder"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(named), sitk.GetArrayFromImage(folder))


WRONG_USES = [
    (["--budget=-3G"], "cannot be read"),
    (["--budget", "1"], "smallest budget possible"),
    (["--bundle", "nothing"], "no bundle 'nothing'"),
    (["--alpha", "7"], "not between 0 and 1"),
    (["--device", "tpu"], "Device 'tpu' is unknown"),
    (["--backend", "magic"], "Backend 'magic' is unknown"),
    (["--volume", "flair"], "expected NAME=FILE"),
    (["--flair", "a.nii", "--volume", "flair=b.nii"], "flair is given twice (a.nii and b.nii)"),
    (["--budget", "1e300T"], "is not between 0 and"),
    (["--volume", "pet=x.nii"], "not one of this bundle's modalities"),
    (["--mask", "nothing.nii"], "nothing.nii does not exist"),
    (["--threads", "0"], "--threads 0"),
]


@pytest.mark.parametrize(("more", "message"), WRONG_USES)
def test_wrong_use_ends_with_two_one_message_and_nothing_written(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert segment(case, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not list(tmp_path.glob("out/*"))


def test_a_failed_run_leaves_earlier_results_alone(case: Path, tmp_path: Path) -> None:
    segment(case, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (case / "case_t2.nii.gz").write_bytes(b"broken")
    assert segment(case, tmp_path / "out") == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_an_output_that_is_a_file_is_refused_before_the_work(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("DynamicSegLib.reading.read_case", lambda *_: pytest.fail("nothing is to be read"))
    (tmp_path / "out").write_text("mine")
    assert segment(case, tmp_path / "out") == 2
    assert segment(case, tmp_path / "out" / "deeper") == 2
    assert (tmp_path / "out").read_text() == "mine"


def test_budget_and_alpha_exclude_each_other(case: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        segment(case, tmp_path / "out", "--budget", "5%", "--alpha", "0.1")
    assert stop.value.code == 2


def test_cost_lists_the_papers_bank_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--method", "med-danet", "--size", "128", "--json"]) == 0
    rows = {row["candidate"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["M1", "M2", "M3", "M4"]
    assert rows["M4"] == {
        "candidate": "M4",
        "macs": 4_922_015_744,
        "paper_flops": 4_978_933_760,
        "parameters": 15_971_140,
    }


def test_cost_in_windows_is_sixteen_times_one_window(capsys: pytest.CaptureFixture[str]) -> None:
    main(["cost", "--method", "med-danet", "--setting", "window", "--json"])
    rows = {row["candidate"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["M1"]["paper_flops"] == 16 * 604_667_904


def test_cost_of_a_bundle_and_of_nonsense(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--bundle", "tiny"]) == 0
    assert "(router)" in capsys.readouterr().out
    assert main(["cost", "--method", "magic"]) == 2
    assert main(["cost", "--bundle", "tiny", "--size", "1"]) == 2


def test_bundles_are_listed_shown_and_checked(own_bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundles"]) == 0
    assert "tiny" in capsys.readouterr().out
    assert main(["bundles", "show", "tiny"]) == 0
    assert "# Tiny" in capsys.readouterr().out
    (own_bundles / "tiny" / "s.safetensors").write_bytes(b"x")
    assert main(["bundles", "--json"]) == 2
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert "s.safetensors has SHA-256" in rows["tiny"]["problem"]


def test_a_bundle_installs_from_a_folder(own_bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundles", "install", str(own_bundles / "tiny")]) == 0
    assert main(["bundles", "install", str(own_bundles / "tiny")]) == 2
    assert "--replace" in capsys.readouterr().err


def blocks(path: Path, *boxes: tuple[int, slice]) -> Path:
    array = np.zeros((4, 20, 20), np.uint8)
    for value, columns in boxes:
        array[1:3, 5:10, columns] = value
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2.0, 1.0, 1.0))
    sitk.WriteImage(image, str(path))
    return path


def test_evaluate_scores_the_challenges_regions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = blocks(tmp_path / "r.nii.gz", (2, slice(2, 6)), (1, slice(6, 10)))
    prediction = blocks(tmp_path / "p.nii.gz", (2, slice(2, 6)), (1, slice(6, 8)))
    assert main(["evaluate", str(prediction), str(reference), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert list(scores) == ["WT", "TC", "ET"]
    assert scores["WT"]["dice"] == pytest.approx(2 * 6 / (6 + 8))
    assert scores["TC"]["dice"] == pytest.approx(2 * 2 / (2 + 4))
    assert scores["TC"]["hd95_mm"] == pytest.approx(4.0)  # two columns of 2 mm
    assert scores["ET"] == {"dice": 1.0, "hd95_mm": 0.0}  # empty in both


def test_evaluate_scores_other_labels_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = blocks(tmp_path / "r.nii.gz", (3, slice(2, 6)), (7, slice(6, 10)))
    prediction = blocks(tmp_path / "p.nii.gz", (3, slice(2, 6)))
    main(["evaluate", str(prediction), str(reference), "--json"])
    scores = json.loads(capsys.readouterr().out)
    assert scores["3"]["dice"] == 1.0
    assert scores["7"] == {"dice": 0.0, "hd95_mm": 373.13}


def test_evaluate_has_something_to_say_of_volumes_without_labels_and_of_foreign_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, foreign = blocks(tmp_path / "e.nii.gz"), blocks(tmp_path / "f.nii.gz", (3, slice(2, 6)))
    assert main(["evaluate", str(empty), str(empty), "--labels"]) == 2
    assert "hold no label" in capsys.readouterr().err
    assert main(["evaluate", str(foreign), str(foreign), "--bundle", "tiny"]) == 2
    assert "Label 3 is none of bundle 'tiny', which has 1, 2, 4" in capsys.readouterr().err


def test_output_that_nobody_reads_any_more_ends_without_a_word() -> None:
    script = "import sys; from DynamicSegLib.cli.main import main; sys.exit(main(['bundles', 'show', 'glioma']))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait() == 0 and process.stderr.read() == b""


@pytest.mark.parametrize("value", [257, -1, 1.5])
def test_evaluate_refuses_values_that_are_no_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    reference = blocks(tmp_path / "r.nii.gz", (1, slice(2, 6)))
    image = sitk.Cast(sitk.ReadImage(str(reference)), sitk.sitkFloat32)
    sitk.WriteImage(image * value, str(tmp_path / "p.nii.gz"))
    assert main(["evaluate", str(tmp_path / "p.nii.gz"), str(reference)]) == 2
    assert f"holds the value {value:g}, which is no label" in capsys.readouterr().err


def test_evaluate_refuses_volumes_of_different_scans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = blocks(tmp_path / "r.nii.gz", (1, slice(2, 6)))
    moved = sitk.ReadImage(str(reference))
    moved.SetOrigin((50.0, 0.0, 0.0))
    sitk.WriteImage(moved, str(tmp_path / "p.nii.gz"))
    assert main(["evaluate", str(tmp_path / "p.nii.gz"), str(reference)]) == 2
    assert "different grids" in capsys.readouterr().err


def test_the_bundles_curve_is_printed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curve", "--bundle", "tiny", "--output", str(tmp_path / "out"), "--json"]) == 0
    points = json.loads(capsys.readouterr().out)
    assert [point["share"] for point in points] == [0.0, 0.5, 1.0]
    assert json.loads((tmp_path / "out" / "curve.json").read_text()) == points
    assert (tmp_path / "out" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert main(["curve", "--bundle", "tiny"]) == 0
    assert "WT" in capsys.readouterr().out


def test_a_cases_own_curve_never_falls_and_starts_with_the_router(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["curve", "--bundle", "tiny", "--case", str(case), "--json"]) == 0
    points = json.loads(capsys.readouterr().out)
    quality = [point["predicted"] for point in points]
    assert quality == sorted(quality) and quality[0] == 0 and quality[-1] > 0.5
    assert points[0]["macs"] > 0


def test_a_long_start_says_whether_what_was_compiled_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = {
        "volumes_ml": {},
        "activation_ratio": {},
        "macs": {"asked": None, "spent": 0},
        "notes": [],
        "warnings": [],
        "seconds": {"total": 30.0, "start": 29.0},
        "backend": "openvino",
        "precision": "bf16",
        "device": "cpu",
    }
    report(summary, tmp_path)
    assert "29.0 of them to make networks ready: compiled once, kept for the next case" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DYNAMICSEG_CACHE", str(tmp_path / "file" / "cache"))
    report(summary, tmp_path)
    assert "compiled anew each time, as" in capsys.readouterr().out


def test_json_of_a_bundle_may_be_asked_for_before_or_behind_the_action(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["bundles", "--json", "show", "tiny"], ["bundles", "show", "tiny", "--json"]):
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["name"] == "tiny"
    assert main(["bundles", "show", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("tiny  [")
