"""Work that cannot be cut into steps, beside a window that lives on."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

Progress = TypeVar("Progress")
Result = TypeVar("Result")

STEP_SECONDS = 0.02


def in_background(work: Callable[[], Result], progress: Progress) -> Generator[Progress, None, Result]:
    """Do `work` in a thread, and yield `progress` until it is done; returns and raises what it returns and raises.

    For calls that let go of Python's lock, such as loading a compiled model. In Slicer the event loop keeps the lock
    while it waits, so threads starve; here each step waits for the thread, and gives it the lock meanwhile. The work
    must not touch the scene. Closing the generator waits for the end of the work.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work)
        while not future.done():
            wait([future], timeout=STEP_SECONDS)
            yield progress
        return future.result()
