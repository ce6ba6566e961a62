"""`dynamicseg synthesize`: phantoms with known labels, as case folders."""

import argparse
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "synthesize",
        help="make phantoms: heads with a glioma whose labels are known",
        description="Writes case folders with FLAIR, T1ce, T1 and T2 of a computer-made head with a glioma, and its "
        "true labels. One seed always gives the same case.",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the case folders")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first case (default: 0, the sample)")
    parser.add_argument("--cases", type=int, default=1, metavar="N", help="how many, of seeds one after the other")
    parser.add_argument(
        "--size", choices=("small", "full"), default="full", help="155 slices of 1 mm (full) or 48 of 3 mm (small)"
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Write the cases; one line each on standard output."""
    from DynamicSegLib.errors import InputError
    from DynamicSegLib.synthesis import FULL_SLICES, SMALL_SLICES, make_phantom, write_phantom

    if options.cases < 1:
        raise InputError(f"--cases {options.cases}: expected 1 or more.")
    slices = FULL_SLICES if options.size == "full" else SMALL_SLICES
    for seed in range(options.seed, options.seed + options.cases):
        case = write_phantom(options.output, f"phantom_{seed:04d}", make_phantom(seed, slices))
        print(case)
    return 0
