"""Crop boxes in the patient's space."""

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.crop_boxes import crop_corners_mm
from DynamicSegLib.segmentation import Decision
from DynamicSegLib.study import InputSpec, build_study
from Testing.tiny import COLUMNS, MODALITIES, ROWS, head_images


def decision(index: int, **extra: int) -> Decision:
    return Decision(index, 1, "crop16", 1, 1, 1.0, {}, extra)


@pytest.mark.parametrize("flipped", [False, True])
def test_the_box_encloses_the_pixels_that_were_cropped(flipped: bool) -> None:
    images = head_images()
    if flipped:
        images = {name: sitk.Flip(image, (False, False, True)) for name, image in images.items()}
    study = build_study(images, InputSpec(MODALITIES, size=(ROWS, COLUMNS)))
    working = 4
    labels = np.zeros((study.slices, ROWS, COLUMNS), np.uint8)
    labels[working, 7:23, 11:27] = 1
    native = study.to_native(labels)
    found = sitk.GetArrayFromImage(native)
    # Every labelled voxel's centre lies inside the box, half a pixel from its edges at least.
    places = [native.TransformIndexToPhysicalPoint(tuple(int(i) for i in at[::-1])) for at in np.argwhere(found)]
    corners = crop_corners_mm(
        study,
        decision(study.native_slice_index(working), crop_row=7, crop_column=11, crop_rows=16, crop_columns=16),
    )
    assert corners is not None
    assert corners.shape == (4, 3)
    points = np.array(places)
    np.testing.assert_allclose(points[:, :2].min(axis=0) - 0.5, corners[:, :2].min(axis=0), atol=1e-6)
    np.testing.assert_allclose(points[:, :2].max(axis=0) + 0.5, corners[:, :2].max(axis=0), atol=1e-6)
    np.testing.assert_allclose(corners[:, 2], points[0, 2], atol=1e-6)


def test_a_slice_that_was_not_cropped_has_no_box() -> None:
    study = build_study(head_images(), InputSpec(MODALITIES, size=(ROWS, COLUMNS)))
    assert crop_corners_mm(study, decision(0, bits_1=8)) is None
