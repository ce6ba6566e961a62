"""The papers' tables: which runs their rows are of, and that numbers and units are those of these runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from DynamicSegLib.cost import Cost, count
from DynamicSegLib.evaluation.choices import Softmax
from DynamicSegLib.evaluation.policies import DYNAMIC, SKIP_ONLY, Prices
from DynamicSegLib.networks.decision import DecisionNetwork
from DynamicSegLib.networks.unet import UNet2D
from DynamicSegLib.training import decision_run, paper_tables
from DynamicSegLib.training.config import CandidateConfig, FoldsConfig
from DynamicSegLib.training.config_reading import read_config
from DynamicSegLib.training.folds import CrossValidation, Variant
from DynamicSegLib.training.paper_tables import smaller_banks
from DynamicSegLib.training.validation import Validator
from Testing.Library.test_training_folds import write, write_configs

CPU = torch.device("cpu")
SCALE = 10**5
"""Tiny networks, priced as if they were large: costs have digits when printed in G."""


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("CC", []),
        ("CT", []),
        ("CCT", ["C1 T1"]),
        ("CCTT", ["C1 T1"]),
        ("CTTT", ["C1 T1"]),
        ("CCCTTT", ["C1 T1", "C1 C2 T1 T2"]),
        ("CTTTTT", ["C1 T1", "C1 T1 T2"]),
    ],
)
def test_smaller_banks_have_as_many_cnns_as_transformers_where_there_are_such(kinds: str, expected: list[str]) -> None:
    networks = {"C": "unet2d", "T": "transbts2d"}
    candidates = [
        CandidateConfig(f"{kind}{kinds[: place + 1].count(kind)}", networks[kind]) for place, kind in enumerate(kinds)
    ]
    assert [" ".join(names) for names in smaller_banks(candidates)] == expected


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def printed(text: str) -> dict[str, dict[str, list[str]]]:
    """By table and method: the cells of its row."""
    tables: dict[str, dict[str, list[str]]] = {}
    for line in text.splitlines():
        if line.startswith("## "):
            tables[line[3:].partition(":")[0]] = rows = {}
        elif line.startswith("| "):
            rows[cells(line)[0]] = cells(line)[1:]
    return tables


def costs(variant: Variant) -> list[Cost]:
    """Of skip, S, L and the router's look, counted here: windows of 128 where the variant has them, else 24 x 24."""
    size = (128, 128) if variant.setting == "window" else (24, 24)
    networks = [count(UNet2D(2, 3, base), (1, 2, *size)) for base in (2, 4)]
    return [Cost(), *networks, count(DecisionNetwork(variant.backbone, 2, 2), (1, 2, 24, 24))]


def expected(run: CrossValidation, variant: Variant, policy: str) -> list[str]:
    """The cells of a row: mean Dice, mean distance, and G of both units, of all cases to an inference."""
    _, results = run.validate(variant)
    scores = [each.scores[policy] for each in results]
    row = [f"{np.mean([s[n].dice for s in scores]):.3f} ± {np.std([s[n].dice for s in scores]):.3f}" for n in scores[0]]
    row += [f"{np.mean([s[n].hd95_mm for s in scores]):.1f}" for n in scores[0]]
    options = np.concatenate([each.plans[policy] for each in results])
    *prices, look = costs(variant)
    routed = policy == DYNAMIC
    for unit in ("macs", "paper_flops"):
        total = sum(getattr(prices[option], unit) + routed * getattr(look, unit) for option in options) * SCALE / 1e9
        row += [f"{total / parts:.2f}" for parts in (1, len(results), len(options), len(options))]
    return row


def assert_rows(rows: dict[str, list[str]], *wanted: tuple[str, Sequence[str]]) -> None:
    for method, row in wanted:
        found = [cell.partition(" ± ")[0] if 2 <= place < 4 else cell for place, cell in enumerate(rows[method])]
        assert found == row, method


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FoldsConfig:
    """A cross-validation of two folds whose decision networks have an alpha and a softmax of their own."""
    monkeypatch.setattr(paper_tables, "BACKBONES", ("shufflenetv2-m", "ghostnet-0.5x"))
    monkeypatch.setattr(paper_tables, "ALPHAS", (0.01,))
    monkeypatch.setattr(paper_tables, "METRICS", (Softmax.NONE,))
    original = Validator.prices

    def priced(validator: Validator, size: tuple[int, int]) -> Prices:
        prices = original(validator, size)
        return Prices(tuple(cost.times(SCALE) for cost in prices.options), prices.router.times(SCALE))

    monkeypatch.setattr(Validator, "prices", priced)
    path = write_configs(tmp_path, alpha=0.02)
    decision = yaml.safe_load((tmp_path / "decision.yaml").read_text(encoding="utf-8"))
    write(tmp_path / "decision.yaml", {**decision, "alpha": 0.02, "softmax": "both"})
    return read_config(path, FoldsConfig, ["held_out=[0, 1]"])


def test_the_papers_tables_are_printed_with_the_numbers_of_their_runs(
    config: FoldsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: dict[str, tuple[float, Softmax, str]] = {}
    original = decision_run.DecisionRun.train

    def note(run: decision_run.DecisionRun) -> object:
        trained[run.config.output.name] = (run.config.alpha, run.config.softmax, run.config.backbone)
        return original(run)

    monkeypatch.setattr(decision_run.DecisionRun, "train", note)
    tables = printed(paper_tables.paper_tables(config, CPU, lambda text: None))

    assert trained == {
        "decision-final": (0.02, Softmax.BOTH, "shufflenetv2-m"),
        "decision-window": (0.02, Softmax.BOTH, "shufflenetv2-m"),
        "decision-alpha-0.01-softmax-both": (0.01, Softmax.BOTH, "shufflenetv2-m"),
        "decision-alpha-0.02-softmax-none": (0.02, Softmax.NONE, "shufflenetv2-m"),
        "decision-with-shufflenetv2-m": (0.02, Softmax.BOTH, "shufflenetv2-m"),
        "decision-with-ghostnet-0.5x": (0.02, Softmax.BOTH, "ghostnet-0.5x"),
    }
    run = CrossValidation(config, CPU, lambda text: None)
    other = replace(config, joint=False, output=config.output.with_name("run-other"))
    final = run.variant
    ghost = replace(final, name="with-ghostnet-0.5x", backbone="ghostnet-0.5x")
    none = replace(final, name="alpha-0.02-softmax-none", softmax=Softmax.NONE)
    assert_rows(tables["Table 1"], ("DynamicSeg", expected(run, final, DYNAMIC)))
    whole, windows = tables["Table 3, setting 2 (whole slices)"], tables["Table 3, setting 1 (windows)"]
    window = replace(final, name="window", setting="window")
    for policy in ("S", "L", DYNAMIC):
        assert_rows(whole, (policy, expected(run, final, policy)))
        assert_rows(windows, (policy, expected(run, window, policy)))
    assert_rows(tables["Table 4"], ("softmax none", expected(run, none, DYNAMIC)))
    assert_rows(tables["Table 5"], ("ghostnet-0.5x", expected(run, ghost, DYNAMIC)))
    small = ("0 (skip only)", expected(run, final, SKIP_ONLY)), ("S + L", expected(run, final, DYNAMIC))
    assert_rows(tables["Table 6"], *small)
    alone = expected(CrossValidation(other, CPU, lambda text: None), final, DYNAMIC)
    both = ("joint training", expected(run, final, DYNAMIC)), ("individual training", alone)
    assert_rows(tables["Table 8"], *both)
    papers = tables["Table 8"]["*paper:* individual training"]
    assert papers[-4:] == ["", "962.87", "7.52", ""] and "0.902" in papers
    csv = (config.output / "tables" / "table-3-window.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in csv[1:4]] == ["S", "L", DYNAMIC]
