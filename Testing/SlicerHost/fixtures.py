"""The pytest fixture ``host``: skips with a reason, starts with an empty scene, fails on errors nobody looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import missing, start


@pytest.fixture
def host() -> Iterator[Any]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    running = start()
    running.close_scene()
    running.take_errors()
    yield running
    running.close_scene()
    errors = running.take_errors()
    assert not errors, "errors in slots or observers:\n" + "\n".join(errors)
