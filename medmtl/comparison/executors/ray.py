"""Cells on the machines of a Ray cluster; they need the same files at the same paths, and medmtl installed.

A job is asked to stop by a file beside its log, which the task looks for: that reaches it on every machine, early or late.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from medmtl.comparison.executors.base import Executor, Job, Outcome
from medmtl.comparison.executors.process import CellProcess
from medmtl.errors import DependencyError, RunError, output_error
from medmtl.files import write_text

_PAUSE = 0.2
_PATIENCE = 120.0


class RayExecutor(Executor):
    """Runs jobs as Ray tasks, each a process of its own: of the cluster that RAY_ADDRESS names, else a local one.

    Args:
        workers: Tasks at a time; each asks Ray for one CPU, and for one GPU where the cluster has any.

    Raises:
        DependencyError: Ray is not installed.
        RunError: The cluster cannot be reached.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._ray = _import_ray()
        self._mine = not self._ray.is_initialized()
        try:
            if self._mine:
                own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers}
                self._ray.init(log_to_driver=False, include_dashboard=False, **own)
            gpus = float(self._ray.cluster_resources().get("GPU", 0))
        except (ConnectionError, RuntimeError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            remedy = "set RAY_ADDRESS to a running cluster, or unset it for a local one"
            raise RunError("Ray cannot be started", found=reason, remedy=remedy) from None
        self._task = self._ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_retries=0)(run_job)
        self._running: dict[Any, Job] = {}

    def submit(self, job: Job) -> None:
        """Hands a job to the cluster.

        Raises:
            OutputError: The wish to stop of an earlier time cannot be taken back.
        """
        try:
            stop_file(job).unlink(missing_ok=True)
        except OSError as error:
            raise output_error(error, stop_file(job)) from error
        self._running[self._task.remote(job, str(Path.cwd()))] = job

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """Gives the jobs that ended since the last call, after at most this time."""
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [self._outcome(reference) for reference in ready]

    def stop(self) -> None:
        """Asks all jobs to save themselves and end.

        Raises:
            OutputError: The wish cannot be written.
        """
        for job in self._running.values():
            write_text(stop_file(job), "")

    def kill(self) -> None:
        """Ends all jobs at once."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leaves the cluster."""
        if self._mine:
            self._ray.shutdown()

    def _outcome(self, reference: Any) -> Outcome:
        job = self._running[reference]
        try:
            outcome = self._ray.get(reference)
        except self._ray.exceptions.TaskCancelledError:
            return Outcome(job, -signal.SIGTERM, 0.0, said="stopped")
        except self._ray.exceptions.RayError as error:  # a machine that was lost, a task that ran out of memory
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return Outcome(job, 1, 0.0, said=f"Ray: {' '.join(lines[-1].split())[:300]}")
        finally:
            del self._running[reference]
            with suppress(OSError):
                stop_file(job).unlink(missing_ok=True)
        return Outcome(job, outcome.code, outcome.seconds, outcome.peak_memory_mb, outcome.said)


def run_job(job: Job, folder: str) -> Outcome:
    """Runs one job to its end, on whatever machine this is; asked to stop, it lets the cell save itself first.

    Args:
        job: What to run.
        folder: The working folder, which relative paths of the configuration are about.
    """
    os.chdir(folder)
    wish = stop_file(job)
    if wish.exists():  # it came before the cluster had room for the job
        return Outcome(job, -signal.SIGTERM, 0.0, said="stopped")
    process = CellProcess(job)
    asked = math.inf
    while (outcome := process.poll()) is None:
        if math.isinf(asked) and wish.exists():
            asked = time.monotonic()
            process.signal(signal.SIGTERM)
        if time.monotonic() - asked > _PATIENCE:
            process.signal(signal.SIGKILL)
        time.sleep(_PAUSE)
    return outcome


def stop_file(job: Job) -> Path:
    """The file whose being there asks a running job to stop: Ray promises no more than to try where it cancels one."""
    return job.log.absolute().with_name(f"{job.log.name}.stop")


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise DependencyError(
            "the executor 'ray' needs Ray, which is not installed",
            where="--executor",
            remedy="pip install 'medmtl[ray]', or use --executor local",
        ) from None
    return ray
