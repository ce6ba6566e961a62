"""Which modality a file, series or node name speaks of."""

import itertools
import re
from collections.abc import Iterable, Sequence

# The usual spellings: BraTS 2018-2021, BraTS 2023, the Medical Segmentation Decathlon, and scanners' own.
_SPELLINGS: dict[str, frozenset[str]] = {
    "flair": frozenset({"flair", "t2f", "t2flair", "fla", "darkfluid"}),
    "t1ce": frozenset({"t1ce", "t1c", "t1gd", "t1post", "t1contrast", "t1gad", "t1km", "t1wce"}),
    "t1": frozenset({"t1", "t1n", "t1w", "t1pre", "t1native"}),
    "t2": frozenset({"t2", "t2w", "t2n"}),
}
_CONTRAST = frozenset({"ce", "c", "gd", "gad", "gado", "post", "contrast", "km", "postcontrast", "postgd"})
# Before a word for contrast these deny it.
_WITHOUT = frozenset({"pre", "without", "wo", "non", "no"})
_WITHOUT_CONTRAST = frozenset({"precontrast", "noncontrast", "unenhanced"})
_NOT_AN_IMAGE = frozenset(
    {"seg", "label", "labels", "mask", "segmentation", "labelmap", "groundtruth", "gt", "prediction", "brainmask"}
)


def tokens_of(name: str) -> list[str]:
    """Lower-case words and numbers of a name: `"Ax T1_post-GD"` gives `["ax", "t1", "post", "gd"]`."""
    words = name.lower().replace("w/o", " without ")
    return [token for token in re.split(r"[^a-z0-9]+", words) if token]


def is_label_name(name: str) -> bool:
    """Whether a name speaks of labels or a mask, not of an image."""
    return bool(_NOT_AN_IMAGE.intersection(tokens_of(name)))


def guess_modality(name: str, modalities: Iterable[str]) -> str | None:
    """The one of `modalities` that `name` speaks of, or None.

    Knows the spellings of BraTS 2018 to 2023, of the Medical Segmentation Decathlon, and common series descriptions;
    any other modality is found by its own name as a word. T1 with a word for contrast is T1ce, unless another says that
    there was none; T2 with "flair" is FLAIR.
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
    if "t1" in found and "t1ce" in wanted and _CONTRAST.intersection(tokens) and not _says_no_contrast(tokens):
        return "t1ce"
    return found.pop() if len(found) == 1 else None


def _says_no_contrast(tokens: Sequence[str]) -> bool:
    pairs = itertools.pairwise(tokens)
    return bool(_WITHOUT_CONTRAST.intersection(tokens)) or any(
        first in _WITHOUT and second in _CONTRAST for first, second in pairs
    )
