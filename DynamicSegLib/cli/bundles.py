"""`dynamicseg bundles`: list, check, show and install bundles."""

import argparse
import json
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "bundles",
        help="list, show and install bundles",
        description="Without an action: lists all bundles and checks them.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    parser.set_defaults(func=list_bundles)
    actions = parser.add_subparsers(dest="action", metavar="[ACTION]")
    show = actions.add_parser("show", help="a bundle's facts and model card")
    show.add_argument("name", help="name or folder of a bundle")
    # Not set where absent, so that it may stand before the action too.
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print bundle.json")
    show.set_defaults(func=show_bundle)
    install = actions.add_parser("install", help="install a bundle from a ZIP file or a folder")
    install.add_argument("file", type=Path, help="as it was downloaded, or a bundle's folder")
    install.add_argument("--replace", action="store_true", help="replace an installed bundle of the same name")
    install.set_defaults(func=install_file)


def list_bundles(options: argparse.Namespace) -> int:
    """Check every bundle on this machine; 2 where one is damaged."""
    from DynamicSegLib.bundle import read_bundle
    from DynamicSegLib.bundles import find_bundles, search_folders
    from DynamicSegLib.errors import BundleError

    damaged = False
    rows, lines = [], []
    for name, folder in find_bundles().items():
        row: dict[str, object] = {"name": name, "folder": str(folder)}
        try:
            bundle = read_bundle(folder)
            row.update(method=bundle.method, candidates=bundle.bank.options[1:], problem=None)
            lines.append(f"{name:<16} {bundle.method}: {', '.join(bundle.bank.options)}  [{folder}]")
        except BundleError as error:
            damaged = True
            row.update(method=None, candidates=[], problem=str(error))
            lines.append(f"{name:<16} damaged: {error}")
        rows.append(row)
    searched = ", ".join(str(folder) for folder in search_folders())
    print(json.dumps(rows) if options.json else "\n".join(lines) or f"No bundles. Searched: {searched}")
    return 2 if damaged else 0


def show_bundle(options: argparse.Namespace) -> int:
    """Print a bundle's facts and its model card."""
    from DynamicSegLib.bundle import DESCRIPTION_FILE
    from DynamicSegLib.bundles import load_bundle

    bundle = load_bundle(options.name)
    assert bundle.folder is not None
    if options.json:
        print((bundle.folder / DESCRIPTION_FILE).read_text(encoding="utf-8"), end="")
        return 0
    print(f"{bundle.name}  [{bundle.folder}]  SHA-256 {bundle.checksum[:12]}")
    print(f"{bundle.method}: volumes {', '.join(bundle.input.modalities)}; options {', '.join(bundle.bank.options)}")
    for label in bundle.labels:
        code = "" if label.code is None else f"  {label.code.scheme} {label.code.value} {label.code.meaning}"
        print(f"label {label.value}: {label.name}{code}")
    print()
    print(bundle.card)
    return 0


def install_file(options: argparse.Namespace) -> int:
    """Install a bundle."""
    from DynamicSegLib.bundles import install_bundle

    bundle = install_bundle(options.file, options.replace)
    print(f"Installed {bundle.name} in {bundle.folder}")
    return 0
