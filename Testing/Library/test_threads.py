"""Threads: one number for all libraries."""

from collections.abc import Iterator

import pytest
import SimpleITK as sitk
import torch

from DynamicSegLib import threads
from DynamicSegLib.errors import InputError


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(), torch.get_num_threads()
    monkeypatch.setattr(threads, "_chosen", None)
    yield
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before[0])
    torch.set_num_threads(before[1])


def test_all_libraries_get_the_number_asked_for() -> None:
    threads.use_threads(3)
    assert threads.thread_count() == 3
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 3
    assert torch.get_num_threads() == 3


def test_without_a_number_each_core_that_may_be_used_gets_one() -> None:
    assert threads.thread_count() == threads.available_cores() >= 1


def test_no_threads_at_all_are_refused() -> None:
    with pytest.raises(InputError, match=r"--threads 0: expected 1 or more"):
        threads.use_threads(0)
