"""`dynamicseg cost`: what each candidate costs."""

import argparse
import json


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "cost",
        help="what each candidate costs",
        description="Multiply-accumulates (macs), the FLOPs that the papers print (paper_flops: norms and transposed "
        "convolutions counted their way) and parameters of each candidate on one slice, and of the router.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--bundle", help="name or folder of a bundle (default: glioma)")
    what.add_argument("--method", help="a method's published bank, without weights, e.g. med-danet")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="in-plane size (default: the bundle's)")
    parser.add_argument("--setting", choices=("whole", "window"), default="whole", help="whole slices or 128-windows")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Print the costs of a bank."""
    from dataclasses import asdict

    from DynamicSegLib.bundles import load_bundle
    from DynamicSegLib.errors import BundleError, InputError
    from DynamicSegLib.methods.registry import METHODS, method_of

    if options.size is not None and options.size < 8:
        raise InputError(f"--size {options.size}: expected 8 pixels or more.")
    if options.method is not None:
        if options.method not in METHODS:
            raise BundleError(f"Method {options.method!r} is unknown: expected one of {', '.join(METHODS)}.")
        bundle = METHODS[options.method].reference_bundle(options.size or 240)
    else:
        bundle = load_bundle(options.bundle or "glioma")
    size = bundle.input.size if options.size is None else (options.size, options.size)
    costs = bundle.bank.costs(size, options.setting)[1:]
    rows = [{"candidate": name, **asdict(cost)} for name, cost in zip(bundle.bank.options[1:], costs, strict=True)]
    if options.json:
        print(json.dumps(rows))
        return 0
    rows.append({"candidate": "(router)", **asdict(method_of(bundle).router_cost(bundle, size))})
    print(f"{'candidate':<12} {'macs':>16} {'paper_flops':>16} {'parameters':>12}   one slice of {size[0]} x {size[1]}")
    for row in rows:
        print(f"{row['candidate']:<12} {row['macs']:>16,} {row['paper_flops']:>16,} {row['parameters']:>12,}")
    parts_of = method_of(bundle).cost_parts
    if parts_of is not None and options.setting == "whole":
        for option, name in list(enumerate(bundle.bank.options))[1:]:
            print(f"\n{name}, with the router")
            for part, cost in parts_of(bundle, size, option).items():
                print(f"  {part:<18} {cost.macs:>16,} {cost.paper_flops:>16,} {cost.parameters:>12,}")
    return 0
