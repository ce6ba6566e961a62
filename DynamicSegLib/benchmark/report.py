"""The benchmark for people and scripts: tables on the terminal, Markdown, JSON and a figure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from DynamicSegLib.reporting.chart import import_figure

PHASES = ("read", "prepare", "start", "route", "run", "write")
_WIDTH_IN_FILES = 180
Table = tuple[str, list[str], list[list[str]]]


def tables(results: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Title, header and rows of each table."""
    return [_cases(results), _candidates(results), _scaling(results)]


def _group(results: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [result for result in results if result["group"] == name]


def _cases(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = _group(results, "case")
    reference = next((row for row in rows if row["title"] == "default rule"), rows[0])
    header = ["one case", "backend", "s total", "times default", *(f"s {phase}" for phase in PHASES)]
    header += ["s process", "peak MB", "G macs"]
    body = []
    for row in rows:
        seconds = row["seconds"]
        body.append(
            [
                row["title"] + _scaled(row),
                f"{row['backend']} {row['precision']}",
                f"{seconds['total']:.2f}",
                f"{seconds['total'] / reference['seconds']['total']:.1f}",
                *(f"{seconds[phase]:.2f}" if phase in seconds else "" for phase in PHASES),
                f"{row['process_seconds']:.2f}",
                f"{row['peak_memory_mb']:.0f}",
                f"{row['macs'] / 1e9:.0f}",
            ]
        )
    return "A case, files in to files out (peers: without writing)", header, body


def _scaled(row: Mapping[str, Any]) -> str:
    if row.get("part", 1) > 1:
        return f" (1 slice in {row['part']} run)"
    if row.get("windows", 0) > row.get("windows_run", 0):
        return f" ({row['windows_run']} of {row['windows']} windows run)"
    return ""


def _candidates(results: Sequence[Mapping[str, Any]]) -> Table:
    peaks = _group(results, "peak")[0]["macs_per_second"]
    header = ["one slice", "backend", "G macs", "ms", "G macs/s", "% of peak"]
    body = []
    for result in _group(results, "candidates"):
        for row in result["candidates"]:
            rate = row["macs"] / row["ms"] * 1e3
            peak = peaks[result["precision"]]
            body.append(
                [
                    row["candidate"],
                    f"{result['backend']} {result['precision']}",
                    f"{row['macs'] / 1e9:.2f}",
                    f"{row['ms']:.1f}",
                    f"{rate / 1e9:.0f}",
                    f"{100 * rate / peak:.0f}",
                ]
            )
    known = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in peaks.items())
    return f"Candidates, against the machine's matmul peak (G macs/s: {known})", header, body


def _scaling(results: Sequence[Mapping[str, Any]]) -> Table:
    (result,) = _group(results, "scaling")
    header = ["slices", "s predicted", "s real", "real / predicted", "ms a slice"]
    body = [
        [
            str(point["slices"]),
            f"{point['predicted']:.2f}",
            f"{point['seconds']:.2f}",
            f"{point['seconds'] / point['predicted']:.2f}",
            f"{1000 * point['seconds'] / point['slices']:.1f}",
        ]
        for point in result["points"]
    ]
    return f"Routing and running stacks, budget {result['budget']}", header, body


def markdown(results: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """The tables as Markdown, with the machine's facts."""
    lines = ["# DynamicSeg benchmark", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    for title, header, body in tables(results):
        lines += [f"## {title}", "", _line(header), _line(["---", "---", *["---:"] * (len(header) - 2)])]
        lines += [_line(row) for row in body] + [""]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def print_tables(results: Sequence[Mapping[str, Any]]) -> None:
    """The tables on standard output, with rich where it is installed."""
    try:
        from rich.console import Console
        from rich.table import Table as RichTable
    except ImportError:
        for title, header, body in tables(results):
            print(title, *(" | ".join(row) for row in [header, *body]), "", sep="\n")
        return
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_IN_FILES
    for title, header, body in tables(results):
        table = RichTable(title=title, title_justify="left")
        for place, name in enumerate(header):
            table.add_column(name, justify="left" if place < 2 else "right")
        for row in body:
            table.add_row(*row)
        console.print(table)


def write_report(results: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], folder: Path) -> None:
    """Write bench.json, bench.md and bench.png into an existing folder."""
    (folder / "bench.json").write_text(json.dumps({**facts, "results": list(results)}, indent=2) + "\n", "utf-8")
    (folder / "bench.md").write_text(markdown(results, facts), "utf-8")
    write_figure(results, folder / "bench.png")


def write_figure(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Time against slices, and time against budget.

    Raises
    ------
    DynamicSegError: matplotlib is not installed.
    """
    figure = import_figure()(figsize=(10, 4), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2)
    (stacks,) = _group(results, "scaling")
    slices = [point["slices"] for point in stacks["points"]]
    left.plot(slices, [point["seconds"] for point in stacks["points"]], "o-", color="#0072B2", label="real")
    left.plot(slices, [point["predicted"] for point in stacks["points"]], "--", color="#E69F00", label="predicted")
    left.set_xlabel("slices")
    left.set_ylabel(f"routing and running, s (budget {stacks['budget']})")
    left.legend(frameon=False)
    by_budget = [
        (float(row["title"].split()[1]), row["seconds"]["total"], row["seconds"]["run"])
        for row in _group(results, "case")
        if row["title"].startswith("budget") and row["title"].endswith("%")
    ]
    shares, totals, runs = zip(*by_budget, strict=True)
    right.plot(shares, totals, "o-", color="#0072B2", label="files in to files out")
    right.plot(shares, runs, "o-", color="#D55E00", label="networks alone")
    right.set_xlabel("budget, % of the costliest candidate everywhere")
    right.set_ylabel("s a case")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
