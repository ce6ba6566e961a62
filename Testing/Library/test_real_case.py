"""A real scan, whatever way it is stored: the same labels on each input's own grid, over the real tumour.

The shipped bundle was trained on this case too: how good it is on others is said by its model card, not here.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.bundles import find_bundles, load_bundle
from DynamicSegLib.cli.main import main
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.reading import read_case
from DynamicSegLib.segmentation import Segmentation
from DynamicSegLib.study import build_study

CASE = Path(__file__).resolve().parents[3] / "shared" / "data" / "cases" / "BraTS2021_00003"
MODALITIES = ("flair", "t1ce", "t1", "t2")

pytestmark = [
    pytest.mark.skipif(not CASE.is_dir(), reason="no real scan at hand: ../shared/data is absent"),
    pytest.mark.skipif("glioma" not in find_bundles(), reason="the glioma bundle is not installed"),
]


@pytest.fixture(autouse=True, scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYNAMICSEG_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def images() -> dict[str, sitk.Image]:
    return read_case(CASE, MODALITIES)


@pytest.fixture(scope="module")
def plain(images: dict[str, sitk.Image]) -> Segmentation:
    return segmented(images)


def segmented(images: dict[str, sitk.Image]) -> Segmentation:
    bundle = load_bundle("glioma")
    run = start_run(build_study(images, bundle.input), bundle, device="cpu", backend="torch")
    for _ in run.execute(run.plan()):
        pass
    return run.segmentation()


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def agreement(result: sitk.Image, reference: sitk.Image) -> float:
    """The smallest Dice of WT, TC and ET between two label volumes, the second resampled onto the first's grid."""
    moved = sitk.Resample(reference, result, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    a, b = sitk.GetArrayFromImage(result), sitk.GetArrayFromImage(moved)
    return min(dice(np.isin(a, values), np.isin(b, values)) for values in ((1, 2, 4), (1, 4), (4,)))


def tilt(image: sitk.Image) -> sitk.Image:
    angle = np.deg2rad(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    tilted = sitk.Image(image)
    tilted.SetDirection((turn @ np.array(image.GetDirection()).reshape(3, 3)).ravel())
    return tilted


def same_grid(result: sitk.Image, scan: sitk.Image) -> bool:
    return all(
        getattr(result, name)() == getattr(scan, name)()
        for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection")
    )


def test_the_labels_lie_over_the_tumour(plain: Segmentation) -> None:
    truth = sitk.ReadImage(str(CASE / "BraTS2021_00003_seg.nii.gz"))
    found, real = (sitk.GetArrayFromImage(image) > 0 for image in (plain.to_native(), truth))
    assert dice(found, real) > 0.7


STORED: list[tuple[str, Callable[[sitk.Image], sitk.Image]]] = [
    ("RAS", lambda image: sitk.DICOMOrient(image, "RAS")),
    ("sagittal order", lambda image: sitk.DICOMOrient(image, "PIR")),
    ("tilted by 20 degrees", tilt),
]


@pytest.mark.parametrize("change", [change for _, change in STORED], ids=[name for name, _ in STORED])
def test_another_direction_matrix_gives_the_same_labels_on_its_own_grid(
    images: dict[str, sitk.Image], plain: Segmentation, change: Callable[[sitk.Image], sitk.Image]
) -> None:
    stored = {name: change(image) for name, image in images.items()}
    result = segmented(stored).to_native()
    assert same_grid(result, stored["flair"])
    assert agreement(result, change(plain.to_native())) > 0.99


def test_an_origin_off_by_a_fiftieth_of_a_millimetre_gives_the_same_labels(
    images: dict[str, sitk.Image], plain: Segmentation
) -> None:
    shifted = dict(images)
    shifted["t2"] = sitk.Image(images["t2"])
    shifted["t2"].SetOrigin(np.add(images["t2"].GetOrigin(), 0.02))
    result = segmented(shifted)
    assert agreement(result.to_native(), plain.to_native()) > 0.99
    assert result.warnings == ()


def test_a_modality_at_twice_the_spacing_still_gives_the_tumour(
    images: dict[str, sitk.Image], plain: Segmentation
) -> None:
    coarse = dict(images)
    smooth = sitk.DiscreteGaussian(sitk.Cast(images["t2"], sitk.sitkFloat32), (1.0, 1.0, 0.0))
    coarse["t2"] = sitk.Resample(
        smooth,
        (120, 120, 155),
        sitk.Transform(),
        sitk.sitkLinear,
        np.add(images["t2"].GetOrigin(), (0.5, 0.5, 0.0)).tolist(),
        (2.0, 2.0, 1.0),
        images["t2"].GetDirection(),
    )
    result = segmented(coarse)
    assert agreement(result.to_native(), plain.to_native()) > 0.85
    assert "t2 lies on another grid" in result.warnings[0]


def write_dicom(image: sitk.Image, folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    image = sitk.Cast(image, sitk.sitkInt16)
    for k in range(image.GetSize()[2]):
        piece = image[:, :, k]
        for tag, value in {
            "0008|0060": "MR",
            "0020|000e": f"1.2.3.{number}",
            "0008|0018": f"1.2.3.{number}.{k + 1}",
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(str(x) for x in image.TransformIndexToPhysicalPoint((0, 0, k))),
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0018|0050": "1",
        }.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{k:03}.dcm"))
        writer.Execute(piece)


@pytest.mark.parametrize("stored", ["nrrd", "dicom"])
def test_another_format_gives_the_same_labels(
    images: dict[str, sitk.Image], plain: Segmentation, tmp_path: Path, stored: str
) -> None:
    for number, (name, image) in enumerate(images.items()):
        if stored == "nrrd":
            (tmp_path / "case").mkdir(exist_ok=True)
            sitk.WriteImage(image, str(tmp_path / "case" / f"scan_{name}.nrrd"))
        else:
            write_dicom(image, tmp_path / "case" / name, number + 4)
    arguments = ["--device", "cpu", "--backend", "torch", "--output", str(tmp_path / "out")]
    assert main(["segment", str(tmp_path / "case"), *arguments]) == 0
    result = sitk.ReadImage(str(tmp_path / "out" / "segmentation.nii.gz"))
    scan = images["flair"]
    assert result.GetSize() == scan.GetSize()
    assert result.GetOrigin() == pytest.approx(scan.GetOrigin()) and result.GetDirection() == scan.GetDirection()
    assert agreement(result, plain.to_native()) > 0.99
