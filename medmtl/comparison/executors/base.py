"""What an executor is: it starts processes, says which ended and how, and stops them all when asked to."""

from __future__ import annotations

import math
import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medmtl.errors import ConfigError, suggestion

EXECUTORS = ("local", "ray")
_STOPPED = {-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM}


@dataclass(frozen=True)
class Job:
    """One process to run.

    Attributes:
        name: What it works on.
        arguments: The command line of ``medmtl``, without the program.
        log: File that it speaks to; one file for all processes of a cell.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        job: The job.
        code: Exit code; negative = the signal that ended it.
        seconds: Wall-clock time.
        peak_memory_mb: Its largest resident memory in MB; NaN where nobody measured it.
        said: The last thing it said.
    """

    job: Job
    code: int
    seconds: float
    peak_memory_mb: float = math.nan
    said: str = ""

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop, and saved itself where it could."""
        return self.code in _STOPPED

    @property
    def reason(self) -> str:
        """Why it failed, as one line; empty where it did not."""
        if self.code == 0:
            return ""
        if self.code < 0:
            number = -self.code
            name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
            memory = "; often too little memory" if name == "SIGKILL" else ""
            return f"killed by signal {number} ({name}){memory}"
        return self.said or f"ended with exit code {self.code} and said nothing"


class Executor(ABC):
    """Runs jobs, at most ``workers`` at a time."""

    workers: int

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Starts a job."""

    @abstractmethod
    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Gives the jobs that ended since the last call, after at most this time."""

    @abstractmethod
    def stop(self) -> None:
        """Asks all jobs to save themselves and end; :meth:`wait` still tells how."""

    @abstractmethod
    def kill(self) -> None:
        """Ends all jobs at once."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of what the executor holds."""


def last_words(text: str) -> str:
    """The line of a process's log that says why it ended: the last error, else the last line at all."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1][:500]


def make_executor(name: str, workers: int) -> Executor:
    """Makes an executor.

    Args:
        name: ``local`` or ``ray``.
        workers: Processes at a time.

    Raises:
        ConfigError: There is no such executor, or fewer than one worker.
        DependencyError: Ray is not installed.
    """
    if name not in EXECUTORS:
        raise ConfigError("unknown executor", where="--executor", found=f"'{name}'", remedy=suggestion(name, EXECUTORS))
    if workers < 1:
        remedy = "give at least 1"
        raise ConfigError("a comparison needs a worker", where="--workers", found=workers, remedy=remedy)
    if name == "ray":
        from medmtl.comparison.executors.ray import RayExecutor

        return RayExecutor(workers)
    from medmtl.comparison.executors.local import LocalExecutor

    return LocalExecutor(workers)
