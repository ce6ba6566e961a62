"""int8: candidates quantised by NNCF on slices of training cases, and what that costs on cases not trained on."""

import io
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from DynamicSegLib.backends.base import Deferred
from DynamicSegLib.backends.openvino_backend import OpenvinoBackend, convert, convert_open
from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.errors import TrainingError
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.networks.classes import ClassesOnly
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.measuring import volume_dice

if TYPE_CHECKING:
    import openvino

INSTALL = "pip install 'DynamicSeg[int8]'"
# Every second slice tells two precisions apart as well as all do.
_JUDGED = slice(None, None, 2)


def calibration_slices(cases: Sequence[CachedCase], count: int) -> NDArray[np.float32]:
    """Slices with anything on them, evenly spread over cases and heads: float32 `[count, modality, row, column]`."""
    chosen = []
    for index in range(count):
        case = cases[index * len(cases) // count]
        first, filled = case.record.origin[0], case.slices.shape[0]
        # Golden-ratio steps spread few and many slices evenly alike.
        chosen.append(case.volumes()[:, first + int((index * 0.618) % 1 * filled)])
    return np.stack(chosen)


def quantise_bank(bank: Bank, slices: NDArray[np.float32], folder: Path) -> dict[str, Path]:
    """Every candidate as an OpenVINO model in int8 in `folder`: its description (.xml) by name, weights beside it.

    Models that are there already are kept. They give classes, and take whole slices of any size that is divisible by 8
    where the network allows it.

    Parameters
    ----------
    slices: their activations say what 8 bits have to span, float32 `[n, modality, row, column]`.

    Raises
    ------
    TrainingError: NNCF or OpenVINO is not installed.
    """
    if find_spec("nncf") is None or find_spec("openvino") is None:
        raise TrainingError(
            f"int8 models are made by nncf, which is not installed: {INSTALL}, or set int8_slices to 0."
        )
    import openvino

    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for candidate in bank.candidates:
        path = folder / f"{candidate.name}.xml"
        if not path.is_file():
            shape = (1, *slices.shape[1:])
            network = _network(candidate)
            # Of open sizes where possible, since heads differ in size.
            model = _quantised(convert_open(network, shape) or convert(network, shape), slices)
            beside = folder / f"{candidate.name}.part.xml"
            openvino.serialize(model, str(beside), str(beside.with_suffix(".bin")))
            beside.with_suffix(".bin").replace(path.with_suffix(".bin"))
            beside.replace(path)
        written[candidate.name] = path
    return written


def _network(candidate: Candidate) -> ClassesOnly:
    return ClassesOnly(candidate.build()).eval()


def _quantised(model: "openvino.Model", slices: NDArray[np.float32]) -> "openvino.Model":
    """The model with weights and inputs of its convolutions in 8 bits."""
    # NNCF reports its use over the network except in tests, which this says it is; a program for hospitals must not.
    os.environ.setdefault("NNCF_CI", "1")
    # It draws progress bars, and says through its logger what it does.
    with redirect_stdout(io.StringIO()):
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset([each[None] for each in slices]),
            # Inputs of a convolution may have any sign.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(slices),
        )


@dataclass(frozen=True)
class Judged:
    """One candidate in both precisions on one case: Dice by structure, `exact` in float32 and `lower` in int8."""

    exact: Mapping[str, float]
    lower: Mapping[str, float]


@dataclass(frozen=True)
class QuantisedBank:
    """A bank in 8 bits, and what such quantising does to banks on cases that they did not see.

    models: see `quantise_bank`. judged: by candidate, one a case.
    """

    models: Mapping[str, Path]
    judged: Mapping[str, Sequence[Judged]]

    @property
    def dice_lost(self) -> float:
        """Mean Dice over cases and structures that the candidate which suffers most loses; below 0 it gains."""
        return max(
            float(np.mean([list(each.exact.values()) for each in cases]))
            - float(np.mean([list(each.lower.values()) for each in cases]))
            for cases in self.judged.values()
        )

    def markdown(self) -> str:
        """A table: mean Dice by candidate, precision and structure."""
        structures = list(next(iter(self.judged.values()))[0].exact)
        heads = " | ".join(f"{name} Dice" for name in structures)
        lines = [f"| | {heads} |", "|---" * (len(structures) + 1) + "|"]
        for candidate, cases in self.judged.items():
            for precision, scores in (("fp32", [c.exact for c in cases]), ("int8", [c.lower for c in cases])):
                means = [np.mean([each[name] for each in scores]) for name in structures]
                lines.append(f"| {candidate}, {precision} | " + " | ".join(f"{mean:.4f}" for mean in means) + " |")
        return "\n".join(lines) + "\n"


def judge(
    bank: Bank, models: Mapping[str, Path], cases: Sequence[CachedCase], structures: Structures
) -> dict[str, list[Judged]]:
    """By candidate and case: Dice in float32 and in int8 on every second slice, labels as the networks give them.

    `structures`: in class indices. The bank must not have seen the cases in training.
    """
    judged: dict[str, list[Judged]] = {}
    for candidate in bank.candidates:
        network = Deferred(partial(_network, candidate), "", models[candidate.name])
        judged[candidate.name] = [_judge_case(network, bank.channels, case, structures) for case in cases]
    return judged


def _judge_case(network: Deferred, channels: int, case: CachedCase, structures: Structures) -> Judged:
    slices = np.ascontiguousarray(case.volumes()[:, _JUDGED].swapaxes(0, 1))
    truth, found = torch.from_numpy(case.classes()[_JUDGED]), []
    for precision in ("fp32", "int8"):
        run = OpenvinoBackend(precision, "").compile(network, channels, slices.shape[2:])
        found.append(volume_dice(torch.from_numpy(run(slices)[0]), truth, structures, case.record.classes))
    return Judged(*found)
