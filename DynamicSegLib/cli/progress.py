"""Progress on standard error: a bar where rich and a terminal are at hand, silence elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from DynamicSegLib.engine import Step


def shown(steps: "Iterable[Step]", options: tuple[str, ...]) -> "Iterator[Step]":
    """Pass steps on while showing slices done, the option at work and the cost so far."""
    console = _console()
    if console is None:
        yield from steps
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("routing", total=None)
        for step in steps:
            name = "skip" if step.option is None else options[step.option]
            text = f"slices, now {name}, {step.macs_spent / 1e9:.0f} G multiply-accumulates"
            progress.update(task, description=text, completed=step.done, total=step.total)
            yield step


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show `text` with a turning mark while the block runs."""
    console = _console()
    with nullcontext() if console is None else console.status(text):
        yield


def note(text: str) -> None:
    """One line for the user, on standard error."""
    print(text, file=sys.stderr)


def _console() -> "Console | None":
    if not sys.stderr.isatty():
        return None
    with suppress(ImportError):
        from rich.console import Console

        return Console(stderr=True)
    return None
