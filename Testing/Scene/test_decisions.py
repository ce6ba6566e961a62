"""Decisions as a table: exact numbers, one row a slice, words for every column."""

from typing import Any

import pytest

from DynamicSegLib.segmentation import Decision

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")

OPTIONS = ("skip", "M1")


def decision(index: int, option: int, **more: Any) -> Decision:
    quality = {"skip": 0.25, "M1": 0.5}
    return Decision(index, option, OPTIONS[option], 12_345_678_901 * option, 2 * option, 1.5, quality, more)


def row(node: Any, index: int) -> dict[str, str]:
    names = [node.GetColumnName(column) for column in range(node.GetNumberOfColumns())]
    return {name: node.GetCellText(index, column) for column, name in enumerate(names)}


def test_rows_are_in_the_order_of_the_volume_and_numbers_are_exact(scene: Any) -> None:
    from DynamicSegLib.scene.decisions import table_node_from_decisions

    node = table_node_from_decisions([decision(4, 1), decision(3, 0)], OPTIONS, "decisions")
    assert [row(node, index)["slice"] for index in (0, 1)] == ["3", "4"]
    assert row(node, 1)["macs"] == "12345678901"
    assert row(node, 1)["candidate"] == "M1"
    assert float(row(node, 0)["quality_skip"]) == 0.25


def test_what_a_method_adds_gets_its_own_column(scene: Any) -> None:
    from DynamicSegLib.scene.decisions import table_node_from_decisions

    node = table_node_from_decisions([decision(0, 1, crop="10,20,96,96"), decision(1, 0)], OPTIONS, "decisions")
    assert row(node, 0)["crop"] == "10,20,96,96"
    assert row(node, 1)["crop"] == ""


def test_columns_are_those_of_the_command_lines_csv_and_say_what_they_mean(scene: Any) -> None:
    from DynamicSegLib.reporting.tables import COLUMNS
    from DynamicSegLib.scene.decisions import table_node_from_decisions

    node = table_node_from_decisions([decision(0, 1)], OPTIONS, "decisions")
    names = [node.GetColumnName(column) for column in range(node.GetNumberOfColumns())]
    assert names == [*COLUMNS, "quality_skip", "quality_M1"]
    assert all(node.GetColumnDescription(name) for name in names)
    assert node.GetColumnUnitLabel("macs") == "MAC"


def test_crop_and_bits_are_also_said_in_words(scene: Any) -> None:
    from DynamicSegLib.scene.decisions import table_node_from_decisions

    crop = {"crop_row": 10, "crop_column": 20, "crop_rows": 96, "crop_columns": 96, "bits_1": 8, "bits_2": 16}
    node = table_node_from_decisions([decision(0, 0), decision(1, 1, **crop)], OPTIONS, "decisions")
    names = [node.GetColumnName(column) for column in range(node.GetNumberOfColumns())]
    assert names[-7:] == [*crop, "details"]
    assert [row(node, index)["details"] for index in (0, 1)] == ["", "crop 96 around row 58, column 68; 8/16 bits"]
    assert all(node.GetColumnDescription(name) for name in names)


def test_filling_again_replaces_all_rows(scene: Any) -> None:
    from DynamicSegLib.scene.decisions import fill_table, table_node_from_decisions

    node = table_node_from_decisions([decision(0, 1), decision(1, 1)], OPTIONS, "decisions")
    fill_table(node, [decision(0, 0)], OPTIONS)
    assert node.GetNumberOfRows() == 1
    assert row(node, 0)["option"] == "0"
