"""`dynamicseg`: the entry point that finds the command, runs it and turns errors into one clear message."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from DynamicSegLib.errors import CancelledError, DynamicSegError
from DynamicSegLib.version import __version__

COMMANDS = ("segment", "bundles", "cost", "evaluate", "curve", "synthesize", "train", "bench")

DONE, FAULT, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="dynamicseg",
        description="Segments a scan slice by slice and spends compute only where a slice needs it. "
        "For research; not for diagnosis.",
    )
    parser.add_argument("--version", action="version", version=f"DynamicSeg {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"DynamicSegLib.cli.{name}").add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 when done, 2 after wrong use or bad input; faults of ours raise (exit code 1)."""
    options = build_parser().parse_args(arguments)
    try:
        code = int(options.func(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output has read enough; nothing more can be written to it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (KeyboardInterrupt, CancelledError):
        print("dynamicseg: cancelled; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except DynamicSegError as error:
        print(f"dynamicseg: {error}", file=sys.stderr)
        return WRONG_USE
    except OSError as error:
        if error.filename is None:
            raise
        print(f"dynamicseg: {error.filename}: {error.strerror}; check the path and its permissions.", file=sys.stderr)
        return WRONG_USE


if __name__ == "__main__":
    sys.exit(main())
