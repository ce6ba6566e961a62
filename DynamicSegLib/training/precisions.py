"""Lower precisions: candidates quantised to int8 by NNCF, and what bf16 and int8 lose of float32's Dice."""

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.openvino_backend import OpenvinoBackend, convert, convert_open
from DynamicSegLib.bank import Bank
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.context import Context
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.execution import Execution
from DynamicSegLib.methods.registry import METHODS
from DynamicSegLib.networks.classes import ClassesOnly
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.measuring import volume_dice

if TYPE_CHECKING:
    import openvino

INSTALL = "pip install 'DynamicSeg[int8]'"
# Every second slice tells two precisions apart as well as all do.
_JUDGED = slice(None, None, 2)
_BATCH = 8


def require_packages(int8: bool) -> None:
    """To be called before hours of training. TrainingError where OpenVINO, or for int8 NNCF, is not installed."""
    missing = [name for name in ("openvino", *(["nncf"] if int8 else [])) if find_spec(name) is None]
    if missing:
        raise TrainingError(
            f"{missing[0]}, by which lower precisions are made and judged, is not installed: {INSTALL}, or set "
            "judge_precisions to false and int8_slices to 0."
        )


def calibration_slices(cases: Sequence[CachedCase], count: int, context: Context) -> NDArray[np.float32]:
    """Slices with anything on them, evenly spread over cases and heads, as `Context.gather` gives them."""
    chosen = []
    for index in range(count):
        case = cases[index * len(cases) // count]
        first, filled = case.record.origin[0], case.slices.shape[0]
        # Golden-ratio steps spread few and many slices evenly alike.
        at = first + int((index * 0.618) % 1 * filled)
        chosen.append(context.gather(case.volumes(), [at], case.record.spacing_mm[0]))
    return np.concatenate(chosen)


def quantise_bank(bank: Bank, slices_of: Callable[[Context], NDArray[np.float32]], folder: Path) -> dict[str, Path]:
    """Every candidate as an OpenVINO model in int8 in `folder`: its description (.xml) by name, weights beside it.

    Models that are there already are kept. They give classes, and take whole slices of any size that is divisible by 8
    where the network allows it.

    Parameters
    ----------
    slices_of: from a candidate's context to slices that say what 8 bits have to span (see `calibration_slices`).
    """
    import openvino

    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for candidate in bank.candidates:
        path = folder / f"{candidate.name}.xml"
        if not path.is_file():
            slices = slices_of(candidate.context)
            shape = (1, *slices.shape[1:])
            network = ClassesOnly(candidate.build()).eval()
            # Of open sizes where possible, since heads differ in size.
            model = _quantised(convert_open(network, shape) or convert(network, shape), slices)
            beside = folder / f"{candidate.name}.part.xml"
            openvino.serialize(model, str(beside), str(beside.with_suffix(".bin")))
            beside.with_suffix(".bin").replace(path.with_suffix(".bin"))
            beside.replace(path)
        written[candidate.name] = path
    return written


def _quantised(model: "openvino.Model", slices: NDArray[np.float32]) -> "openvino.Model":
    """The model with weights and inputs of its convolutions in 8 bits, but for the first and the last.

    The first sees intensities, whose outliers would take most of the steps; the last is all that tells classes apart.
    """
    convolutions = [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    # It draws progress bars, and says through its logger what it does.
    with redirect_stdout(io.StringIO()):
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset([each[None] for each in slices]),
            # Inputs of a convolution may have any sign.
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=list({*convolutions[:1], *convolutions[-1:]})),
            subset_size=len(slices),
        )


DiceByPrecision = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
"""By candidate and precision (`fp32` is always among them), of each case: Dice by structure."""


@dataclass(frozen=True)
class Precisions:
    """A bank in lower precision.

    Parameters
    ----------
    int8: see `quantise_bank`.
    scores: what `judge` found, of this bank or of such that were made in the same way; empty where nobody judged.
    """

    int8: Mapping[str, Path] = field(default_factory=dict)
    scores: DiceByPrecision = field(default_factory=dict)

    @property
    def dice_lost(self) -> dict[str, float]:
        """By lower precision: mean Dice over cases and structures that the candidate which suffers most loses."""
        means = [{precision: _mean(cases) for precision, cases in each.items()} for each in self.scores.values()]
        lower = [precision for precision in means[0] if precision != "fp32"] if means else []
        return {precision: round(max(each["fp32"] - each[precision] for each in means), 5) for precision in lower}

    def markdown(self) -> str:
        """A table: mean Dice by candidate, precision and structure; empty where nobody judged."""
        if not self.scores:
            return ""
        structures = list(next(iter(next(iter(self.scores.values())).values()))[0])
        heads = " | ".join(f"{name} Dice" for name in structures)
        lines = [f"| | {heads} |", "|---" * (len(structures) + 1) + "|"]
        for candidate, each in self.scores.items():
            for precision, cases in each.items():
                means = [np.mean([case[name] for case in cases]) for name in structures]
                lines.append(f"| {candidate}, {precision} | " + " | ".join(f"{mean:.4f}" for mean in means) + " |")
        return "\n".join(lines) + "\n"


def joined(one: DiceByPrecision, other: DiceByPrecision) -> DiceByPrecision:
    """The cases of both, which have the same candidates and precisions; either may be empty."""
    if not one or not other:
        return one or other
    return {
        name: {precision: [*cases, *other[name][precision]] for precision, cases in each.items()}
        for name, each in one.items()
    }


def _mean(cases: Sequence[Mapping[str, float]]) -> float:
    return float(np.mean([list(case.values()) for case in cases]))


def judge(bundle: Bundle, cases: Sequence[CachedCase], structures: Structures) -> DiceByPrecision:
    """Every candidate on every second slice, run as the engine runs it, in each precision that this machine computes.

    Labels are those that the networks give, not cleaned.

    Parameters
    ----------
    bundle: also one in memory: only its method, bank and int8 models count.
    structures: in class indices.
    """
    precisions = ["fp32"]
    if openvino_models.has_bf16():
        precisions.append("bf16")
    if all(candidate.name in bundle.int8 for candidate in bundle.bank.candidates):
        precisions.append("int8")
    names = bundle.bank.options[1:]
    scores: dict[str, dict[str, list[Mapping[str, float]]]] = {name: {p: [] for p in precisions} for name in names}
    executions: dict[tuple[str, tuple[int, int]], Execution] = {}
    for case in cases:
        volumes, truth = case.volumes(), torch.from_numpy(case.classes()[_JUDGED])
        judged, size = range(volumes.shape[1])[_JUDGED], (volumes.shape[2], volumes.shape[3])
        seen = [bundle.bank.seen(o, volumes, judged, case.record.spacing_mm[0]) for o in range(1, len(names) + 1)]
        for precision in precisions:
            if (precision, size) not in executions:
                backend = OpenvinoBackend(precision, "")
                executions[precision, size] = METHODS[bundle.method].make_execution(bundle, backend, size, "whole")
            for option, (name, slices) in enumerate(zip(names, seen, strict=True), start=1):
                found = _classes(executions[precision, size], option, slices)
                dice = volume_dice(torch.from_numpy(found), truth, structures, case.record.classes)
                scores[name][precision].append(dice)
    return scores


def _classes(execution: Execution, option: int, slices: NDArray[np.float32]) -> NDArray[np.uint8]:
    execution.prepare(option)
    parts = [execution.run(option, slices[first : first + _BATCH]).classes for first in range(0, len(slices), _BATCH)]
    return np.concatenate(parts)
