"""`dynamicseg curve`: quality against cost for every budget."""

import argparse
import json
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "curve",
        help="quality against cost for every budget",
        description="The quality that each budget buys: the bundle's own table (cross-validated where it says so), or "
        "with --case what the router predicts for one case before anything else runs.",
    )
    parser.add_argument("--bundle", default="glioma", help="name or folder of a bundle (default: glioma)")
    parser.add_argument("--case", type=Path, help="a case folder, for its own predicted curve")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write curve.png and curve.json here")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print and draw a curve."""
    from dataclasses import asdict

    from DynamicSegLib.api import read_study
    from DynamicSegLib.bundles import load_bundle
    from DynamicSegLib.errors import BundleError
    from DynamicSegLib.files import written_together
    from DynamicSegLib.methods.registry import start_run
    from DynamicSegLib.reporting.curve import write_curve

    bundle = load_bundle(options.bundle)
    points, title = bundle.curve, f"{bundle.name}: what each budget buys"
    if options.case is not None:
        points = start_run(read_study(options.case, bundle), bundle).curve()
        title = f"{bundle.name}: predicted for {options.case.name}"
    if not points:
        raise BundleError(f"Bundle {bundle.name!r} holds no quality-cost curve: give --case to predict one for a case.")
    rows = [asdict(point) for point in points]
    if options.output is not None:
        with written_together(options.output) as scratch:
            write_curve(points, title, scratch / "curve.png")
            (scratch / "curve.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(rows))
        return 0
    names = list(dict.fromkeys(name for point in points for name in point.measured))
    print(f"{'budget':>7} {'G macs':>9} {'predicted':>10}" + "".join(f"{name:>8}" for name in names))
    for point in points:
        measured = "".join(f"{point.measured[name]:>8.3f}" if name in point.measured else f"{'':>8}" for name in names)
        print(f"{100 * point.share:>6.0f}% {point.macs / 1e9:>9.1f} {point.predicted:>10.3f}{measured}")
    return 0
