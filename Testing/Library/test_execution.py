"""Options that are made ready beside other work."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from DynamicSegLib.execution import Loading, Outcome


class Slow:
    """An execution whose second option waits to be let go, and whose fourth cannot be made ready."""

    def __init__(self) -> None:
        self.facts: dict[str, object] = {}
        self.ready: list[int] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def prepare(self, option: int) -> None:
        if option == 2:
            self.begun.set()
            assert self.go.wait(timeout=10)
        if option == 4:
            raise RuntimeError("no such network")
        self.ready.append(option)

    def run(self, option: int, slices: NDArray[np.float32]) -> Outcome:
        raise AssertionError("nothing is run here")


def test_what_is_needed_is_ready_when_the_block_ends_and_what_is_not_was_left_out() -> None:
    execution = Slow()

    with Loading(execution, (1, 2, 3, 4, 5)) as loading:
        assert execution.begun.wait(timeout=10)
        loading.only({1, 5})
        execution.go.set()

    # The second was on its way already.
    assert execution.ready == [1, 2, 5]


def test_an_option_that_cannot_be_made_ready_is_no_error_until_it_is_run() -> None:
    execution = Slow()
    execution.go.set()

    with Loading(execution, (3, 4, 5)):
        pass

    assert execution.ready == [3, 5]


def test_an_error_in_the_block_is_told() -> None:
    with pytest.raises(ValueError, match="planning"), Loading(Slow(), ()):
        raise ValueError("planning")
