"""SIGINT and SIGTERM as a wish to stop: what is under way ends, everything is saved, and the program leaves cleanly."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 1.0
"""Seconds in which a second SIGINT counts as the same: a terminal and a wrapper may both send it."""


class InterruptedTraining(Exception):  # noqa: N818  not an error: the run was asked to stop and has saved itself
    """Training was asked to stop; everything is saved.

    Args:
        step: Updates done.
        number: The signal.
    """

    def __init__(self, step: int, number: int) -> None:
        super().__init__(f"stopped after step {step}; everything is saved: go on with --resume")
        self.step = step
        self.number = number


class StopWish:
    """Notes the first signal; a later SIGINT stops at once, and the last checkpoint stands.

    Attributes:
        number: The signal that came, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._since = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes signals while the block runs."""
        with _handler(self._note):
            yield

    def _note(self, number: int, _: Any) -> None:
        if self.number is None:
            self.number, self._since = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since > _PATIENCE:
            raise KeyboardInterrupt


@contextmanager
def interruptible(step: int) -> Iterator[None]:
    """Leaves the block at once on a signal: for work after a saved step that a resumed run simply does again.

    Raises:
        InterruptedTraining: A signal came.
    """

    def leave(number: int, _: Any) -> None:
        raise InterruptedTraining(step, number)

    with _handler(leave):
        yield


@contextmanager
def _handler(act: Callable[[int, Any], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield
        return
    before = {number: signal.signal(number, act) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
