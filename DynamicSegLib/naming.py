"""Which modality a file, series or node name speaks of."""

import re
from collections.abc import Iterable

# The usual spellings: BraTS 2018-2021, BraTS 2023, the Medical Segmentation Decathlon, and scanners' own.
_SPELLINGS: dict[str, frozenset[str]] = {
    "flair": frozenset({"flair", "t2f", "t2flair", "fla", "darkfluid"}),
    "t1ce": frozenset({"t1ce", "t1c", "t1gd", "t1post", "t1contrast", "t1gad", "t1km", "t1wce"}),
    "t1": frozenset({"t1", "t1n", "t1w", "t1pre", "t1native"}),
    "t2": frozenset({"t2", "t2w", "t2n"}),
}
_CONTRAST = frozenset({"ce", "c", "gd", "gad", "gado", "post", "contrast", "km", "postcontrast", "postgd"})
_NOT_AN_IMAGE = frozenset(
    {"seg", "label", "labels", "mask", "segmentation", "labelmap", "groundtruth", "gt", "prediction", "brainmask"}
)


def tokens_of(name: str) -> list[str]:
    """Lower-case words and numbers of a name: `"Ax T1_post-GD"` gives `["ax", "t1", "post", "gd"]`."""
    return [token for token in re.split(r"[^a-z0-9]+", name.lower()) if token]


def is_label_name(name: str) -> bool:
    """Whether a name speaks of labels or a mask, not of an image."""
    return bool(_NOT_AN_IMAGE.intersection(tokens_of(name)))


def guess_modality(name: str, modalities: Iterable[str]) -> str | None:
    """The one of `modalities` that `name` speaks of, or None.

    Knows the spellings of BraTS 2018 to 2023, of the Medical Segmentation Decathlon, and common series descriptions;
    any other modality is found by its own name as a word. T1 with a word for contrast is T1ce, T2 with "flair" FLAIR.
    """
    wanted = list(modalities)
    if is_label_name(name):
        return None
    tokens = tokens_of(name)
    found = {
        modality for modality in wanted if _SPELLINGS.get(modality, frozenset({modality.lower()})).intersection(tokens)
    }
    if "flair" in found:
        return "flair"
    if "t1" in found and "t1ce" in wanted and _CONTRAST.intersection(tokens):
        return "t1ce"
    return found.pop() if len(found) == 1 else None
