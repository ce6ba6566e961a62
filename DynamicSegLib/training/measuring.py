"""What each candidate achieves on each slice: run once, kept as pixel counts, read by the decision network's run."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from DynamicSegLib.bank import Bank
from DynamicSegLib.bundle import checksum_of
from DynamicSegLib.evaluation.overlaps import Overlaps
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.export import described

MARGIN_PIXELS = 16
"""Empty pixels around the head that candidates still see when their overlaps are measured."""


def digest_of(bank: Bank, *circumstances: object) -> str:
    """What a result depends on, as one hexadecimal number: the bank's networks and weights, and `circumstances`.

    circumstances: weights as a file or as the state of a module count by content, anything else by its `repr`.
    """
    digest = hashlib.sha256()
    for candidate in bank.candidates:
        weights = "random" if candidate.weights is None else checksum_of(candidate.weights)
        digest.update(f"{described(candidate)} {weights}\n".encode())
    for each in circumstances:
        if isinstance(each, nn.Module):
            for name, tensor in each.state_dict().items():
                digest.update(f"{name} ".encode() + tensor.cpu().contiguous().numpy().tobytes())
        else:
            digest.update(f"{checksum_of(each) if isinstance(each, Path) else repr(each)}\n".encode())
    return digest.hexdigest()


def of_case(digest: str, case: CachedCase) -> str:
    """`digest` for the result of one case: another one where the case was packed anew at another size or otherwise."""
    return f"{digest} {case.record.shape} {sum(case.record.foreground)}"


def keep_measured(path: Path, digest: str, measure: Callable[[], None], report: Callable[[str], None]) -> None:
    """Let `measure` write `path`, unless the result there was measured with the same (see `digest_of`).

    The digest stands beside, in `<path>.digest`; a result without one is of an older version and measured again.
    """
    beside = path.with_name(f"{path.name}.digest")
    if path.is_file():
        if beside.is_file() and beside.read_text(encoding="utf-8") == digest:
            return
        report(f"{path}: not of these networks and settings, measured again")
    # Removed first: after an interruption nothing vouches for the new result.
    beside.unlink(missing_ok=True)
    measure()
    write_text_whole(beside, digest)


def measure_cases(
    cases: Sequence[CachedCase],
    bank: Bank,
    structures: Structures,
    folder: Path,
    device: torch.device,
    report: Callable[[str], None] = lambda text: None,
    setting: str = "whole",
) -> list[Overlaps]:
    """The overlaps of `cases` (structures in class indices), kept in `folder`; what this bank gave there is read.

    For cross-fitting, call this with the cases that the bank did not see in training.
    """
    networks: list[nn.Module] = []

    def measure(case: CachedCase, path: Path) -> None:
        networks[:] = networks or [candidate.build(setting).to(device).eval() for candidate in bank.candidates]
        window = _around_the_head(case)
        results = run_bank(bank, networks, case.volumes()[window], case.record.spacing_mm[0], device)
        Overlaps.count(case.classes()[window[1:]], results, structures).save(path)
        report(f"{case.record.case}: measured")

    digest = digest_of(bank, structures, setting)
    measured = []
    for case in cases:
        path = folder / f"{case.record.case}.npz"
        keep_measured(path, of_case(digest, case), partial(measure, case, path), report)
        measured.append(Overlaps.load(path))
    return measured


def _around_the_head(case: CachedCase) -> tuple[slice, slice, slice, slice]:
    """The part of the plane that holds the head, with a margin, on the networks' grid of 8 pixels: half the work."""
    window = [slice(None), slice(None)]
    origin, shape = case.record.origin[1:], case.record.shape[1:]
    for start, length, size in zip(origin, case.slices.shape[2:], shape, strict=True):
        first = max(0, start - MARGIN_PIXELS) // 8 * 8
        window.append(slice(first, min(size, start + length + MARGIN_PIXELS)))
    return window[0], window[1], window[2], window[3]


def run_bank(
    bank: Bank,
    networks: Sequence[nn.Module],
    volumes: NDArray[np.float32],
    spacing_mm: float,
    device: torch.device,
    batch: int = 8,
) -> NDArray[np.uint8]:
    """Every candidate on every slice: uint8 `[candidate, slice, row, column]`, class indices.

    Parameters
    ----------
    networks: those of the bank's candidates, ready to run on `device`.
    volumes: float32 `[modality, slice, row, column]`. Slices without anything in the field of view stay 0.
    spacing_mm: distance of slices.
    """
    results = np.zeros((len(networks), *volumes.shape[1:]), np.uint8)
    seen = np.flatnonzero(volumes.any(axis=(0, 2, 3)))
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
        for first in range(0, len(seen), batch):
            rows = seen[first : first + batch]
            for index, network in enumerate(networks):
                x = torch.from_numpy(bank.seen(index + 1, volumes, rows, spacing_mm)).to(device)
                x = x.contiguous(memory_format=torch.channels_last)
                results[index, rows] = network(x).argmax(dim=1).to(torch.uint8).cpu().numpy()
    return results


def volume_dice(result: Tensor, reference: Tensor, structures: Structures, classes: int) -> dict[str, float]:
    """Dice of each structure, from one pass over both volumes (class indices, uint8); both empty is 1.

    A hundred configurations of a case are counted in the time that masks of each structure would take for ten.
    """
    counted = torch.bincount((reference.int() * classes + result).flatten(), minlength=classes * classes)
    pairs = counted.reshape(classes, classes).cpu().numpy()
    dice = {}
    for name, members in structures.members.items():
        own = list(members)
        total = int(pairs[own].sum() + pairs[:, own].sum())
        dice[name] = 1.0 if total == 0 else 2 * int(pairs[np.ix_(own, own)].sum()) / total
    return dice
