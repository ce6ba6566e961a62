"""`dynamicseg bench`: seconds, memory and cost on this machine, against peers and the published way."""

import argparse
import tempfile
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "bench",
        help="how fast this machine is, against peers and the published way",
        description="Measures one case by budget, backend and precision, the costliest candidate on every slice, "
        "sliding windows and the published way of running; each in a process of its own. Writes bench.json, bench.md "
        "and bench.png. Takes 15 minutes on two cores, with --quick a few.",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--case", type=Path, metavar="DIR", help="folder of a case (default: a phantom)")
    parser.add_argument("--bundle", help="name or folder of a bundle (default: glioma and all others like it)")
    parser.add_argument("--peers", action="store_true", help="also MONAI's SegResNet, DynUNet and SwinUNETR in 3D")
    parser.add_argument("--large", action="store_true", help="also a volume of 512 x 512 x 1,000 (0.5 GB on disk)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: one a core)")
    parser.add_argument("--quick", action="store_true", help="few budgets, each measured once, a small phantom")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print and write."""
    from DynamicSegLib.benchmark import report, stand_in, suite
    from DynamicSegLib.benchmark.peers import PEERS, check_installed
    from DynamicSegLib.cli.main import DONE, FAULT
    from DynamicSegLib.cli.progress import note
    from DynamicSegLib.files import written_together
    from DynamicSegLib.synthesis import FULL_SLICES, SMALL_SLICES
    from DynamicSegLib.threads import use_threads

    if options.threads is not None:
        use_threads(options.threads)
    if options.peers:
        check_installed()
    with tempfile.TemporaryDirectory() as folder, written_together(options.output) as results:
        scratch = Path(folder)
        bundles = stand_in.bundles_to_measure(options.bundle, scratch)
        case = stand_in.case_to_measure(options.case, scratch, SMALL_SLICES if options.quick else FULL_SLICES)
        large = stand_in.large_to_measure(scratch) if options.large else None
        folders = [bundle.folder for bundle in bundles if bundle.folder is not None]
        jobs = suite.measurements(case, folders, options.quick, PEERS if options.peers else (), large)
        measured = []
        for place, result in enumerate(suite.run_all(jobs, options.threads or 0), start=1):
            measured.append(result)
            how = result.get("error") or f"{result['process_seconds']:.1f} s"
            note(f"{place}/{len(jobs)}  {result['group']}: {result['title']}, {how}")
        facts = suite.machine_facts(bundles, None if options.case is None else case)
        report.write_report(measured, facts, results)
    report.print_tables(measured)
    return FAULT if report.failures(measured) else DONE
