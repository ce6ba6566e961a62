"""The configuration of a training run of Med-DANet V2."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from DynamicSegLib.errors import TrainingError
from DynamicSegLib.networks.stage_by_stage import FULL
from DynamicSegLib.training.config import OptimiserConfig, RunConfig, require_at_least

# The paper's batch size is 64 (Sec. 4.1), its learning rate 2e-4 for BraTS 2019.
_OPTIMISER = OptimiserConfig(learning_rate=2e-4)


@dataclass(frozen=True)
class V2FoldsConfig:
    """A cross-validation of Med-DANet V2, its ablations, and a training on all cases.

    Parameters
    ----------
    output: everything is written below it; finished stages found there are kept.
    cache, cases, extra: as in `DataConfig`; they replace those of the other files.
    v2, decision, bundle: configurations of the stages.
    position: configuration of `PositionRun`, which follows the three phases; None leaves the crop positions as these
        trained them, as the paper does.
    ablations: rows of Table 3a to train besides S+Q: `S`, `Q`, `baseline`.
    refit: train the router anew on what the finished networks achieve on cases they did not see; False keeps the policy
        network as it was trained with them, as the paper does.
    start: folder of Med-DANet's cross-validation (`train folds`) of the same folds: each run starts from the plain base
        network that was trained without the same fold, and the first phase can be short; random weights where None.
    held_out: as in `FoldsConfig`.
    """

    output: Path
    cache: Path
    cases: Path
    v2: Path
    decision: Path
    bundle: Path
    position: Path | None = None
    ablations: tuple[str, ...] = ()
    refit: bool = False
    start: Path | None = None
    extra: dict[str, float] = field(default_factory=dict)
    held_out: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PositionConfig(RunConfig):
    """Further steps for the position network alone, on whole slices.

    Parameters
    ----------
    bank: folder of a finished run of `train v2`. output: becomes the same with another position network.
    size: the working in-plane size of the bundle.
    """

    bank: Path
    size: tuple[int, int] = (240, 240)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(learning_rate=4e-3))


@dataclass(frozen=True, kw_only=True)
class V2Config(RunConfig):
    """One run of the three phases.

    Parameters
    ----------
    steps: of all phases together. phases: their relative lengths (the paper's epochs).
    spatial, quantised: the ablations of Table 3a: S is quantised false, Q is spatial false, the baseline neither.
    crops: crop sizes of the policy space, smaller than `size`. bits: the bit space.
    base, arguments: the base network and its `width`, `layers`, `size`, `dropout` (see `networks.staged`).
    price: lambda of Eq. 10, for costs in G paper FLOPs a slice.
    every_option: weight of the mean loss of all options by themselves in the first and third phase; 0 is the paper's,
        where an option learns only from slices for which it is chosen. For small data.
    guidance: weight of the squared distance (in crop sizes) between the crop and the foreground; 0 is the paper's.
    quality_weight, area_weight: weights of the policy network's further heads (see `networks.decision`).
    decision_rate: learning rate of policy and position network relative to the segmentation's; 1 is the paper's. The
        first method's decision network learns 100 times faster than its bank.
    temperature: of the Gumbel softmax.
    fix_bits: a stage has no choice any more after training where its selector takes the same bits for at least this
        share of slices; None keeps every selector, as the paper does. Each choice that is left costs time when run.
    cross_entropy, regions: as in `config.BankConfig`. neighbours_mm: as in `config.CandidateConfig`; the policy network
        sees the slice alone.
    """

    task: str = "glioma"
    phases: tuple[float, float, float] = (200, 100, 50)
    spatial: bool = True
    quantised: bool = True
    crops: tuple[int, ...] = (96,)
    bits: tuple[int, ...] = (8, 16)
    base: str = "unet2d"
    arguments: dict[str, Any] = field(default_factory=dict)
    backbone: str = "shufflenetv2-m"
    price: float = 0.06
    every_option: float = 0.0
    guidance: float = 0.0
    quality_weight: float = 1.0
    area_weight: float = 0.5
    decision_rate: float = 1.0
    temperature: float = 1.0
    fix_bits: float | None = None
    size: tuple[int, int] = (128, 128)
    optimiser: OptimiserConfig = _OPTIMISER
    cross_entropy: float = 0.0
    regions: tuple[tuple[int, ...], ...] = ()
    neighbours_mm: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = ("price", "every_option", "guidance", "quality_weight", "area_weight", "decision_rate")
        require_at_least(0, **{name: getattr(self, name) for name in (*weights, "cross_entropy")})
        if min(self.phases) < 0 or not sum(self.phases) > 0:
            raise TrainingError(f"phases {self.phases}: expected lengths of 0 or more, not all of them 0.")
        if not self.temperature > 0:
            raise TrainingError(f"temperature {self.temperature}: expected above 0.")
        if self.fix_bits is not None and not 0.5 < self.fix_bits <= 1:
            raise TrainingError(f"fix_bits {self.fix_bits}: expected a share above 0.5 and at most 1, or null.")

    @property
    def policy_crops(self) -> tuple[int, ...]:
        """Crop sizes that this run really has."""
        return self.crops if self.spatial else ()

    @property
    def bit_space(self) -> tuple[int, ...]:
        """Bits that this run really has."""
        return self.bits if self.quantised else (FULL,)

    def phase(self, step: int) -> int:
        """The phase, 1 to 3, of step `step` (0-based)."""
        share = (step + 0.5) / self.steps * sum(self.phases)
        return 1 if share < self.phases[0] else 2 if share < self.phases[0] + self.phases[1] else 3
