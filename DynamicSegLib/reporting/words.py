"""What a method adds to a decision, in words: where a slice was cropped, with how many bits, at which width."""

from collections.abc import Iterable, Mapping
from typing import Any

from DynamicSegLib.crop_boxes import COLUMNS as CROP_COLUMNS

DETAILS = "details"
"""The column of tables that holds these words."""

_DESCRIPTIONS = {
    "crop_row": "First row of the crop, in pixels of the slice as the networks see it",
    "crop_column": "First column of the crop, in pixels of the slice as the networks see it",
    "crop_rows": "Rows of the crop, in pixels",
    "crop_columns": "Columns of the crop, in pixels",
    "width": "Width of the network, as a share of its full width",
    "resolution": "Rows and columns to which the slice was resized for the network; whole where it was not",
    DETAILS: "What the network did with the slice, in words",
}


def details_in_words(extra: Mapping[str, Any]) -> str:
    """A decision's extras as a clinician reads them; empty where the method adds nothing.

    `crop 96 around row 120, column 88; 8/8/16/8 bits` (Med-DANet V2: the crop's size and middle in pixels, and the bits
    of each encoder stage), or `50 % of the width, slice at 144 pixels` (MutualNet).
    """
    parts = [_crop_in_words(extra), _bits_in_words(extra), _configuration_in_words(extra)]
    return "; ".join(part for part in parts if part)


def columns_added(extras: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of all columns that a method adds to a table of decisions, in one order whichever slice has which of them:
    crop, bits, width and resolution, others, then the words.
    """
    names = dict.fromkeys(name for extra in extras for name in extra)
    if not names:
        return []
    bits = sorted(name for name in names if name.startswith("bits_"))
    first = [name for name in (*CROP_COLUMNS, *bits, "width", "resolution") if name in names]
    return [*dict.fromkeys([*first, *names]), DETAILS]


def with_words(extra: Mapping[str, Any]) -> dict[str, Any]:
    """A decision's extras and the same in words; empty where the method adds nothing."""
    return {**extra, DETAILS: details_in_words(extra)} if extra else {}


def bits_of(extra: Mapping[str, Any]) -> tuple[float, ...]:
    """Bits of each encoder stage; empty where the decision has none."""
    names = sorted(name for name in extra if name.startswith("bits_"))
    return tuple(float(extra[name]) for name in names)


def description_of(column: str) -> str:
    """What a column that a method adds holds, in one line; empty for a column unknown here."""
    if column.startswith("bits_"):
        stage = column.removeprefix("bits_")
        return f"Bits of the numbers with which stage {stage} of the network's encoder computed"
    return _DESCRIPTIONS.get(column, "")


def _crop_in_words(extra: Mapping[str, Any]) -> str:
    if not all(name in extra for name in CROP_COLUMNS):
        return ""
    row, column, rows, columns = (int(extra[name]) for name in CROP_COLUMNS)
    size = str(rows) if rows == columns else f"{rows} x {columns}"
    return f"crop {size} around row {row + rows // 2}, column {column + columns // 2}"


def _bits_in_words(extra: Mapping[str, Any]) -> str:
    bits = bits_of(extra)
    return "/".join(f"{each:g}" for each in bits) + " bits" if bits else ""


def _configuration_in_words(extra: Mapping[str, Any]) -> str:
    if "width" not in extra:
        return ""
    resolution = extra.get("resolution", "whole")
    seen = "whole slice" if resolution == "whole" else f"slice at {resolution} pixels"
    return f"{100 * float(extra['width']):g} % of the width, {seen}"
