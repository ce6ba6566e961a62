"""The configuration of mutual learning: which widths and resolutions learn together, and from what."""

from dataclasses import dataclass, field
from enum import Enum
from math import cos, pi
from pathlib import Path
from typing import Any

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.slimmable import Configuration
from DynamicSegLib.networks.slimmable_unet import RESOLUTIONS, WIDTHS
from DynamicSegLib.training.config import RunConfig, require_at_least, require_shares
from DynamicSegLib.training.schedule import Schedule


class Optimiser(str, Enum):
    """SGD with Nesterov momentum (MutualNet), or Adam with amsgrad (Med-DANet's bank)."""

    SGD = "sgd"
    ADAM = "adam"


class Decay(str, Enum):
    """How the learning rate falls to zero."""

    COSINE = "cosine"
    POLY = "poly"


@dataclass(frozen=True)
class MutualOptimiserConfig:
    """Optimiser and learning rate. The defaults are MutualNet's (ECCV 2020); `power` is of poly decay."""

    kind: Optimiser = Optimiser.SGD
    learning_rate: float = 0.5
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay: Decay = Decay.COSINE
    warm_up_steps: int = 0
    power: float = 0.9

    def __post_init__(self) -> None:
        require_at_least(0, learning_rate=self.learning_rate, weight_decay=self.weight_decay, power=self.power)
        require_at_least(0, warm_up_steps=self.warm_up_steps)
        require_shares(momentum=self.momentum)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step` (0-based) of `steps`."""
        if self.decay is Decay.POLY:
            return Schedule(steps, self.learning_rate, self.warm_up_steps, self.power).rate(step)
        warm = min(1.0, (step + 1) / (self.warm_up_steps + 1))
        return self.learning_rate * warm * (1 + cos(pi * min(step, steps) / steps)) / 2


@dataclass(frozen=True)
class DistillationConfig:
    """Weights of what a student learns from: the full network's pixels, in two ways, and the labels.

    kl: mean over pixels of the Kullback-Leibler divergence (the paper's loss, on pixels instead of images).
    soft_dice: soft Dice loss of the foreground classes, which small tumours do not vanish in.
    labels: the loss that the full network itself learns from (not in the paper).
    """

    kl: float = 1.0
    soft_dice: float = 0.0
    labels: float = 0.0

    def __post_init__(self) -> None:
        require_at_least(0, kl=self.kl, soft_dice=self.soft_dice, labels=self.labels)


@dataclass(frozen=True, kw_only=True)
class MutualConfig(RunConfig):
    """A training run of the slimmable UNet.

    Parameters
    ----------
    base: channels of the full network's finest level.
    widths, resolutions: what the students are drawn from, and what is exported; whole resolution always belongs to it.
    width: of the network that learns from the labels; 1.0, or another for the independent training of one width.
    students: random widths that learn from it each step, besides the smallest; None trains without students: one width
        by itself, as the paper's comparison does, or the full one, whose narrower widths then collapse.
    listed: students have the `widths` themselves, no width twice in a step, instead of any width between their ends.
    whole_share: how often a student sees the whole resolution, 0 to 1; as often as each other resolution where None.
    keep: configurations to export; all widths at all resolutions (up to `width`) where empty.
    size: training size in pixels (row, column), divisible by 8.
    recalibration_slices: slices from which each exported configuration's norm statistics are gathered.
    cross_entropy, regions: as in `config.BankConfig`. neighbours_mm: as in `config.CandidateConfig`.
    """

    task: str = "glioma"
    base: int = 16
    dropout: float = 0.2
    widths: tuple[float, ...] = WIDTHS
    resolutions: tuple[int, ...] = tuple(resolution for resolution in RESOLUTIONS if resolution is not None)
    width: float = 1.0
    students: int | None = 2
    listed: bool = False
    whole_share: float | None = None
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    keep: tuple[Configuration, ...] = ()
    size: tuple[int, int] = (128, 128)
    batch: int = 16
    optimiser: MutualOptimiserConfig = field(default_factory=MutualOptimiserConfig)
    cross_entropy: float = 0.0
    regions: tuple[tuple[int, ...], ...] = ()
    neighbours_mm: tuple[float, ...] = ()
    recalibration_slices: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, cross_entropy=self.cross_entropy)
        require_at_least(1, base=self.base, recalibration_slices=self.recalibration_slices)
        require_shares(dropout=self.dropout)
        wrong = [width for width in (self.width, *self.widths) if not 0 < width <= 1]
        if wrong or not self.widths:
            raise TrainingError(f"A width of {wrong or 'nothing'}: expected widths above 0 and at most 1.")
        if self.students is not None and self.students < 0:
            raise TrainingError(f"students {self.students}: expected 0 or more, or null for none at all.")
        if self.listed and self.students is not None and self.students > len(self.between):
            raise TrainingError(
                f"students {self.students}: with listed, expected at most the {len(self.between)} widths between the "
                "smallest and the full one."
            )
        if self.whole_share is not None and not 0 <= self.whole_share <= 1:
            raise TrainingError(f"whole_share {self.whole_share}: expected 0 to 1, or null for an equal share.")
        if any(side % 8 for side in self.size):
            raise TrainingError(f"size {self.size} is not divisible by 8, as the network needs it.")

    @property
    def between(self) -> tuple[float, ...]:
        """The widths above the smallest and below the one that learns from the labels."""
        return tuple(width for width in sorted(self.widths)[1:] if width < self.width)

    @property
    def exported(self) -> tuple[Configuration, ...]:
        """The configurations that the run leaves behind."""
        return self.keep or tuple(
            Configuration(width, resolution)
            for width in sorted(self.widths)
            if width <= self.width
            for resolution in (*sorted(self.resolutions), None)
        )


@dataclass(frozen=True)
class QueryTableConfig:
    """What becomes a query table.

    Parameters
    ----------
    output: folder for `table.json`, `table.md` and what was measured case by case.
    banks, folds: finished runs, and the fold that each of them did not see; with several the table is cross-validated.
    candidates: how many configurations of the front become a bank (`front.json`) for routing slice by slice.
    distances: compute Hausdorff distances too (seconds a configuration and case).
    timing: measure milliseconds on this machine, with `backend`.
    cleaning: as in `BundleConfig`.
    """

    output: Path
    banks: tuple[Path, ...]
    cache: Path
    cases: Path
    folds: tuple[int, ...]
    task: str = "glioma"
    candidates: int = 5
    distances: bool = True
    timing: bool = True
    backend: str = "auto"
    cleaning: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if len(self.banks) != len(self.folds):
            raise TrainingError(
                f"{len(self.banks)} banks and {len(self.folds)} folds: expected for each bank the fold it did not see."
            )


@dataclass(frozen=True)
class MutualFoldsConfig:
    """A cross-validation of the slimmable network, its table and its routing, then a training on all cases.

    Parameters
    ----------
    output: everything is written below it; finished stages found there are kept.
    mutual, decision, bundle: configurations of the stages (`MutualConfig`, `DecisionConfig`, `BundleConfig`).
    cache, cases, extra: as in `DataConfig`; they replace those of the other files.
    start: folder of Med-DANet's cross-validation (`train folds`) of the same folds: each slimmable network starts from
        the plain UNet of its base that was trained without the same fold. Or of an earlier one of this kind, to go on
        with another `seed`: each run starts from the earlier one of its name. Random weights where None.
    held_out: as in `FoldsConfig`.
    alone: widths trained by themselves as well, for the comparison that the paper makes.
    narrowed: train the full width without students as well, and narrow it: the collapse that the lecture shows.
    candidates: how many configurations of the front the decision network chooses from.
    distances: put Hausdorff distances in the table (seconds a configuration and case).
    backend: with which the table's milliseconds are measured.
    compare: bundles whose quality-cost curves on the same cases are drawn beside ours.
    """

    output: Path
    cache: Path
    cases: Path
    mutual: Path
    decision: Path
    bundle: Path
    alone: tuple[float, ...] = ()
    narrowed: bool = False
    candidates: int = 5
    distances: bool = False
    backend: str = "auto"
    compare: tuple[str, ...] = ()
    start: Path | None = None
    extra: dict[str, float] = field(default_factory=dict)
    held_out: tuple[int, ...] = ()
