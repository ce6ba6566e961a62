"""`dynamicseg curve`: quality against cost for every budget."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from DynamicSegLib.bundle import CurvePoint
    from DynamicSegLib.query_table import QueryRow


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "curve",
        help="quality against cost for every budget",
        description="The quality that each budget buys: the bundle's own table (cross-validated where it says so), or "
        "with --case what the router predicts for one case before anything else runs. Of a bundle of MutualNet also "
        "the query table: every configuration, and the front of those that no other beats.",
    )
    parser.add_argument("--bundle", default="glioma", help="name or folder of a bundle (default: glioma)")
    parser.add_argument("--case", type=Path, help="a case folder, for its own predicted curve")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write curve.png, curve.json and query_table.json")
    parser.add_argument("--json", action="store_true", help="print the curve as JSON on standard output")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print and draw a curve, and the query table where there is one."""
    from dataclasses import asdict

    from DynamicSegLib.api import read_study
    from DynamicSegLib.bundles import load_bundle
    from DynamicSegLib.errors import BundleError
    from DynamicSegLib.methods.mutualnet import front_curve, has_query_table, query_table
    from DynamicSegLib.methods.registry import start_run

    bundle = load_bundle(options.bundle)
    points, title = bundle.curve, f"{bundle.name}: what each budget buys"
    rows: tuple[QueryRow, ...] = ()
    if options.case is not None:
        points = start_run(read_study(options.case, bundle), bundle).curve()
        title = f"{bundle.name}: predicted for {options.case.resolve().name}"
    elif has_query_table(bundle):
        rows = query_table(bundle)
    if not points and not rows:
        raise BundleError(f"Bundle {bundle.name!r} holds no quality-cost curve: give --case to predict one for a case.")
    if options.output is not None:
        _write(points, rows, title, options.output)
    if options.json:
        print(json.dumps([asdict(point) for point in points or front_curve(bundle)]))
        return 0
    if points:
        _print_points(points)
    if rows:
        _print_table(rows)
    return 0


def _write(points: "Sequence[CurvePoint]", rows: "Sequence[QueryRow]", title: str, folder: Path) -> None:
    from dataclasses import asdict

    from DynamicSegLib.files import written_together
    from DynamicSegLib.query_table import pareto_front, to_plain
    from DynamicSegLib.reporting.curve import write_curve

    contents = {"curve.json": [asdict(point) for point in points], "query_table.json": to_plain(rows)}
    with written_together(folder) as scratch:
        write_curve(points, title, scratch / "curve.png", rows, pareto_front(rows))
        for name, content in contents.items():
            if content:
                (scratch / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _print_points(points: "Sequence[CurvePoint]") -> None:
    names = list(dict.fromkeys(name for point in points for name in point.measured))
    print(f"{'budget':>7} {'G macs':>9} {'predicted':>10}" + "".join(f"{name:>8}" for name in names))
    for point in points:
        measured = "".join(f"{point.measured[name]:>8.3f}" if name in point.measured else f"{'':>8}" for name in names)
        print(f"{100 * point.share:>6.0f}% {point.macs / 1e9:>9.1f} {point.predicted:>10.3f}{measured}")


def _print_table(rows: "Sequence[QueryRow]") -> None:
    """All configurations, cheapest first; a star marks those that no other beats."""
    from DynamicSegLib.query_table import pareto_front

    names, front = list(rows[0].dice), pareto_front(rows)
    print(f"\n{len(rows)} configurations, costs of one slice; * no other is as good for as little")
    print(f"  {'configuration':<14} {'G macs':>8} {'ms':>7}" + "".join(f"{name:>8}" for name in names))
    for row in sorted(rows, key=lambda row: row.macs):
        milliseconds = "" if row.milliseconds is None else f"{row.milliseconds:.2f}"
        dice = "".join(f"{row.dice[name]:>8.3f}" for name in names)
        print(f"{'*' if row in front else ' '} {row.name:<14} {row.macs / 1e9:>8.3f} {milliseconds:>7}{dice}")
