"""A slice cache in parts."""

from pathlib import Path

import numpy as np
import pytest

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.cache import open_case
from DynamicSegLib.training.parts import join_parts, split_cache
from Testing.Library.training_cases import tiny_cache


def test_a_cache_survives_being_split_and_joined(tmp_path: Path) -> None:
    cases = tiny_cache(tmp_path)
    (tmp_path / "cache" / "cases.csv").write_text("case,fold\ncase0,0\n", encoding="utf-8")
    one = 1.5 * _size_of_one(tmp_path) / 2**20
    assert split_cache(tmp_path / "cache", tmp_path / "parts", limit_mib=one) == 3
    assert all(path.stat().st_size < 1.1 * one * 2**20 for path in (tmp_path / "parts").iterdir())
    assert join_parts(tmp_path / "parts", tmp_path / "joined") == 3
    for case in cases:
        again = open_case(tmp_path / "joined" / case.record.case)
        assert again.record == case.record
        np.testing.assert_array_equal(again.slices, case.slices)
    assert (tmp_path / "joined" / "cases.csv").is_file()
    assert sorted(path.name for path in (tmp_path / "joined").iterdir())[-1] == "cases.csv"


def _size_of_one(folder: Path) -> int:
    split_cache(folder / "cache", folder / "whole", limit_mib=1)
    return (folder / "whole" / "part-000.zip").stat().st_size // 3


def test_a_case_larger_than_a_part_is_named(tmp_path: Path) -> None:
    tiny_cache(tmp_path, 1)
    with pytest.raises(TrainingError, match="Case case0 takes"):
        split_cache(tmp_path / "cache", tmp_path / "parts", limit_mib=0.0001)
    assert not list((tmp_path / "parts").iterdir())


def test_a_folder_without_parts_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds no part-"):
        join_parts(tmp_path, tmp_path / "joined")
