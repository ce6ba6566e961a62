"""`dynamicseg segment`: a case in, labels and decisions out."""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DynamicSegLib.cli.progress import note, shown, waiting
from DynamicSegLib.errors import InputError

if TYPE_CHECKING:
    from DynamicSegLib.segmentation import Segmentation

SHORTHANDS = ("flair", "t1ce", "t1", "t2")
# From here on the wait is explained.
_LONG_START_SECONDS = 5


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "segment",
        help="segment a case",
        description="Segment a case. Writes segmentation.nii.gz, decisions.csv, summary.json and chart.png.",
    )
    parser.add_argument(
        "case", nargs="?", type=Path, help="folder of volumes recognised by name (files or DICOM series), or a 4D file"
    )
    for name in SHORTHANDS:
        parser.add_argument(f"--{name}", metavar="FILE", help=f"the {name} volume: a file or a DICOM series folder")
    parser.add_argument(
        "--volume", action="append", default=[], metavar="NAME=FILE", help="a volume by modality name, for any bundle"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--bundle", default="glioma", help="name or folder of a bundle (default: glioma)")
    spending = parser.add_mutually_exclusive_group()
    spending.add_argument(
        "--budget", help="300G multiply-accumulates (K, M, G, T), 40%% of the costliest everywhere, or 5s"
    )
    spending.add_argument("--alpha", type=float, help="weight of cost in the papers' rule (default: as trained)")
    parser.add_argument(
        "--per-volume",
        action="store_true",
        help="one network for all slices, by the bundle's query table (MutualNet)",
    )
    parser.add_argument("--mask", type=Path, metavar="FILE", help="brain mask, for volumes with a skull")
    parser.add_argument("--setting", choices=("whole", "window"), default="whole", help="whole slices or 128-windows")
    parser.add_argument(
        "--no-cleaning", action="store_true", help="keep small islands and labels that the bundle would clean away"
    )
    parser.add_argument(
        "--no-second-look",
        action="store_true",
        help="let skipped slices beside a large finding stay skipped, as in the papers",
    )
    add_machine_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on standard output")
    parser.set_defaults(func=run)


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say where and how to compute."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--backend", default="auto", help="auto or the name of a backend")
    parser.add_argument(
        "--precision", default="auto", help="auto, or one that the backend knows (fp32, bf16, OpenVINO's int8)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: one a core)")


def run(options: argparse.Namespace) -> int:
    """Segment one case as the arguments say."""
    from DynamicSegLib.api import tailored
    from DynamicSegLib.backends.choice import load_libraries
    from DynamicSegLib.budget import Budget
    from DynamicSegLib.bundles import load_bundle
    from DynamicSegLib.files import require_writable, written_together
    from DynamicSegLib.reading import read_case, read_volume
    from DynamicSegLib.reporting.chart import import_figure, require_matplotlib
    from DynamicSegLib.reporting.tables import write_results
    from DynamicSegLib.study import build_study
    from DynamicSegLib.threads import use_threads

    if options.threads is not None:
        use_threads(options.threads)
    budget = None if options.budget is None else Budget.parse(options.budget)
    if options.per_volume and options.alpha is not None:
        raise InputError("--alpha weighs cost slice by slice, --per-volume chooses once for all slices: give only one.")
    volumes = volumes_by_name(options)
    # What would fail at the end is said now.
    require_matplotlib()
    require_writable(options.output)
    started = time.perf_counter()
    with ThreadPoolExecutor(1) as beside:
        backend = beside.submit(load_libraries, options.backend)
        beside.submit(import_figure)
        bundle = tailored(
            load_bundle(options.bundle),
            cleaning=not options.no_cleaning,
            second_look=not options.no_second_look,
            per_volume=options.per_volume,
        )
        loaded = time.perf_counter()
        images = read_case(options.case, bundle.input.modalities, volumes)
        mask = None if options.mask is None else read_volume(options.mask)
        read = time.perf_counter()
        study = build_study(images, bundle.input, mask)
        del images
        for warning in study.warnings:
            note(f"warning: {warning}")
        prepared = time.perf_counter()
        backend.exception()  # waits; what failed there fails again, and is told, where it is needed
        segmentation = compute(study, bundle, budget, options)
        computed = time.perf_counter() - prepared
    with written_together(options.output) as scratch:
        writing = time.perf_counter()
        write_results(segmentation, scratch)
        start = computed - segmentation.seconds["route"] - segmentation.seconds["run"]
        seconds = {"load": loaded - started, "read": read - loaded, "prepare": prepared - read, "start": start}
        summary = {"asked": asked(options), **summarise(segmentation, seconds, writing, started)}
        (scratch / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(summary))
    else:
        report(summary, options.output)
    return 0


def volumes_by_name(options: argparse.Namespace) -> dict[str, str]:
    """Volumes given one by one, by modality.

    Raises
    ------
    InputError: a `--volume` without `=`, a volume that is given twice, or neither a case nor a volume.
    """
    volumes = {name: getattr(options, name) for name in SHORTHANDS if getattr(options, name) is not None}
    for text in options.volume:
        name, separator, path = text.partition("=")
        if not (name and separator and path):
            raise InputError(f"--volume {text!r} cannot be read: expected NAME=FILE, e.g. --volume flair=scan.nii.gz.")
        if name in volumes:
            raise InputError(f"{name} is given twice ({volumes[name]} and {path}): name one file.")
        volumes[name] = path
    if options.case is None and not volumes:
        raise InputError("No input: give a case folder, or the volumes one by one (--flair FILE --t1ce FILE ...).")
    return volumes


def compute(study: Any, bundle: Any, budget: Any, options: argparse.Namespace) -> "Segmentation":
    """Route, plan and run, with progress."""
    from DynamicSegLib.methods.mutualnet import one_for_all
    from DynamicSegLib.methods.registry import start_run

    with waiting("making networks ready, which the first case on a computer waits for"):
        run = start_run(
            study,
            bundle,
            device=options.device,
            backend=options.backend,
            precision=options.precision,
            setting=options.setting,
        )
    plan = run.plan(budget, options.alpha, one_for_all(run, budget) if options.per_volume else None)
    for _ in shown(run.execute(plan), bundle.bank.options):
        pass
    return run.segmentation()


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """What the arguments say about how slices are treated, for the summary."""
    return {
        "budget": options.budget,
        "alpha": options.alpha,
        "setting": options.setting,
        "per_volume": options.per_volume,
        "cleaning": not options.no_cleaning,
        "second_look": not options.no_second_look,
    }


def summarise(
    segmentation: "Segmentation", seconds: dict[str, float], writing: float, started: float
) -> dict[str, Any]:
    """The contract's summary.json."""
    from DynamicSegLib.reporting.machine import peak_memory_mb, versions

    now = time.perf_counter()
    summary = segmentation.summary()
    phases = {**seconds, **summary["seconds"], "write": now - writing, "total": now - started}
    summary["seconds"] = {name: round(value, 4) for name, value in phases.items()}
    summary["peak_memory_mb"] = round(peak_memory_mb(), 1)
    summary["versions"] = versions()
    return summary


def report(summary: dict[str, Any], folder: Path) -> None:
    """A few lines for people."""
    ratios = ", ".join(f"{name} {100 * share:.0f} %" for name, share in summary["activation_ratio"].items())
    volumes = ", ".join(f"{name} {value:.1f} mL" for name, value in summary["volumes_ml"].items())
    asked = summary["macs"]["asked"]
    budget = "" if asked is None else f" of {asked / 1e9:.1f} G asked for"
    print(f"volumes   {volumes}")
    print(f"options   {ratios}")
    print(f"spent     {summary['macs']['spent'] / 1e9:.1f} G multiply-accumulates{budget}")
    seconds = summary["seconds"]
    print(f"seconds   {seconds['total']:.1f} ({summary['backend']} {summary['precision']} on {summary['device']})")
    if seconds["start"] > _LONG_START_SECONDS:
        print(f"          {seconds['start']:.1f} of them to make networks ready: {_kept_or_why_not()}")
    print(f"results   {folder}")
    for text in summary["notes"]:
        print(f"note      {text}")
    for warning in summary["warnings"]:
        if warning.startswith("0 voxels"):
            note(f"warning: {warning}")


def _kept_or_why_not() -> str:
    from DynamicSegLib.files import is_writable
    from DynamicSegLib.resources import cache_folder

    if is_writable(cache_folder()):
        return "compiled once, kept for the next case"
    return f"compiled anew each time, as {cache_folder()} cannot be written to (DYNAMICSEG_CACHE moves it)"
