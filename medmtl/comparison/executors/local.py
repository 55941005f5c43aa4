"""Cells as processes of this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from medmtl.comparison.executors.base import Executor, Job, Outcome
from medmtl.comparison.executors.process import CellProcess

_PAUSE = 0.05


class LocalExecutor(Executor):
    """Runs jobs on this machine; several at a time share its cores.

    Args:
        workers: Processes at a time.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = None if workers == 1 else max(1, _cores() // workers)
        self._running: list[CellProcess] = []

    def submit(self, job: Job) -> None:
        """Starts a job."""
        self._running.append(CellProcess(job, self._threads))

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Gives the jobs that ended since the last call, after at most this time."""
        until = time.monotonic() + seconds
        while True:
            found = [(process, outcome) for process in self._running if (outcome := process.poll()) is not None]
            if found or not self._running or time.monotonic() >= until:
                ended = [process for process, _ in found]
                self._running = [process for process in self._running if process not in ended]
                return [outcome for _, outcome in found]
            time.sleep(_PAUSE)

    def stop(self) -> None:
        """Asks all jobs to save themselves and end."""
        for process in self._running:
            process.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends all jobs at once."""
        for process in self._running:
            process.signal(signal.SIGKILL)

    def close(self) -> None:
        """Ends what still runs: nothing outlives a comparison that failed."""
        self.kill()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
