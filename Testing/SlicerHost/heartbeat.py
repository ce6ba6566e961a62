"""Measures how long the panel did not answer: the longest time in which the event loop served no timer."""

from __future__ import annotations

import time

from PySide6.QtCore import QTimer

INTERVAL_MS = 2


class Heartbeat:
    """``with Heartbeat() as beat: ...`` then ``beat.longest_ms``; the block has to run the event loop."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        """The longest time between two beats so far, in milliseconds."""
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._last = 0.0

    def __enter__(self) -> Heartbeat:
        self._last = time.perf_counter()
        self._timer.start(INTERVAL_MS)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()
        self._beat()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.longest_ms = max(self.longest_ms, 1000 * (now - self._last))
        self._last = now
