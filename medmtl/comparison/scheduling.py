"""Jobs in their order, as many at a time as there are workers: what ended is told, what is left is estimated."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from medmtl.comparison.executors import Executor, Job, Outcome
from medmtl.progress import Bar, Progress
from medmtl.training.interruption import StopWish

_LOOK = 0.5
"""Seconds after which a signal is noticed at the latest."""


class InterruptedComparison(Exception):  # noqa: N818  not an error: it was asked to stop, and the cells saved themselves
    """A comparison was asked to stop.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__("stopped; the cells are saved: the same command goes on")
        self.number = number


@dataclass(frozen=True)
class Task:
    """A job with what is known of its length.

    Attributes:
        job: The job.
        kind: Jobs of one kind take about the same time.
    """

    job: Job
    kind: str


class Estimate:
    """Guesses the time that is left, from what finished cells took.

    Args:
        workers: Jobs at a time.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._seconds: dict[str, list[float]] = {}

    def learn(self, kind: str, seconds: float) -> None:
        """Takes in what one job took."""
        if math.isfinite(seconds):
            self._seconds.setdefault(kind, []).append(seconds)

    def left(self, kinds: Iterable[str]) -> float:
        """Seconds for jobs of these kinds; a kind that nobody has seen takes the mean of all; NaN where none is known."""
        means = {kind: mean(values) for kind, values in self._seconds.items()}
        if not means:
            return math.nan
        unknown = mean(means.values())
        return sum(means.get(kind, unknown) for kind in kinds) / self.workers


class Scheduler:
    """Runs tasks and says how far they are.

    Args:
        executor: Where they run.
        progress: Where to say it.
        wish: Whether somebody asked to stop.
        ended: What to do with each outcome.
        total: Number of tasks of the whole comparison, for the bar.
        estimate: What is known of their length.
    """

    def __init__(
        self,
        executor: Executor,
        progress: Progress,
        wish: StopWish,
        ended: Callable[[Outcome], None],
        *,
        total: int,
        estimate: Estimate,
    ) -> None:
        self.executor = executor
        self.progress = progress
        self.wish = wish
        self.ended = ended
        self.total = total
        self.estimate = estimate
        self.done = 0
        self.failed = 0
        self._running: dict[str, Task] = {}

    def run(self, tasks: Sequence[Task], later: Sequence[str], bar: Bar) -> None:
        """Runs tasks to their end.

        Args:
            tasks: In the order in which they are started.
            later: Kinds of the tasks that follow in other calls, for the estimate.
            bar: Where to show it.

        Raises:
            InterruptedComparison: A signal came; all running jobs have ended.
        """
        waiting = deque(tasks)
        stopping = False
        while waiting or self._running:
            if self.wish.number is not None and not stopping:
                stopping = True
                waiting.clear()
                self.progress.say(f"stopping {len(self._running)} cells; they save themselves")
                self.executor.stop()
            while waiting and len(self._running) < self.executor.workers:
                task = waiting.popleft()
                self.executor.submit(task.job)
                self._running[task.job.name] = task
            for outcome in self.executor.wait(_LOOK):
                self._end(outcome, [task.kind for task in waiting] + list(later), bar)
        if self.wish.number is not None:
            raise InterruptedComparison(self.wish.number)

    def skip(self, count: int, bar: Bar) -> None:
        """Counts tasks that are done already, or that cannot be done."""
        self.done += count
        bar.advance(count)

    def _end(self, outcome: Outcome, waiting: Sequence[str], bar: Bar) -> None:
        task = self._running.pop(outcome.job.name)
        self.ended(outcome)
        if outcome.code == 0:
            self.done += 1
            self.estimate.learn(task.kind, outcome.seconds)
        else:
            self.failed += not outcome.stopped
        left = self.estimate.left([*waiting, *(running.kind for running in self._running.values())])
        counts = (
            f"{self.done} done, {len(self._running)} running, {self.failed} failed of {self.total}{said_time(left)}"
        )
        self.progress.say(f"{outcome.job.name}: {_told(outcome)}  [{counts}]")
        bar.advance(note=counts)


def _told(outcome: Outcome) -> str:
    if outcome.code == 0:
        return f"{outcome.job.arguments[0]} done in {outcome.seconds / 60:.1f} min"
    return "stopped, saved" if outcome.stopped else f"failed: {outcome.reason}"


def said_time(seconds: float) -> str:
    """A guess as it reads behind the counts; nothing where there is none."""
    if not math.isfinite(seconds) or seconds <= 0:
        return ""
    minutes = seconds / 60
    return f", about {minutes:.0f} min left" if minutes < 90 else f", about {minutes / 60:.1f} h left"
