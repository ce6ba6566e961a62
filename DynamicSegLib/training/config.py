"""What can be configured: frozen dataclasses that refuse values which make no sense. `config_reading` fills them."""

from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from DynamicSegLib.bundle import parse_second_look
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.evaluation.choices import Softmax
from DynamicSegLib.methods.med_danet import METHOD
from DynamicSegLib.training.augmentation import Augmentation
from DynamicSegLib.training.schedule import Detachment, ProgressiveResizing
from DynamicSegLib.weights import Storage

NOT_IN_FILES = {"not in files": True}
"""Metadata of a field that the program sets itself."""


class Precision(str, Enum):
    """Number type of most of the networks' arithmetic while they train."""

    FP32 = "fp32"
    BF16 = "bf16"


def require_at_least(low: float, **values: float) -> None:
    """TrainingError for the first of the named values that is below `low` (or no number)."""
    for name, value in values.items():
        if not value >= low:
            raise TrainingError(f"{name} {value}: expected {low} or more.")


def require_shares(**values: float) -> None:
    """TrainingError for the first of the named values that does not lie in 0 to 1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise TrainingError(f"{name} {value}: expected 0 to 1.")


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

    def __post_init__(self) -> None:
        require_shares(tumour_share=self.tumour_share, **{f"data.extra {name}": s for name, s in self.extra.items()})


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

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise TrainingError(f"learning_rate {self.learning_rate}: expected above 0.")
        require_at_least(0, weight_decay=self.weight_decay, warm_up_steps=self.warm_up_steps, power=self.power)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every training run's configuration has.

    Parameters
    ----------
    output: folder of checkpoints, log and result.
    size: training size in pixels (row, column).
    steps: of the whole run; with 0 it exports what it starts from.
    average: decay of the running average of the weights that is exported; 0 exports the last weights.
    checkpoint_every, log_every: in steps.
    started_from: the bundle of `--from` and a checksum of its weights; the command line fills it in.
    """

    output: Path
    data: DataConfig
    steps: int
    size: tuple[int, int]
    batch: int = 64
    seed: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    average: float = 0.0
    precision: Precision = Precision.BF16
    checkpoint_every: int = 200
    log_every: int = 20
    started_from: str | None = field(default=None, metadata=NOT_IN_FILES)

    def __post_init__(self) -> None:
        require_at_least(1, batch=self.batch, checkpoint_every=self.checkpoint_every, log_every=self.log_every)
        require_at_least(0, steps=self.steps, seed=self.seed)
        require_at_least(1, **{"size (row)": self.size[0], "size (column)": self.size[1]})
        if not 0 <= self.average < 1:
            raise TrainingError(f"average {self.average}: expected 0 or more and below 1.")
        _require_augmentation(self.augmentation)


def _require_augmentation(augmentation: Augmentation) -> None:
    """TrainingError where a probability is none, or a range is negative."""
    values = asdict(augmentation)
    chances = {name for name in values if name.endswith("_probability")} | {"mirror", "modality_dropout", "carve_mix"}
    require_shares(**{f"augmentation.{name}": values[name] for name in sorted(chances)})
    require_at_least(0, **{f"augmentation.{name}": value for name, value in values.items()})


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
        super().__post_init__()
        if any(side < 8 or side % 8 for side in self.size):
            raise TrainingError(f"size {self.size}: expected sides that are divisible by 8, as the networks need them.")
        require_at_least(0, cross_entropy=self.cross_entropy)
        require_shares(**{"detachment.at": self.detachment.at})
        self._require_names()

    def _require_names(self) -> None:
        names = [candidate.name for candidate in self.candidates]
        if not names:
            raise TrainingError("candidates: there are none; expected one or more.")
        # Their files are named in lower case.
        if len({name.lower() for name in names}) < len(names):
            raise TrainingError(f"candidates are called {', '.join(names)}: expected names that differ.")
        unknown = [name for name in self.detachment.names if name not in names]
        # A cross-validation that trains each candidate alone keeps the names of all.
        if unknown and len(names) > 1:
            raise TrainingError(
                f"detachment.names has {unknown[0]!r}, which is no candidate: expected some of {', '.join(names)}."
            )


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

    def __post_init__(self) -> None:
        super().__post_init__()
        require_shares(alpha=self.alpha, blank_share=self.blank_share)
        weights = {"skip_weight": self.skip_weight, "quality_weight": self.quality_weight}
        require_at_least(0, **weights, area_weight=self.area_weight)


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
        require_shares(alpha=self.alpha)
        require_at_least(0, int8_slices=self.int8_slices)


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
