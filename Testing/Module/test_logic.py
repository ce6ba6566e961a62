"""The module without its panel: the script entry, the batch script, the self-test."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from Testing.Module.conftest import MODULE

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")

SCRIPT = MODULE.parent / "Scripts" / "segment_folder.py"


def test_process_returns_nodes_and_summary(host: Any, module: Any, load_scan: Callable[..., dict[str, Any]]) -> None:
    from DynamicSeg import DynamicSegLogic

    result, summary = DynamicSegLogic().process(load_scan(), "tiny", "60%", name="tumor")
    assert result.segmentation.GetName() == "tumor"
    assert result.table.GetNumberOfRows() == summary["slices"] == 12
    assert summary["macs"]["spent"] <= summary["macs"]["asked"]


def test_process_raises_what_the_library_says_and_leaves_the_scene(
    host: Any, module: Any, load_scan: Callable[..., dict[str, Any]]
) -> None:
    from DynamicSeg import DynamicSegLogic
    from DynamicSegLib.errors import BundleError, InputError

    nodes = load_scan()
    del nodes["t1"]
    with pytest.raises(InputError, match="t1 missing"):
        DynamicSegLogic().process(nodes, "tiny", "60%")
    with pytest.raises(BundleError, match="no bundle 'unknown'"):
        DynamicSegLogic().process(nodes, "unknown")
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_one_network_for_the_whole_scan_in_scripts_and_on_folders(
    host: Any,
    module: Any,
    mutual_bundle: Any,
    on_torch: None,
    tmp_path: Path,
    load_scan: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from DynamicSeg import DynamicSegLogic
    from DynamicSegLib.errors import BundleError
    from Testing.tiny import head_images, write_case

    nodes = load_scan()
    result, summary = DynamicSegLogic().process(nodes, "slim", "50%", perVolume=True)
    assert set(slicer.util.arrayFromTableColumn(result.table, "option").tolist()) == {0, 2}
    assert summary["macs"]["router"] == 0
    with pytest.raises(BundleError, match="'tiny' has no query table"):
        DynamicSegLogic().process(nodes, "tiny", "50%", perVolume=True)
    write_case(tmp_path / "cases" / "a", head_images())
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main([str(tmp_path / "cases"), str(tmp_path / "out"), "--bundle", "slim", "--per-volume"]) == 0
    assert "1.00x-whole" in (tmp_path / "out" / "a" / "decisions.csv").read_text(encoding="utf-8")


def test_a_folder_of_cases_is_segmented_and_a_broken_case_stops_no_other(
    host: Any, module: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from Testing.tiny import head_images, write_case

    cases, output = tmp_path / "cases", tmp_path / "out"
    write_case(cases / "a", head_images(1))
    broken = head_images(2)
    del broken["t2"]
    write_case(cases / "b", broken)
    write_case(cases / "c", head_images(3))
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main([str(cases), str(output), "--bundle", "tiny", "--budget", "60%", "--device", "cpu"]) == 1
    printed = capsys.readouterr()
    assert "b: " in printed.err
    assert "t2" in printed.err
    assert sorted(path.name for path in output.iterdir()) == ["a", "c"]
    for name in ("a", "c"):
        assert (output / name / "segmentation.seg.nrrd").stat().st_size > 0
        summary = json.loads((output / name / "summary.json").read_text(encoding="utf-8"))
        lines = (output / name / "decisions.csv").read_text(encoding="utf-8").strip().splitlines()
        assert len(lines) == summary["slices"] + 1


def test_the_saved_segmentation_keeps_values_names_and_grid(host: Any, module: Any, tmp_path: Path) -> None:
    import numpy as np
    import SimpleITK as sitk

    from Testing.tiny import head_images, write_case

    images = head_images(1)
    write_case(tmp_path / "cases" / "a", images)
    main = runpy.run_path(str(SCRIPT))["main"]
    assert main([str(tmp_path / "cases"), str(tmp_path / "out"), "--bundle", "tiny", "--device", "cpu"]) == 0
    saved = sitk.ReadImage(str(tmp_path / "out" / "a" / "segmentation.seg.nrrd"))
    assert set(np.unique(sitk.GetArrayViewFromImage(saved))) <= {0, 1, 2, 4}
    names = {saved.GetMetaData(key) for key in saved.GetMetaDataKeys() if key.endswith("_Name")}
    assert "Peritumoral edema" in names
    inside = [saved.TransformIndexToPhysicalPoint((0, 0, 0)), images["flair"].TransformIndexToPhysicalPoint((0, 0, 0))]
    offset = images["flair"].TransformPhysicalPointToContinuousIndex(inside[0])
    np.testing.assert_allclose(offset, np.round(offset), atol=1e-4)


def test_the_self_test_that_slicer_runs_passes(host: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import DynamicSeg

    monkeypatch.setattr(DynamicSeg.DynamicSegTest, "delayDisplay", lambda self, message, **more: None)
    slicer.selfTests["DynamicSeg"](msec=0)


def test_the_sample_is_registered(host: Any, module: Any) -> None:
    import sys
    from types import ModuleType

    sources: dict[str, Any] = {}

    class SampleDataLogic:
        # The parameters of Slicer 5.8 to 5.12.
        @staticmethod
        def registerCustomSampleDataSource(
            category: str = "Custom",
            sampleName: Any = None,
            uris: Any = None,
            fileNames: Any = None,
            nodeNames: Any = None,
            customDownloader: Any = None,
            thumbnailFileName: Any = None,
            loadFileTypes: Any = None,
            loadFiles: Any = None,
            loadFileProperties: Any = {},  # noqa: B006  (as there)
            checksums: Any = None,
            loadFileType: Any = None,
        ) -> None:
            sources[sampleName] = {"thumbnailFileName": thumbnailFileName, "customDownloader": customDownloader}

    sys.modules["SampleData"] = ModuleType("SampleData")
    sys.modules["SampleData"].SampleDataLogic = SampleDataLogic  # type: ignore[attr-defined]
    try:
        import DynamicSeg

        DynamicSeg.registerSampleData()
        source = sources["DynamicSegPhantom"]
        assert Path(source["thumbnailFileName"]).is_file()
        nodes = source["customDownloader"](None)
    finally:
        del sys.modules["SampleData"]
    assert [node.GetName() for node in nodes] == ["Phantom_flair", "Phantom_t1ce", "Phantom_t1", "Phantom_t2"]
