"""What is mended after the networks: islands too small to be a finding, and labels too small to be trusted.

Networks that see one slice at a time leave two faults that a look at the whole case mends: false islands, often in a
few slices only, and a few false voxels of a structure that the case does not have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil, isfinite, prod
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DynamicSegLib.errors import BundleError

# A volume that equals the threshold stays, also where its voxels' millilitres are not exact in binary.
_ROUNDING_VOXELS = 1e-6


@dataclass(frozen=True)
class SmallLabel:
    """A label of less than `millilitres` in the whole case becomes the label `becomes`."""

    millilitres: float
    becomes: int


@dataclass(frozen=True)
class Cleaning:
    """The rules, applied in this order; part of the bundle.

    Parameters
    ----------
    smallest_island_ml: connected parts of the foreground (26 neighbours, all labels together) below this volume become
        background; the largest part always stays.
    smallest_label_ml: by label value. What a label becomes has no rule of its own, so that cleaning twice changes
        nothing more.

    Raises
    ------
    BundleError: a volume that is negative or not finite, or a label that becomes background, itself, or a label with a
        rule.

    Source: Isensee et al. 2020, nnU-Net for Brain Tumor Segmentation (enhancing tumour below a volume becomes
    necrosis).
    """

    smallest_island_ml: float = 0.0
    smallest_label_ml: Mapping[int, SmallLabel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for millilitres in (self.smallest_island_ml, *(rule.millilitres for rule in self.smallest_label_ml.values())):
            if not isfinite(millilitres) or millilitres < 0:
                raise BundleError(f"Cleaning below {millilitres} mL: expected 0 or more millilitres.")
        for value, rule in self.smallest_label_ml.items():
            if rule.becomes == 0 or rule.becomes in self.smallest_label_ml:
                raise BundleError(
                    f"Cleaning: label {value} becomes {rule.becomes}, where another label without a rule was expected."
                )

    def renumbered(self, numbers: Mapping[int, int]) -> "Cleaning":
        """The same rules for labels that are numbered otherwise, e.g. by class index. `numbers`: new by old."""
        rules = {
            numbers[value]: SmallLabel(rule.millilitres, numbers[rule.becomes])
            for value, rule in self.smallest_label_ml.items()
        }
        return Cleaning(self.smallest_island_ml, rules)

    @property
    def key(self) -> str:
        """Names a folder of results of labels that were cleaned in this way."""
        small = self.smallest_label_ml.items()
        rules = [f"{value}-below-{rule.millilitres!r}-is-{rule.becomes}" for value, rule in small]
        return "-".join(["cleaned", repr(self.smallest_island_ml), *sorted(rules)])

    def to_plain(self) -> dict[str, Any]:
        """What `bundle.json` holds; `parse_cleaning` reads it."""
        rules = {str(value): asdict(rule) for value, rule in self.smallest_label_ml.items()}
        return {"smallest_island_ml": self.smallest_island_ml, "smallest_label_ml": rules}


@dataclass(frozen=True)
class Changes:
    """What cleaning did: millilitres that became background, and that changed their label, by its former value."""

    removed_ml: float
    relabelled_ml: Mapping[int, float]


def parse_cleaning(rules: object, values: Sequence[int], where: str) -> Cleaning | None:
    """Rules as a bundle or a configuration gives them; None where it gives none.

    Parameters
    ----------
    values: of the labels that there are.
    where: file, for messages.

    Raises
    ------
    BundleError: an unknown key or label, or a value that does not fit.
    """
    if rules is None:
        return None
    given = _fields(rules, ("smallest_island_ml", "smallest_label_ml"), f"{where}: cleaning")
    small = {}
    for name, content in _mapping(given.get("smallest_label_ml", {}), f"{where}: smallest_label_ml").items():
        here = f"{where}: smallest_label_ml of label {name}"
        rule = _fields(content, ("millilitres", "becomes"), here)
        lacking = {"millilitres", "becomes"} - set(rule)
        if lacking:
            raise BundleError(f"{here}: {min(lacking)!r} is missing.")
        becomes = _label(rule["becomes"], values, here)
        small[_label(name, values, here)] = SmallLabel(_number(rule["millilitres"], here), becomes)
    try:
        return Cleaning(_number(given.get("smallest_island_ml", 0.0), f"{where}: smallest_island_ml"), small)
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from error


def clean(
    labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float], cleaning: Cleaning | None
) -> NDArray[np.uint8]:
    """Labels uint8 `[slice, row, column]` without what the rules take away; a new array.

    `spacing_mm`: distance of slices, rows and columns.
    """
    cleaned = labels.copy()
    box = _bounding_box(labels)
    if box is None or cleaning is None:
        return cleaned
    inside = cleaned[box]
    inside[_islands(inside > 0, _smallest_voxels(cleaning.smallest_island_ml, spacing_mm))] = 0
    for value, rule in cleaning.smallest_label_ml.items():
        voxels = inside == value
        if np.count_nonzero(voxels) < _smallest_voxels(rule.millilitres, spacing_mm):
            inside[voxels] = rule.becomes
    return cleaned


def changes(before: NDArray[np.uint8], after: NDArray[np.uint8], spacing_mm: tuple[float, float, float]) -> Changes:
    """What became of labels: those before cleaning against those after it, both `[slice, row, column]`."""
    changed = before != after
    old, new = before[changed], after[changed]
    voxel_ml = prod(spacing_mm) / 1000
    relabelled = np.bincount(old[new > 0], minlength=1)
    return Changes(
        int(np.count_nonzero(new == 0)) * voxel_ml,
        {int(value): int(relabelled[value]) * voxel_ml for value in np.flatnonzero(relabelled)},
    )


def _smallest_voxels(millilitres: float, spacing_mm: tuple[float, float, float]) -> int:
    """The fewest voxels that are not below a volume."""
    return ceil(1000 * millilitres / prod(spacing_mm) - _ROUNDING_VOXELS)


def _bounding_box(labels: NDArray[np.uint8]) -> tuple[slice, ...] | None:
    """The part of the volume that holds all foreground; None where there is none."""
    slices = np.flatnonzero(labels.any(axis=(1, 2)))
    if not slices.size:
        return None
    plane: NDArray[np.bool_] = np.any(labels[slices[0] : slices[-1] + 1], axis=0)
    sides = (slices, np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0)))
    return tuple(slice(int(side[0]), int(side[-1]) + 1) for side in sides)


def _islands(foreground: NDArray[np.bool_], smallest_voxels: int) -> NDArray[np.bool_]:
    """Connected parts below a size, the largest one (the first among equals) never."""
    if smallest_voxels <= 1:
        return np.zeros_like(foreground)
    # The view below does not keep the image alive.
    image = sitk.ConnectedComponent(sitk.GetImageFromArray(foreground.view(np.uint8)), True)
    part_of_voxel = sitk.GetArrayViewFromImage(image)[foreground]
    sizes = np.bincount(part_of_voxel)
    small = sizes < smallest_voxels
    small[sizes.argmax()] = False
    islands = np.zeros_like(foreground)
    islands[foreground] = small[part_of_voxel]
    return islands


def _mapping(content: object, where: str) -> Mapping[Any, Any]:
    if not isinstance(content, Mapping):
        raise BundleError(f"{where}: {content!r}, where key: value pairs were expected.")
    return content


def _fields(content: object, known: Sequence[str], where: str) -> Mapping[str, Any]:
    given = _mapping(content, where)
    unknown = [name for name in given if name not in known]
    if unknown:
        raise BundleError(f"{where}: unknown key {unknown[0]!r}; expected one of {', '.join(known)}.")
    return given


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BundleError(f"{where}: {value!r}, where millilitres were expected.")
    return float(value)


def _label(value: object, values: Sequence[int], where: str) -> int:
    # JSON has no keys but text.
    if isinstance(value, bool) or not str(value).isdecimal() or int(str(value)) not in values:
        raise BundleError(f"{where}: {value!r}, where one of the labels {', '.join(map(str, values))} was expected.")
    return int(str(value))
