"""The bundle: everything that is shipped for one task, in one folder, checked before anything of it is used."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.cleaning import Cleaning, parse_cleaning
from DynamicSegLib.context import Context
from DynamicSegLib.cost import Cost
from DynamicSegLib.errors import BundleError
from DynamicSegLib.normalisation import Normalisation, NormalisationKind
from DynamicSegLib.study import InputSpec

FORMAT_VERSION = 1
DESCRIPTION_FILE = "bundle.json"
CARD_FILE = "MODEL_CARD.md"


@dataclass(frozen=True)
class Code:
    """A coded concept: scheme (e.g. `SCT` for SNOMED CT), value and meaning."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Label:
    """One structure: the value it has in files, its name, colour (red, green, blue, 0-255) and terminology code.

    Networks number classes 0 for background, then the labels in the bundle's order; files carry `value`.
    """

    value: int
    name: str
    color: tuple[int, int, int]
    code: Code | None = None
    category: Code | None = None


@dataclass(frozen=True)
class RouterSpec:
    """The router's network (name and arguments of `networks.registry`) and its weights."""

    network: str
    arguments: Mapping[str, Any]
    weights: Path | None = None


@dataclass(frozen=True)
class CurvePoint:
    """One point of the quality-cost curve.

    share: budget as a share of the costliest candidate on every slice. macs: mean spent a case.
    predicted: quality the plan promises. measured: cross-validated Dice by region or label; empty where not measured.
    """

    share: float
    macs: float
    predicted: float
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A task's networks, labels and facts.

    Parameters
    ----------
    folder: where it lies; None for one made in memory (costs only).
    method: `med-danet`, `med-danet-v2` or `mutualnet`.
    regions: named unions of label values for evaluation, e.g. `{"WT": (1, 2, 4)}`; empty means each label by itself.
    alpha: Eq. 4's weight of cost in the rule without a budget.
    cleaning: what is mended after the networks, in label values; None where labels stay as the networks gave them.
    second_look_mm2: a skipped slice beside one on which at least this area was found is run after all (see
        `second_look`); None where every skip stands.
    int8: OpenVINO models of candidates in 8 bits, for whole slices, by name: files .xml, weights beside them in .bin.
    dice_lost: by lower precision (`bf16`, `int8`), mean Dice on labelled cases that the candidate which suffers most
        loses against float32; measured when the bundle was made, and what is not there was not measured.
    facts: text for people (title, description, training data, licence, intended use, version).
    checksum: of bundle.json, and through it of every file; names caches.
    """

    name: str
    method: str
    input: InputSpec
    labels: tuple[Label, ...]
    bank: Bank
    router: RouterSpec | None
    alpha: float = 0.001
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    checksum: str = ""
    cleaning: Cleaning | None = None
    second_look_mm2: float | None = None
    int8: Mapping[str, Path] = field(default_factory=dict)
    dice_lost: Mapping[str, float] = field(default_factory=dict)

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        path = None if self.folder is None else self.folder / CARD_FILE
        return path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""


def read_bundle(folder: Path) -> Bundle:
    """Read and check a bundle's folder.

    Raises
    ------
    BundleError: bundle.json is absent or unreadable, of another format version, lacks something, or a file is missing
        or has another checksum.
    """
    path = folder / DESCRIPTION_FILE
    if not path.is_file():
        raise BundleError(f"{folder} is no bundle: it has no {DESCRIPTION_FILE}.")
    text = path.read_bytes()
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not valid JSON ({error}): install the bundle again.") from error
    version = description.get("format") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {version!r} where this DynamicSeg reads {FORMAT_VERSION}: update DynamicSeg, "
            "or get a bundle made for it."
        )
    try:
        _check_files(folder, description["files"])
        bundle = _from_description(folder, description, hashlib.sha256(text).hexdigest())
        _check_names_and_labels(bundle)
        return bundle
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path} is incomplete or malformed ({type(error).__name__}: {error}).") from error


def _check_files(folder: Path, checksums: Mapping[str, str]) -> None:
    for name, expected in checksums.items():
        path = folder / name
        if not _inside(folder, name):
            raise BundleError(f"{folder / DESCRIPTION_FILE} names {name!r}, which is not a plain file of the bundle.")
        if not path.is_file():
            raise BundleError(f"{path} is missing: install the bundle again.")
        actual = checksum_of(path)
        if actual != expected:
            raise BundleError(
                f"{path} has SHA-256 {actual[:12]}... where {DESCRIPTION_FILE} says {expected[:12]}...: "
                "the file is damaged or was changed; install the bundle again."
            )


def _check_names_and_labels(bundle: Bundle) -> None:
    """ValueError for what the engine and its results could not tell apart, or not hold in 8 bits."""
    values = [label.value for label in bundle.labels]
    if not values or not all(0 < value < 256 for value in values):
        raise ValueError(f"label values {values}, where whole numbers from 1 to 255 were expected")
    named: dict[str, list[object]] = {
        "label values": [*values],
        "label names": [label.name for label in bundle.labels],
        "options": list(bundle.bank.options),
        "modalities": list(bundle.input.modalities),
    }
    for what, found in named.items():
        if len(set(found)) < len(found):
            raise ValueError(f"{what} {found}, of which two are the same")
    if not bundle.bank.candidates:
        raise ValueError("no candidates")


def _inside(folder: Path, name: str) -> bool:
    return Path(name).name == name and not (folder / name).is_symlink()


def checksum_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _from_description(folder: Path, data: Mapping[str, Any], checksum: str) -> Bundle:
    files = data["files"]

    def checked(name: str) -> Path:
        if name not in files:
            raise BundleError(f"{folder / DESCRIPTION_FILE} uses {name!r} without a checksum under 'files'.")
        return folder / name

    spec = _input(data["input"])
    labels = tuple(_label(item) for item in data["labels"])
    values = [label.value for label in labels]
    candidates = tuple(
        Candidate(
            name=item["name"],
            network=item["network"],
            arguments=item["arguments"],
            weights=checked(item["weights"]),
            recorded={spec.size: Cost(item["macs"], item["paper_flops"], item["parameters"])},
            context=Context(tuple(item.get("neighbours_mm", ()))),
        )
        for item in data["candidates"]
    )
    router = data.get("router")
    return Bundle(
        name=data["name"],
        method=data["method"],
        input=spec,
        labels=labels,
        bank=Bank(candidates, len(spec.modalities)),
        router=None
        if router is None
        else RouterSpec(router["network"], router["arguments"], checked(router["weights"])),
        alpha=float(data["alpha"]),
        regions={name: tuple(values) for name, values in data.get("regions", {}).items()},
        curve=tuple(CurvePoint(**point) for point in data.get("curve", ())),
        facts=data.get("facts", {}),
        folder=folder,
        checksum=checksum,
        cleaning=parse_cleaning(data.get("cleaning"), values, str(folder / DESCRIPTION_FILE)),
        second_look_mm2=parse_second_look(data.get("second_look_mm2")),
        int8=_int8(data.get("int8", {}), checked),
        dice_lost={precision: float(lost) for precision, lost in data.get("dice_lost", {}).items()},
    )


def parse_second_look(value: object) -> float | None:
    """`second_look_mm2` as a bundle or a configuration gives it; BundleError where it is no area above 0."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise BundleError(f"second_look_mm2 is {value!r}, where an area above 0 mm2, or null, was expected.")
    return float(value)


def _int8(files: Mapping[str, str], checked: Callable[[str], Path]) -> dict[str, Path]:
    models = {name: checked(file) for name, file in files.items()}
    for path in models.values():
        checked(path.with_suffix(".bin").name)
    return models


def _input(data: Mapping[str, Any]) -> InputSpec:
    normalisation = data["normalisation"]
    return InputSpec(
        modalities=tuple(data["modalities"]),
        slice_axis=data["slice_axis"],
        spacing_mm=tuple(data["spacing_mm"]),
        size=tuple(data["size"]),
        normalisation=Normalisation(
            NormalisationKind(normalisation["kind"]), normalisation.get("low", 0.0), normalisation.get("high", 1.0)
        ),
        skull_stripped=data["skull_stripped"],
    )


def _label(data: Mapping[str, Any]) -> Label:
    def code(key: str) -> Code | None:
        return Code(**data[key]) if data.get(key) else None

    return Label(int(data["value"]), data["name"], tuple(data["color"]), code("code"), code("category"))
