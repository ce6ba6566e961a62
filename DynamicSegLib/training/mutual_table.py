"""The query table, measured: every configuration on cases that its network did not see, and its time here."""

import json
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from DynamicSegLib.backends.base import Backend
from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.cleaning import Cleaning, clean
from DynamicSegLib.evaluation.metrics import score_volume
from DynamicSegLib.evaluation.structures import Structures
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.networks.classes import ClassesOnly
from DynamicSegLib.query_table import QueryRow, pareto_front, rank_correlation
from DynamicSegLib.training.cache import CachedCase
from DynamicSegLib.training.found_labels import results_folder
from DynamicSegLib.training.measuring import digest_of, keep_measured, of_case, run_bank, volume_dice

Report = Callable[[str], None]
Scores = Mapping[str, Mapping[str, list[float]]]
"""By candidate and structure: Dice, and the Hausdorff distance in mm where it was measured."""

_REPEATS = 3


def score_cases(
    cases: Sequence[CachedCase],
    bank: Bank,
    structures: Structures,
    folder: Path,
    device: torch.device,
    distances: bool,
    report: Report = lambda text: None,
    cleaning: Cleaning | None = None,
) -> list[Scores]:
    """What each candidate reaches on each case, kept in `folder`; what this bank gave there is read.

    `structures`, `cleaning`: in class indices. The bank must not have seen the cases in training.
    """
    networks: list[nn.Module] = []

    def measure(case: CachedCase, path: Path) -> None:
        networks[:] = networks or [candidate.build().to(device).eval() for candidate in bank.candidates]
        write_text_whole(path, json.dumps(_score(case, bank, networks, structures, device, distances, cleaning)))
        report(f"{case.record.case}: measured")

    digest = digest_of(bank, structures, distances)
    measured: list[Scores] = []
    for case in cases:
        path = results_folder(folder, cleaning) / f"{case.record.case}.json"
        keep_measured(path, of_case(digest, case), partial(measure, case, path), report)
        measured.append(json.loads(path.read_text(encoding="utf-8")))
    return measured


def _score(
    case: CachedCase,
    bank: Bank,
    networks: Sequence[nn.Module],
    structures: Structures,
    device: torch.device,
    distances: bool,
    cleaning: Cleaning | None,
) -> dict[str, dict[str, list[float]]]:
    found = run_bank(bank, networks, case.volumes(), case.record.spacing_mm[0], device)
    reference = case.classes()
    results = found if cleaning is None else [clean(each, case.record.spacing_mm, cleaning) for each in found]
    names = [candidate.name for candidate in bank.candidates]
    if not distances:
        truth, classes = torch.from_numpy(reference).to(device), case.record.classes
        reached = [volume_dice(torch.from_numpy(each).to(device), truth, structures, classes) for each in results]
        return {n: {s: [dice] for s, dice in each.items()} for n, each in zip(names, reached, strict=True)}
    scores = [score_volume(result, reference, structures, case.record.spacing_mm) for result in results]
    return {n: {s: [v.dice, v.hd95_mm] for s, v in each.items()} for n, each in zip(names, scores, strict=True)}


def milliseconds_a_slice(candidate: Candidate, channels: int, size: tuple[int, int], backend: Backend) -> float:
    """Time of one slice in batches as the engine runs them: a warm-up, then the median of three."""
    run = backend.compile(ClassesOnly(candidate.build()), channels, size)
    batch = np.random.default_rng(0).standard_normal((backend.batch, channels, *size)).astype(np.float32)
    run(batch)
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times) / backend.batch


def structures_in(case: CachedCase, structures: Structures) -> frozenset[str]:
    """The structures that a case has. `structures`: in class indices."""
    masks = structures.masks(case.classes())
    return frozenset(name for name, mask in zip(structures.names, masks, strict=True) if mask.any())


def query_rows(
    bank: Bank,
    scores: Sequence[Scores],
    size: tuple[int, int],
    milliseconds: Mapping[str, float] | None = None,
    present: Sequence[Collection[str]] = (),
) -> tuple[QueryRow, ...]:
    """One row a candidate: means over all cases, costs on one slice of `size`.

    `present`: the structures that each case has, where that is to be told apart.
    """
    rows = []
    for candidate, cost in zip(bank.candidates, bank.costs(size)[1:], strict=True):
        of_case = [each[candidate.name] for each in scores]
        means = {s: np.mean([each[s] for each in of_case], axis=0) for s in of_case[0]}
        where = {
            s: [each[s][0] for each, has in zip(of_case, present, strict=bool(present)) if s in has] for s in means
        }
        rows.append(
            QueryRow(
                candidate.name,
                float(candidate.arguments["width"]),
                candidate.arguments["resolution"],
                cost.macs,
                cost.paper_flops,
                {s: float(mean[0]) for s, mean in means.items()},
                {s: float(mean[1]) for s, mean in means.items() if len(mean) > 1},
                None if milliseconds is None else milliseconds[candidate.name],
                {s: float(np.mean(dice)) for s, dice in where.items() if dice},
            )
        )
    return tuple(rows)


def table_markdown(rows: Sequence[QueryRow]) -> str:
    """The table for people: cheapest first, rows of the front marked, and how well time follows cost."""
    structures = list(rows[0].dice)
    front = {row.name for row in pareto_front(rows)}
    heads = ["configuration", "front", "G macs", "ms", "quality", *(f"{s} Dice" for s in structures)]
    heads += [f"{s} HD95 mm" for s in rows[0].hd95_mm]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in sorted(rows, key=lambda each: each.macs):
        cells = [row.name, "yes" if row.name in front else "", f"{row.macs / 1e9:.3f}"]
        cells += ["" if row.milliseconds is None else f"{row.milliseconds:.2f}", f"{row.quality:.4f}"]
        cells += [f"{value:.4f}" for value in row.dice.values()] + [f"{value:.2f}" for value in row.hd95_mm.values()]
        lines.append("| " + " | ".join(cells) + " |")
    timed = [(row.macs, row.milliseconds) for row in rows if row.milliseconds is not None]
    if len(timed) > 1:
        correlation = rank_correlation(*zip(*timed, strict=True))
        lines += ["", f"Rank correlation of milliseconds and macs over {len(timed)} configurations: {correlation:.3f}."]
    return "\n".join(lines) + "\n"
