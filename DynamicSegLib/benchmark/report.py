"""The benchmark for people and scripts: tables on the terminal, Markdown, JSON and a figure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from DynamicSegLib.reporting.chart import import_figure

PHASES = ("read", "prepare", "start", "route", "run", "write")
_COLUMNS = (*(f"s {phase}" for phase in PHASES), "s process", "peak MB", "G macs")
_WIDTH_IN_FILES = 180
# Okabe and Ito's colours, told apart by colour-blind people too.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
Table = tuple[str, list[str], list[list[str]]]


def tables(results: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Title, header and rows of each table; what was not measured is left out."""
    found = [_cases(results), _large(results), _candidates(results), _scaling(results)]
    return [table for table in found if table is not None]


def failures(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What could not be measured, and why."""
    return [result["error"] for result in results if "error" in result]


def _group(results: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [result for result in results if result["group"] == name and "error" not in result]


def _cases(results: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = _group(results, "case")
    if not rows:
        return None
    reference = next((row for row in rows if row["title"] == "default rule"), rows[0])["seconds"]["total"]
    header = ["one case", "backend", "s total", "times default", *_COLUMNS]
    body = []
    for row in rows:
        name, backend, total, *others = _case_cells(row)
        body.append([name, backend, total, f"{row['seconds']['total'] / reference:.1f}", *others])
    return "A case, files in to files out (peers: without writing)", header, body


def _large(results: Sequence[Mapping[str, Any]]) -> Table | None:
    body = [_case_cells(row) for row in _group(results, "large")]
    return ("A large volume", ["volume", "backend", "s total", *_COLUMNS], body) if body else None


def _case_cells(row: Mapping[str, Any]) -> list[str]:
    seconds = row["seconds"]
    device = row.get("device", "cpu")
    return [
        row["title"] + _scaled(row),
        f"{row['backend']} {row['precision']}" + ("" if device == "cpu" else f" {device}"),
        f"{seconds['total']:.2f}",
        *(f"{seconds[phase]:.2f}" if phase in seconds else "" for phase in PHASES),
        f"{row['process_seconds']:.2f}",
        f"{row['peak_memory_mb']:.0f}",
        f"{row['macs'] / 1e9:.0f}",
    ]


def _scaled(row: Mapping[str, Any]) -> str:
    if row.get("part", 1) > 1:
        return f" (1 slice in {row['part']} run)"
    if row.get("windows", 0) > row.get("windows_run", 0):
        return f" ({row['windows_run']} of {row['windows']} windows run)"
    return ""


def _candidates(results: Sequence[Mapping[str, Any]]) -> Table | None:
    measured, groups = _group(results, "peak"), _group(results, "candidates")
    if not measured or not groups:
        return None
    peaks = measured[0]["macs_per_second"]
    header = ["one slice", "backend", "bundle", "G macs", "ms", "G macs/s", "% of peak"]
    body = []
    for result in groups:
        device = result.get("device", "cpu")
        way = result["precision"] if device == "cpu" else f"{device} {result['precision']}"
        for row in result["candidates"]:
            rate = row["macs"] / row["ms"] * 1e3
            body.append(
                [
                    row["candidate"],
                    f"{result['backend']} {way}",
                    result["bundle"],
                    f"{row['macs'] / 1e9:.2f}",
                    f"{row['ms']:.1f}",
                    f"{rate / 1e9:.0f}",
                    f"{100 * rate / peaks[way]:.0f}" if way in peaks else "",
                ]
            )
    known = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in peaks.items())
    return f"Candidates, against the machine's matmul peak (G macs/s: {known})", header, body


def _scaling(results: Sequence[Mapping[str, Any]]) -> Table | None:
    stacks = _group(results, "scaling")
    if not stacks:
        return None
    header = ["slices", "s predicted", "s real", "real / predicted", "ms a slice"]
    body = [
        [
            str(point["slices"]),
            f"{point['predicted']:.2f}",
            f"{point['seconds']:.2f}",
            f"{point['seconds'] / point['predicted']:.2f}",
            f"{1000 * point['seconds'] / point['slices']:.1f}",
        ]
        for point in stacks[0]["points"]
    ]
    return f"Routing and running stacks, budget {stacks[0]['budget']}", header, body


def markdown(results: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """The tables as Markdown, with the machine's facts."""
    lines = ["# DynamicSeg benchmark", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    for title, header, body in tables(results):
        lines += [f"## {title}", "", _line(header), _line(["---", "---", *["---:"] * (len(header) - 2)])]
        lines += [_line(row) for row in body] + [""]
    missing = failures(results)
    if missing:
        lines += ["## Not measured", "", *(f"- {message}" for message in missing), ""]
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
    _draw_stacks(left, _group(results, "scaling"))
    _draw_budgets(right, [row for row in _group(results, "case") if row.get("share") is not None])
    for axes in (left, right):
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.has_data():
            axes.legend(frameon=False)
    figure.savefig(path)


def _draw_stacks(axes: Any, results: Sequence[Mapping[str, Any]]) -> None:
    for stacks in results:
        slices = [point["slices"] for point in stacks["points"]]
        real, predicted = ([point[name] for point in stacks["points"]] for name in ("seconds", "predicted"))
        axes.plot(slices, real, "o-", color=_COLORS[0], label="real")
        axes.plot(slices, predicted, "--", color=_COLORS[1], label="predicted")
        axes.set_ylabel(f"routing and running, s (budget {stacks['budget']})")
    axes.set_xlabel("slices")


def _draw_budgets(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """A colour for each bundle: solid from files in to files out, dashed the networks alone."""
    for place, bundle in enumerate(dict.fromkeys(row["bundle"] for row in rows)):
        own = [row for row in rows if row["bundle"] == bundle]
        shares, color = [row["share"] for row in own], _COLORS[place % len(_COLORS)]
        axes.plot(shares, [row["seconds"]["total"] for row in own], "o-", color=color, label=f"{bundle}, all")
        axes.plot(shares, [row["seconds"]["run"] for row in own], "o--", color=color, label=f"{bundle}, networks")
    axes.set_xlabel("budget, % of the costliest candidate everywhere")
    axes.set_ylabel("s a case")
