"""A NIfTI file that is not whole is told from one that is."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DynamicSegLib.errors import InputError
from DynamicSegLib.nifti import require_whole
from DynamicSegLib.reading import read_volume

VALUES = np.random.default_rng(0).integers(0, 1000, (9, 20, 30)).astype(np.int16)


def written(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(path))
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_whole_file_passes(tmp_path: Path, name: str) -> None:
    require_whole(written(tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_volume(tmp_path / name)), VALUES)


@pytest.mark.parametrize(("name", "words"), [("a.nii", "ends early: it holds 5,000 bytes"), ("a.nii.gz", "is damaged")])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, name: str, words: str) -> None:
    path = written(tmp_path / name)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=words):
        read_volume(path)


def test_a_file_that_was_cut_before_it_was_packed_is_refused(tmp_path: Path) -> None:
    content = written(tmp_path / "a.nii").read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(content[:-100]))
    with pytest.raises(InputError, match=rf"holds {len(content) - 100:,} bytes where its header promises"):
        read_volume(path)


def test_a_file_packed_in_several_parts_is_unpacked_and_passes(tmp_path: Path) -> None:
    content = written(tmp_path / "a.nii").read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(content[:3000]) + gzip.compress(content[3000:]))
    require_whole(path)


def test_both_byte_orders_and_both_versions_are_understood(tmp_path: Path) -> None:
    for order in "<>":
        first = bytearray(352)
        struct.pack_into(f"{order}i", first, 0, 348)
        struct.pack_into(f"{order}8h", first, 40, 3, 2, 3, 4, 0, 0, 0, 0)
        struct.pack_into(f"{order}h", first, 72, 16)
        struct.pack_into(f"{order}f", first, 108, 352.0)
        second = bytearray(544)
        struct.pack_into(f"{order}i", second, 0, 540)
        struct.pack_into(f"{order}h", second, 14, 16)
        struct.pack_into(f"{order}8q", second, 16, 3, 2, 3, 4, 0, 0, 0, 0)
        struct.pack_into(f"{order}q", second, 168, 544)
        for header in (first, second):
            path = tmp_path / "a.nii"
            path.write_bytes(header + bytes(48))
            require_whole(path)
            path.write_bytes(header + bytes(47))
            with pytest.raises(InputError, match="ends early"):
                require_whole(path)


@pytest.mark.parametrize(("kind", "place", "value"), [("<f", 108, float("nan")), ("<h", 40, -1), ("<h", 40, 9)])
def test_a_header_without_sense_is_left_to_the_reader(tmp_path: Path, kind: str, place: int, value: float) -> None:
    path = written(tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into(kind, content, place, value)
    path.write_bytes(content)
    require_whole(path)


def test_what_is_no_nifti_is_left_to_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(b"something else")
    require_whole(path)
    with pytest.raises(InputError, match="cannot be read as a volume"):
        read_volume(path)
