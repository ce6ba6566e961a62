"""What the cross-validations share: which folds are held out, where their runs lie, and where a run starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from DynamicSegLib.bank import Candidate
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.training.config import BundleConfig, DataConfig, DecisionConfig
from DynamicSegLib.training.export import BANK_FILE, read_bank
from DynamicSegLib.training.sources import chosen_cases
from DynamicSegLib.weights import load_weights

_UNET_DEFAULTS = {"base": 16, "layers": 4}


@dataclass(frozen=True)
class Folds:
    """Folds of a list of cases.

    Parameters
    ----------
    every: all folds. held_out: those that are held out, one after another.
    """

    every: tuple[int, ...]
    held_out: tuple[int, ...]

    @classmethod
    def of(cls, cache: Path, cases: Path, held_out: Sequence[int] = ()) -> "Folds":
        """The folds of `cases`; all are held out where `held_out` is empty.

        Raises
        ------
        TrainingError: a fold is asked for that no case has.
        """
        every = tuple(sorted({row.fold for row in chosen_cases(DataConfig(cache, cases))}))
        unknown = sorted(set(held_out) - set(every))
        if unknown:
            raise TrainingError(f"held_out: no case of {cases} is in fold {unknown[0]}; its folds are {every}.")
        return cls(every, tuple(sorted(held_out)) or every)

    def others(self, held_out: int | None) -> tuple[int, ...]:
        """The folds that a run sees."""
        return tuple(fold for fold in self.every if fold != held_out)

    def judge_of(self, fold: int) -> int:
        """The fold whose run measures the cases of `fold` for the decision network: its own where that is held out.

        The first held-out fold's run otherwise, which has seen these cases: cross-fitting is then incomplete.
        """
        return fold if fold in self.held_out else self.held_out[0]


def require_alike(decision: DecisionConfig, bundle: BundleConfig) -> None:
    """TrainingError where a bundle would ship another alpha or backbone than its decision networks are trained with."""
    for name in ("alpha", "backbone"):
        trained, shipped = getattr(decision, name), getattr(bundle, name)
        if trained != shipped:
            raise TrainingError(
                f"{name} is {trained} in the configuration of the decision network, and {shipped} in that of the "
                "bundle: set both to the same value."
            )


def fold_folder(output: Path, held_out: int | None) -> Path:
    """Where the runs lie that did not see the fold `held_out` (None: that saw all cases)."""
    return output / ("all" if held_out is None else f"fold{held_out}")


def fitting_weights(network: nn.Module, state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The state of `network` with the tensors of `state` wherever name and shape agree.

    Raises
    ------
    TrainingError: none does; the message names `where`.
    """
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    if not fitting:
        raise TrainingError(f"{where}: none of its weights fits {type(network).__name__}.")
    return {**own, **fitting}


def refitted(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` for a `network` that sees more or fewer neighbouring slices than the one it is of.

    Only its first convolution differs: what it sees anew it does not heed at first, what it does not see any more it
    does without.
    """
    first, weights = next((name, tensor) for name, tensor in network.state_dict().items() if tensor.ndim == 4)
    if first not in state or state[first].ndim != 4:
        return dict(state)
    further = max(0, weights.shape[1] - state[first].shape[1])
    # Zeros behind the last channel, or a cut there: the slice itself comes first.
    return {**state, first: functional.pad(state[first], (0, 0, 0, 0, 0, further))[:, : weights.shape[1]]}


def plain_weights(
    candidates: Sequence[Candidate], network: str, arguments: Mapping[str, Any], where: str
) -> Mapping[str, Tensor]:
    """Weights of the candidate that is `network` of the same `base` (and `layers`), to start another network from.

    Which neighbouring slices it sees does not matter; see `refitted`.

    Raises
    ------
    TrainingError: there is none; the message names `where`.
    """
    wanted = {key: arguments.get(key, default) for key, default in _UNET_DEFAULTS.items()}
    for candidate in candidates:
        own = {**_UNET_DEFAULTS, **candidate.arguments}
        if candidate.network == network and all(own[key] == value for key, value in wanted.items()):
            assert isinstance(candidate.weights, Path)
            return load_weights(candidate.weights)
    raise TrainingError(f"{where} has no {network} with {wanted} to start from.")


def start_of_fold(
    start: Path, held_out: int | None, network: str, arguments: Mapping[str, Any]
) -> Mapping[str, Tensor]:
    """Weights of a plain network from the cross-validation in `start` (`train folds`), of the same held-out fold."""
    folder = fold_folder(start, held_out)
    banks = sorted(path.parent for path in folder.glob(f"*/{BANK_FILE}"))
    if not banks:
        raise TrainingError(f"start: {folder} holds no finished bank; run `dynamicseg train folds` there first.")
    return plain_weights(read_bank(*banks).candidates, network, arguments, str(folder))
