"""The configuration of a run: YAML in, frozen dataclasses out; a key or value that does not fit is a clear error."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from DynamicSegLib.bundle import parse_second_look
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.evaluation.choices import Softmax
from DynamicSegLib.methods.med_danet import METHOD
from DynamicSegLib.training.augmentation import Augmentation
from DynamicSegLib.training.schedule import Detachment, ProgressiveResizing
from DynamicSegLib.weights import Storage

T = TypeVar("T")


@dataclass(frozen=True)
class DataConfig:
    """Which cases of a slice cache are trained on.

    Parameters
    ----------
    cache: folder of the slice cache.
    cases: CSV with columns `case` and `fold` (and optionally `weight`).
    folds: folds to train on; all where empty.
    extra: folders of further caches (phantoms) with the share of all draws that each takes.
    tumour_share: share of draws that must contain foreground; the rest is drawn from all slices.
    resident: hold all slices on the device.
    """

    cache: Path
    cases: Path
    folds: tuple[int, ...] = ()
    extra: dict[str, float] = field(default_factory=dict)
    tumour_share: float = 0.67
    resident: bool = False


@dataclass(frozen=True)
class CandidateConfig:
    """One network of the bank: its name there, and its name and arguments in the registry.

    starts_as: name of a candidate whose weights it starts from wherever name and shape agree (e.g. the encoder of M2):
        of the bundle of `--from`, or, in a cross-validation that trains each alone, an earlier one of the same fold.
    neighbours_mm: neighbouring slices that it sees too (see `Context`); `in_channels` is then that many times larger.
    """

    name: str
    network: str
    arguments: dict[str, Any] = field(default_factory=dict)
    starts_as: str | None = None
    neighbours_mm: tuple[float, ...] = ()


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam with amsgrad. Source: facts of the official code; Med-DANet, Sec. 4.1 for the bank's 1e-4."""

    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    amsgrad: bool = True
    warm_up_steps: int = 0
    power: float = 0.9


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every training run's configuration has.

    Parameters
    ----------
    output: folder of checkpoints, log and result.
    size: training size in pixels (row, column).
    average: decay of the running average of the weights that is exported; 0 exports the last weights.
    precision: `bf16` or `fp32`.
    checkpoint_every, log_every: in steps.
    """

    output: Path
    data: DataConfig
    steps: int
    size: tuple[int, int]
    batch: int = 64
    seed: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    average: float = 0.0
    precision: str = "bf16"
    checkpoint_every: int = 200
    log_every: int = 20


@dataclass(frozen=True, kw_only=True)
class BankConfig(RunConfig):
    """A joint (or, with one candidate, individual) training run of a bank.

    Parameters
    ----------
    size: a random crop of 128 x 128 (setting 1), or the whole slice (setting 2).
    progressive: other batches early in the schedule.
    cross_entropy, regions: see `losses.SegmentationLoss`; regions in class indices.
    compiled: compile the networks (a C++ compiler or a GPU is needed; 15 to 30 % faster on two cores).
    """

    candidates: tuple[CandidateConfig, ...]
    size: tuple[int, int] = (128, 128)
    batch: int = 16
    progressive: ProgressiveResizing | None = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    detachment: Detachment = field(default_factory=Detachment)
    cross_entropy: float = 0.0
    regions: tuple[tuple[int, ...], ...] = ()
    compiled: bool = False

    def __post_init__(self) -> None:
        if any(side < 8 or side % 8 for side in self.size):
            raise TrainingError(f"size {self.size}: expected sides that are divisible by 8, as the networks need them.")


@dataclass(frozen=True, kw_only=True)
class DecisionConfig(RunConfig):
    """A training run of the decision network.

    Parameters
    ----------
    banks: output folders of the bank runs whose candidates it chooses from (one joint run, or individual ones).
    overlaps: folder of what the candidates achieve on each slice (see `training.measuring`).
    size: the working in-plane size of the bundle; the network sees whole slices.
    alpha, softmax: Eq. 4 of Med-DANet, from which the labels come.
    skip_weight: weight of the skip class in the cross-entropy, the others have 1.
    quality_weight, area_weight: weights of the two further heads' losses.
    blank_share: share of slices shown emptied.
    """

    banks: tuple[Path, ...]
    overlaps: Path
    task: str = "glioma"
    backbone: str = "shufflenetv2-m"
    size: tuple[int, int] = (240, 240)
    alpha: float = 0.001
    softmax: Softmax = Softmax.COST
    skip_weight: float = 0.7
    quality_weight: float = 1.0
    area_weight: float = 0.5
    blank_share: float = 0.03
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(learning_rate=1e-2))


@dataclass(frozen=True)
class BundleConfig:
    """What becomes a bundle.

    Parameters
    ----------
    output, name: the bundle is written to `output/name`.
    banks, decision: output folders of the finished runs.
    cache, cases, folds: cases that none of these runs saw, for figures, curve and calibration.
    validation: folder in which results on those cases are kept.
    task: `glioma`, or a YAML file (see `training.task`).
    method: whose bank and router these are (a key of `methods.registry.METHODS`).
    published: table of the paper to print beside (a key of `evaluation.published.TABLES`).
    cleaning: what is mended after the networks, e.g. `{smallest_island_ml: 0.3, smallest_label_ml: {4: {millilitres:
        0.1, becomes: 1}}}`; see `cleaning.Cleaning`, and `dynamicseg train cleaning` for the numbers.
    second_look_mm2: see `bundle.Bundle`.
    judge_precisions: measure what bf16 and int8 lose on held-out cases, without which `auto` hardly chooses them.
    int8_slices: slices of training cases on which the candidates are quantised, as int8 models beside their weights; 0
        makes none.
    facts: title, description, intended_use, licence, version.
    training: heading -> text for the model card: data, schedule, deviations.
    """

    output: Path
    name: str
    banks: tuple[Path, ...]
    decision: Path
    cache: Path
    cases: Path
    folds: tuple[int, ...]
    validation: Path
    task: str = "glioma"
    backbone: str = "shufflenetv2-m"
    alpha: float = 0.001
    storage: Storage = Storage.FLOAT16
    method: str = METHOD
    published: str | None = None
    cleaning: dict[str, Any] | None = None
    second_look_mm2: float | None = None
    judge_precisions: bool = False
    int8_slices: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    training: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parse_second_look(self.second_look_mm2)


@dataclass(frozen=True)
class FoldsConfig:
    """A cross-validation followed by a training on all cases.

    Parameters
    ----------
    output: everything is written below it; finished stages found there are kept.
    cache, cases, extra: as in `DataConfig`; they replace those of the other files.
    bank, decision, bundle: configurations of the stages.
    held_out: folds to hold out, one after another; all where empty. With fewer, figures are of these folds' cases only,
        and the decision networks learn from the other cases as the first fold's bank, which saw them, does on them.
    joint: train the candidates together; False trains each alone (Table 8).
    earlier: output of a cross-validation of the same cases and folds; its finished banks serve here. A candidate that
        sees other neighbours there starts from its weights and is trained on.
    """

    output: Path
    cache: Path
    cases: Path
    bank: Path
    decision: Path
    bundle: Path
    extra: dict[str, float] = field(default_factory=dict)
    held_out: tuple[int, ...] = ()
    joint: bool = True
    earlier: Path | None = None


def read_config(path: Path, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """Read a YAML file as the dataclass `kind`; each override is `key=value`, e.g. `data.cache=/data/cache`.

    Raises
    ------
    TrainingError: the file is absent or not YAML, or a key or value does not fit.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TrainingError(f"The configuration {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise TrainingError(f"The configuration {path} holds {type(content).__name__}, where key: value pairs belong.")
    for override in overrides:
        _replace(content, override)
    return from_mapping(kind, content, str(path))


def _replace(content: dict[str, Any], override: str) -> None:
    import yaml

    key, separator, value = override.partition("=")
    *outer, last = key.split(".")
    for name in outer:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise TrainingError(f"--set {override}: {name!r} holds no further keys.")
    if not separator or not last:
        raise TrainingError(f"--set {override}: expected KEY=VALUE, e.g. data.cache=/data/cache.")
    content[last] = yaml.safe_load(value)


def from_mapping(kind: type[T], values: Mapping[str, object], where: str) -> T:
    """Build the dataclass `kind` (nested ones too) from plain values; TrainingError names the key that does not fit."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TrainingError(f"{where}: unknown key {unknown[0]!r}; expected one of {', '.join(known)}.")
    missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in values]
    if missing:
        raise TrainingError(f"{where}: {missing[0]!r} is missing.")
    hints = get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(h for h in get_args(hint) if h is not type(None))
    if is_dataclass(hint):
        return from_mapping(hint, _expected(dict, value, where), where)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        items = _expected(list, value, where)
        kinds = get_args(hint)
        kinds = (kinds[0],) * len(items) if kinds[1:] == (...,) else kinds
        if len(kinds) != len(items):
            raise TrainingError(f"{where}: {len(items)} values, where {len(kinds)} were expected.")
        return tuple(
            _convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, items, strict=True))
        )
    if get_origin(hint) is dict:
        return dict(_expected(dict, value, where))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint, value, where)
    if hint is Path:
        return Path(_expected(str, value, where)).expanduser()
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        return _number(value, where)
    return value if hint is Any else _expected(hint, value, where)


def _member(kind: type[Enum], value: object, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        expected = ", ".join(str(member.value) for member in kind)
        raise TrainingError(f"{where}: {value!r}, where one of {expected} was expected.") from None


def _number(value: int | str, where: str) -> float:
    # YAML 1.1 reads 1e-4 as text.
    try:
        return float(value)
    except ValueError:
        raise TrainingError(f"{where}: {value!r}, where a number was expected.") from None


def _expected(kind: type[T], value: object, where: str) -> T:
    if isinstance(value, tuple) and kind is list:
        value = list(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TrainingError(f"{where}: {value!r}, where {kind.__name__} was expected.")
    return value
