"""Work beside a window that lives on."""

import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'DynamicSeg[slicer]'")


def exhausted(steps: Generator[str, None, Any]) -> tuple[list[str], Any]:
    """All that was yielded, and what was returned."""
    yielded = []
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as end:
            return yielded, end.value


def test_steps_go_on_until_the_work_is_done_and_give_its_result() -> None:
    from DynamicSegLib.scene.background import in_background

    go_on = threading.Event()
    steps = in_background(lambda: go_on.wait(10), "loading")
    assert [next(steps), next(steps)] == ["loading", "loading"], "the caller lives while the work waits"
    go_on.set()
    yielded, result = exhausted(steps)
    assert set(yielded) <= {"loading"}
    assert result is True


def test_what_the_work_raises_is_raised_in_the_step() -> None:
    from DynamicSegLib.scene.background import in_background

    with pytest.raises(ZeroDivisionError):
        exhausted(in_background(lambda: 1 // 0, "loading"))


def test_closing_waits_for_the_work_so_that_nothing_runs_on_unseen() -> None:
    from DynamicSegLib.scene.background import in_background

    done = threading.Event()

    def work() -> None:
        time.sleep(0.1)
        done.set()

    steps = in_background(work, "loading")
    next(steps)
    steps.close()
    assert done.is_set()
