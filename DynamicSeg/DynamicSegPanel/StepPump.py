"""Runs a computation in short steps between which the window lives."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import qt

# Steps are taken for this long before the event loop gets its turn: short enough to feel immediate.
SECONDS_AT_A_TIME = 0.03


class StepPump:
    """Pulls a generator from a QTimer.

    Why not a thread: in Slicer the event loop keeps Python's lock while it waits, so threads starve. Why not a child
    process: it would load torch and the volumes a second time, and lose the results that make a change of mind cheap.

    Closing the generator is what cancel means: it cleans up behind itself.
    """

    def __init__(self) -> None:
        self._steps: Iterator[Any] | None = None
        self._onProgress: Callable[[Any], None] = lambda progress: None
        self._onEnd: Callable[[BaseException | None], None] = lambda error: None
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._pull)

    @property
    def running(self) -> bool:
        """Whether a computation is under way."""
        return self._steps is not None

    def start(
        self, steps: Iterator[Any], onProgress: Callable[[Any], None], onEnd: Callable[[BaseException | None], None]
    ) -> None:
        """Begins; `onEnd` is told None at the end, or the error that ended it, but nothing after `cancel`."""
        self.cancel()
        self._steps, self._onProgress, self._onEnd = steps, onProgress, onEnd
        self._timer.start()

    def cancel(self) -> None:
        """Stops at once and lets the computation clean up; nothing happens where none is under way."""
        self._timer.stop()
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _pull(self) -> None:
        until = time.perf_counter() + SECONDS_AT_A_TIME
        while self._steps is not None:
            try:
                progress = next(self._steps)
            except StopIteration:
                self._end(None)
                return
            except Exception as error:
                self._end(error)
                return
            self._onProgress(progress)
            if time.perf_counter() > until:
                return

    def _end(self, error: BaseException | None) -> None:
        self._timer.stop()
        self._steps = None
        self._onEnd(error)
