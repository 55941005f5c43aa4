"""One ``medmtl`` process: its command, its log, its end, and its memory."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from medmtl.comparison.executors.base import Job, Outcome, last_words
from medmtl.errors import output_error

_KILOBYTES = 1024 if sys.platform != "darwin" else 1  # in what the system counts resident memory


class CellProcess:
    """A running job; in a session of its own, so that a terminal's Ctrl-C reaches it through us only, and once.

    Args:
        job: What to run.
        threads: CPU threads that it may use, where the environment does not say; None = as many as it likes.

    Raises:
        OutputError: Its log cannot be written.
    """

    def __init__(self, job: Job, threads: int | None = None) -> None:
        self.job = job
        self._began = time.monotonic()
        environment = dict(os.environ)
        if threads is not None:
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        command = [sys.executable, "-m", "medmtl", *job.arguments]
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with job.log.open("ab") as log:
                self._start = log.tell()
                self._process = subprocess.Popen(  # noqa: S603  our own interpreter, our own arguments
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise output_error(error, job.log) from error

    def poll(self) -> Outcome | None:
        """How it ended; None while it runs."""
        if not hasattr(os, "wait4"):
            code = self._process.poll()
            return None if code is None else self._outcome(code, math.nan)
        number, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if number == 0:
            return None
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        return self._outcome(code, usage.ru_maxrss * _KILOBYTES / 1e6)

    def signal(self, number: int) -> None:
        """Sends a signal to it; loader processes follow their parent."""
        with suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)

    def _outcome(self, code: int, memory: float) -> Outcome:
        said = "" if code == 0 else last_words(_tail(self.job.log, self._start))
        return Outcome(self.job, code, time.monotonic() - self._began, memory, said)


def _tail(log: Path, start: int) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(start)
            return stream.read()[-20_000:].decode("utf-8", errors="replace")
    except OSError:
        return ""
