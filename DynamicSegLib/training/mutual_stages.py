"""The stages of MutualNet's training as functions: what the command line calls."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from DynamicSegLib.backends.choice import choose_backend
from DynamicSegLib.bank import Bank
from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.files import write_text_whole
from DynamicSegLib.methods.mutualnet import METHOD
from DynamicSegLib.networks.slimmable_network import shared_from_plain
from DynamicSegLib.query_table import QueryRow, from_plain, pareto_front, spread, to_plain
from DynamicSegLib.training.cache import open_cases
from DynamicSegLib.training.config import DataConfig
from DynamicSegLib.training.distribution import join_processes
from DynamicSegLib.training.export import RunRecord, read_bank, record_run
from DynamicSegLib.training.fold_runs import plain_weights
from DynamicSegLib.training.mutual_config import MutualConfig, QueryTableConfig
from DynamicSegLib.training.mutual_run import MutualRun, export_mutual
from DynamicSegLib.training.mutual_table import (
    milliseconds_a_slice,
    query_rows,
    score_cases,
    structures_in,
    table_markdown,
)
from DynamicSegLib.training.sources import chosen_cases
from DynamicSegLib.training.stages import class_structures
from DynamicSegLib.training.task import read_task
from DynamicSegLib.weights import load_weights

TABLE_FILE = "table.json"
FRONT_FILE = "front.json"
Report = Callable[[str], None]


def train_mutual(config: MutualConfig, device: torch.device, initial: Mapping[str, Tensor] | None = None) -> None:
    """Train the slimmable network and leave all its configurations in `config.output`. `initial`: see `MutualRun`.

    A finished run only exports again, e.g. other configurations (`keep`).
    """
    processes = join_processes(device)
    run = MutualRun(config, device, initial, processes)
    network = run.train().cpu()
    if processes.first:
        size = read_task(config.task).input.size
        export_mutual(config, network, run.pool.modalities, run.classes, size)
        record_run(config.output, RunRecord.of(config, run.pool.cases))


def make_query_table(
    config: QueryTableConfig, device: torch.device, report: Report = lambda text: None
) -> tuple[QueryRow, ...]:
    """Measure every configuration; write `table.json`, `table.md`, and the chosen part of the front to `front.json`.

    What was measured before is kept: Dice case by case, milliseconds as `table.json` has them. Remove that file to
    measure times again, on a computer that does nothing else.
    """
    task = read_task(config.task)
    structures, cleaning = class_structures(task), task.class_cleaning(config.cleaning)
    scores, present = [], []
    banks = [read_bank(folder) for folder in config.banks]
    for bank, fold in zip(banks, config.folds, strict=True):
        names = [row.case for row in chosen_cases(DataConfig(config.cache, config.cases, (fold,)))]
        cases = open_cases(config.cache, names)
        folder = config.output / f"fold{fold}"
        scores += score_cases(cases, bank, structures, folder, device, config.distances, report, cleaning)
        present += [structures_in(case, structures) for case in cases]
    size = task.input.size
    times = _times(banks[0], size, config, device) if config.timing else None
    rows = query_rows(banks[0], scores, size, times, present)
    chosen = spread(pareto_front(rows), config.candidates)
    keep = [{"width": row.width, "resolution": row.resolution} for row in chosen]
    write_text_whole(config.output / TABLE_FILE, json.dumps(to_plain(rows), indent=1) + "\n")
    write_text_whole(config.output / FRONT_FILE, json.dumps({"keep": keep}) + "\n")
    write_text_whole(config.output / "table.md", table_markdown(rows))
    report(
        f"{config.output / TABLE_FILE}: {len(rows)} configurations; for routing: {', '.join(r.name for r in chosen)}"
    )
    return rows


def _times(bank: Bank, size: tuple[int, int], config: QueryTableConfig, device: torch.device) -> dict[str, float]:
    known = _known_times(config.output / TABLE_FILE)
    if all(candidate.name in known for candidate in bank.candidates):
        return known
    backend = choose_backend(config.backend, str(device))
    return {
        candidate.name: milliseconds_a_slice(candidate, bank.channels_of(option), size, backend)
        for option, candidate in enumerate(bank.candidates, start=1)
    }


def _known_times(table: Path) -> dict[str, float]:
    if not table.is_file():
        return {}
    rows = from_plain(json.loads(table.read_text(encoding="utf-8")))
    return {row.name: row.milliseconds for row in rows if row.milliseconds is not None}


def shared_state(name: str, config: MutualConfig) -> Mapping[str, Tensor]:
    """Weights to start from, of a bundle: its slimmable network, or the plain UNet of the same base.

    Raises
    ------
    TrainingError: the bundle has neither.
    """
    bundle = load_bundle(name)
    if bundle.method == METHOD:
        file = bundle.bank.candidates[0].weights
        assert isinstance(file, Path)
        return load_weights(file)
    plain = plain_weights(bundle.bank.candidates, "unet2d", {"base": config.base}, f"Bundle {name!r}")
    return shared_from_plain(plain)
