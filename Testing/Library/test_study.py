"""The study: whatever way a scan is stored, the networks see the same, and labels come back to its own grid."""

import re
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from DynamicSegLib.errors import BundleError, InputError
from DynamicSegLib.normalisation import Normalisation, NormalisationKind
from DynamicSegLib.study import InputSpec, Study, build_study

SPEC = InputSpec(("flair", "t1"), size=(40, 32))
ORIENTATIONS = ["LPS", "RAS", "LAS", "RPI", "SPL", "PIR", "ASR", "ILP"]


def ball(
    size: tuple[int, int, int] = (32, 40, 10),
    spacing: tuple[float, float, float] = (1.0, 1.0, 3.0),
    origin: tuple[float, float, float] = (-16.0, -20.0, 5.0),
) -> sitk.Image:
    """A smooth lopsided ball in air, columns to left, rows to posterior, slices to superior; zero outside."""
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    x, y, z = (
        origin[a] + spacing[a] * np.arange(size[a]).reshape([-1 if b == 2 - a else 1 for b in range(3)])
        for a in range(3)
    )
    radius = ((x + 2) / 11) ** 2 + ((y - 1) / 13) ** 2 + ((z - 18) / 12) ** 2
    values = np.where(radius < 1, 100 + 3 * x + 2 * y + z, 0).astype(np.float32)
    filled = sitk.GetImageFromArray(values)
    filled.CopyInformation(image)
    return filled


def pair(change: Callable[[sitk.Image], sitk.Image] = lambda image: image) -> dict[str, sitk.Image]:
    return {"flair": change(ball()), "t1": change(ball() * 2 + sitk.Cast(ball() > 0, sitk.sitkFloat32) * 7)}


def tilted(image: sitk.Image, degrees: float) -> sitk.Image:
    """The same pixels under a direction matrix turned about the x axis."""
    a = np.deg2rad(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    image = sitk.Image(image)
    image.SetDirection((turn @ np.array(image.GetDirection()).reshape(3, 3)).ravel())
    image.SetOrigin(turn @ np.array(image.GetOrigin()))
    return image


def marked(study: Study) -> np.ndarray:
    """Labels that no symmetry of the grid maps onto themselves."""
    labels = np.zeros(study.grid.shape, np.uint8)
    labels[study.volumes[0] > 0.3] = 1
    labels[: study.slices // 3][study.volumes[0, : study.slices // 3] != 0] = 4
    return labels


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_gives_the_networks_the_same_volumes(orientation: str) -> None:
    plain = build_study(pair(), SPEC)
    turned = build_study(pair(lambda image: sitk.DICOMOrient(image, orientation)), SPEC)
    np.testing.assert_array_equal(turned.volumes, plain.volumes)
    assert turned.warnings == plain.warnings == ()


@pytest.mark.parametrize("degrees", [0, 20, -35])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_labels_return_exactly_to_the_native_grid(orientation: str, degrees: float) -> None:
    images = pair(lambda image: tilted(sitk.DICOMOrient(image, orientation), degrees))
    study = build_study(images, SPEC)
    labels = marked(study)
    native = study.to_native(labels)
    assert native.GetSize() == images["flair"].GetSize()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(native, name)() == getattr(images["flair"], name)()
    # Going round again ends where it began: the way out and the way back are inverse.
    np.testing.assert_array_equal(study.grid.sample(native), labels)
    assert np.bincount(sitk.GetArrayFromImage(native).ravel()).tolist() == np.bincount(labels.ravel()).tolist()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_native_slice_indices_name_the_slices_of_the_stored_image(orientation: str) -> None:
    study = build_study(pair(lambda image: sitk.DICOMOrient(image, orientation)), SPEC)
    labels = np.zeros(study.grid.shape, np.uint8)
    labels[2] = 1
    native = sitk.GetArrayFromImage(study.to_native(labels))
    axis = 2 - study.native_slice_axis
    found = np.flatnonzero(native.any(axis=tuple(a for a in range(3) if a != axis)))
    assert found.tolist() == [study.native_slice_index(2)]


def test_an_oblique_scan_keeps_its_own_slices() -> None:
    plain = build_study(pair(), SPEC)
    oblique = build_study(pair(lambda image: tilted(image, 20)), SPEC)
    np.testing.assert_array_equal(oblique.volumes, plain.volumes)


def test_origins_that_differ_by_rounding_are_the_same_grid() -> None:
    images = pair()
    images["t1"].SetOrigin(np.add(images["t1"].GetOrigin(), 0.02))
    study = build_study(images, SPEC)
    assert study.warnings == ()
    np.testing.assert_array_equal(study.volumes, build_study(pair(), SPEC).volumes)


def test_a_coarser_volume_is_resampled_onto_the_finest_and_the_user_is_told() -> None:
    images = pair()
    images["t1"] = sitk.Resample(
        images["t1"], (16, 20, 10), sitk.Transform(), sitk.sitkLinear, (-15.5, -19.5, 5.0), (2.0, 2.0, 3.0)
    )
    study = build_study(images, SPEC)
    plain = build_study(pair(), SPEC)
    assert len(study.warnings) == 1
    assert "t1 lies on another grid" in study.warnings[0] and "2.00 x 2.00 x 3.00" in study.warnings[0]
    inside = plain.grid.sample(sitk.BinaryErode(ball() > 0, (2, 2, 0))) > 0
    assert np.corrcoef(study.volumes[1][inside], plain.volumes[1][inside])[0, 1] > 0.97


def test_a_shifted_volume_is_brought_back_into_place() -> None:
    images = pair()
    shifted = sitk.Resample(
        images["t1"], (32, 40, 10), sitk.Transform(), sitk.sitkLinear, (-19.0, -17.0, 5.0), (1.0, 1.0, 3.0)
    )
    study = build_study({"flair": images["flair"], "t1": shifted}, SPEC)
    assert "displaced by up to 3.00 voxels" in study.warnings[0]
    np.testing.assert_allclose(study.volumes, build_study(pair(), SPEC).volumes, atol=1e-4)


def test_other_spacing_in_plane_goes_to_the_bundles_and_labels_come_back_in_shape() -> None:
    fine = {"flair": ball((64, 80, 10), (0.5, 0.5, 3.0), (-16.25, -20.25, 5.0))}
    study = build_study(fine, InputSpec(("flair",), size=(40, 32)))
    assert study.volumes.shape == (1, 10, 40, 32) and study.spacing_mm == (3.0, 1.0, 1.0)
    native = study.to_native((study.volumes[0] != 0).astype(np.uint8))
    truth = sitk.GetArrayFromImage(fine["flair"]) != 0
    found = sitk.GetArrayFromImage(native) != 0
    assert native.GetSize() == (64, 80, 10) and native.GetSpacing() == fine["flair"].GetSpacing()
    assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.93


def test_a_scan_larger_than_the_window_is_centred_on_the_head_and_nothing_of_it_is_lost() -> None:
    wide = ball((96, 40, 10), (1.0, 1.0, 3.0), (-70.0, -20.0, 5.0))
    study = build_study({"flair": wide}, InputSpec(("flair",), size=(40, 32)))
    assert study.volumes.shape == (1, 10, 40, 32)
    assert (study.volumes != 0).sum() == (sitk.GetArrayViewFromImage(wide) != 0).sum()
    native = sitk.GetArrayFromImage(study.to_native((study.volumes[0] != 0).astype(np.uint8)))
    np.testing.assert_array_equal(native != 0, sitk.GetArrayViewFromImage(wide) != 0)


def test_the_window_grows_where_the_head_would_not_fit() -> None:
    study = build_study(pair(), InputSpec(("flair", "t1"), size=(16, 16)))
    assert study.grid.shape == (10, 32, 24)
    assert "working size grew to 32 x 24" in study.warnings[0]


@pytest.mark.parametrize(("axis", "shape"), [("coronal", (40, 10, 32)), ("sagittal", (32, 10, 40))])
def test_slices_can_run_along_another_axis(axis: str, shape: tuple[int, int, int]) -> None:
    spec = InputSpec(("flair", "t1"), slice_axis=axis, spacing_mm=(3.0, 1.0), size=(16, 40))
    study = build_study(pair(), spec)
    assert study.grid.shape[0] == shape[0]
    labels = marked(study)
    native = study.to_native(labels)
    assert native.GetSize() == (32, 40, 10)
    assert (sitk.GetArrayViewFromImage(native) > 0).sum() == (labels > 0).sum()


def test_zscores_are_taken_inside_the_union_of_nonzero_voxels() -> None:
    study = build_study(pair(), SPEC)
    inside = study.volumes[0] != 0
    assert study.volumes[0][inside].mean() == pytest.approx(0, abs=1e-5)
    assert study.volumes[0][inside].std() == pytest.approx(1, abs=1e-5)
    assert (study.volumes[:, ~inside] == 0).all()


def test_a_window_maps_hounsfield_units_to_zero_and_one() -> None:
    values = np.array([[[[-1000.0, -100.0, 50.0, 200.0, 900.0]]]], np.float32)
    Normalisation(NormalisationKind.WINDOW, -100, 200).apply(values, ("ct",))
    np.testing.assert_allclose(values.ravel(), [0, 0, 0.5, 1, 1])


def test_a_head_with_its_skull_is_warned_about_and_a_mask_mends_it() -> None:
    rng = np.random.default_rng(0)

    def in_air(image: sitk.Image) -> sitk.Image:
        noise = sitk.GetImageFromArray(rng.uniform(1, 9, (10, 40, 32)).astype(np.float32))
        noise.CopyInformation(image)
        return image + noise

    images = pair(in_air)
    assert any("do not look skull-stripped" in warning for warning in build_study(images, SPEC).warnings)
    mask = sitk.Cast(ball() > 0, sitk.sitkUInt8)
    masked = build_study(images, SPEC, mask)
    assert masked.warnings == ()
    np.testing.assert_array_equal(masked.volumes[0] != 0, build_study(pair(), SPEC).volumes[0] != 0)


def with_value(value: float) -> sitk.Image:
    image = ball()
    image[3, 4, 5] = value
    return image


def rgb() -> sitk.Image:
    return sitk.Compose([sitk.Cast(ball(), sitk.sitkUInt8)] * 3)


def moved(image: sitk.Image) -> sitk.Image:
    image.SetOrigin((500.0, 500.0, 500.0))
    return image


BAD_VOLUMES = [
    (lambda: with_value(float("nan")), "1 voxels that are NaN or infinite"),
    (lambda: with_value(float("inf")), "NaN or infinite"),
    (lambda: ball() * 0, "empty"),
    (lambda: ball() * 0 + 7, "constant \\(all voxels are 7\\)"),
    (lambda: ball()[:, :, 3], "2D"),
    (rgb, "expected one grey value each"),
    (lambda: ball()[:, :8, :8], "at least 16 pixels"),
    (lambda: moved(ball()), "share no space"),
]


@pytest.mark.parametrize(("make", "message"), BAD_VOLUMES)
def test_a_bad_volume_gets_one_error_that_names_it(make: Callable[[], sitk.Image], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_study({"flair": ball(), "t1": make()}, SPEC)
    assert "t1" in str(caught.value)


@pytest.mark.parametrize("factor", [0.001, 100.0])
def test_a_spacing_in_another_unit_is_told(factor: float) -> None:
    def change(image: sitk.Image) -> sitk.Image:
        image.SetSpacing([factor * mm for mm in image.GetSpacing()])
        return image

    with pytest.raises(InputError, match="is the spacing in another unit"):
        build_study(pair(change), SPEC)


def test_the_same_volume_twice_is_warned_about() -> None:
    study = build_study({"flair": ball(), "t1": ball()}, SPEC)
    assert any("flair and t1 are the same volume" in warning for warning in study.warnings)
    assert not any("same volume" in warning for warning in build_study(pair(), SPEC).warnings)


def test_a_volume_that_covers_a_part_of_the_scan_is_warned_about() -> None:
    images = pair()
    images["t1"][:, :, 5:] = 0
    study = build_study(images, SPEC)
    assert any(re.match(r"t1 is empty on \d of \d slices", warning) for warning in study.warnings)
    assert not any("is empty on" in warning for warning in build_study(pair(), SPEC).warnings)


def test_a_missing_modality_is_named_with_what_was_given() -> None:
    with pytest.raises(InputError, match=r"t1 missing.*given: flair"):
        build_study({"flair": ball()}, SPEC)


@pytest.mark.parametrize("make", [lambda: ball() * 0, lambda: ball(origin=(500.0, 0.0, 0.0))])
def test_a_mask_that_covers_nothing_is_refused(make: Callable[[], sitk.Image]) -> None:
    with pytest.raises(InputError, match="mask is empty"):
        build_study(pair(), SPEC, sitk.Cast(make() > 0, sitk.sitkUInt8))


def test_labels_of_another_shape_are_refused() -> None:
    study = build_study(pair(), SPEC)
    with pytest.raises(InputError, match="do not belong"):
        study.to_native(np.zeros((1, 40, 32), np.uint8))


def test_an_unknown_slice_axis_is_refused() -> None:
    with pytest.raises(BundleError, match=r"'oblique' is unknown.*axial"):
        InputSpec(("flair",), slice_axis="oblique")


@settings(max_examples=25, deadline=None)
@given(
    orientation=st.sampled_from(ORIENTATIONS),
    size=st.tuples(st.integers(17, 50), st.integers(17, 50), st.integers(1, 6)),
    degrees=st.floats(-40, 40),
    seed=st.integers(0, 1000),
)
def test_any_labels_on_any_grid_survive_the_way_back(
    orientation: str, size: tuple[int, int, int], degrees: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = sitk.GetImageFromArray(rng.uniform(1, 2, size[::-1]).astype(np.float32))
    image = tilted(sitk.DICOMOrient(image, orientation), degrees)
    study = build_study({"flair": image}, InputSpec(("flair",), size=(32, 32), skull_stripped=False))
    native = rng.integers(0, 5, image.GetSize()[::-1]).astype(np.uint8)
    labels = sitk.GetImageFromArray(native)
    labels.CopyInformation(image)
    working = study.grid.sample(labels).astype(np.uint8)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(study.to_native(working)), native)


@pytest.mark.parametrize("kind", NormalisationKind)
@pytest.mark.parametrize("spacing_mm", [1.0, 1.1], ids=["copied", "interpolated"])
def test_preparing_needs_little_more_memory_than_what_it_makes(kind: NormalisationKind, spacing_mm: float) -> None:
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.integers(1, 1000, (160, 64, 64), np.int16))
    image.SetSpacing((spacing_mm, spacing_mm, 1.0))
    normalisation = Normalisation(kind, 0.0, 1000.0)
    spec = InputSpec(("ct",), size=(72, 72), normalisation=normalisation, skull_stripped=False)
    tracemalloc.start()
    try:
        study = build_study({"ct": image}, spec)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert study.volumes.nbytes < peak_bytes < 1.75 * study.volumes.nbytes
