"""`dynamicseg synthesize`."""

import argparse
from pathlib import Path

import pytest
import SimpleITK as sitk

from DynamicSegLib.cli.synthesize import add_parser
from DynamicSegLib.errors import InputError


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["synthesize", *arguments])
    return int(options.func(options))


def test_each_seed_becomes_a_case_folder_named_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--output", str(tmp_path), "--seed", "5", "--cases", "2", "--size", "small") == 0
    cases = [tmp_path / "phantom_0005", tmp_path / "phantom_0006"]
    assert capsys.readouterr().out.splitlines() == [str(case) for case in cases]
    for case in cases:
        assert sitk.ReadImage(str(case / f"{case.name}_flair.nii.gz")).GetSize() == (240, 240, 48)
        assert (case / f"{case.name}_seg.nii.gz").is_file()


def test_no_cases_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--cases 0"):
        run("--output", str(tmp_path), "--cases", "0")


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    occupied = tmp_path / "taken"
    occupied.write_text("not a folder")
    with pytest.raises(InputError, match="taken"):
        run("--output", str(occupied), "--size", "small")
