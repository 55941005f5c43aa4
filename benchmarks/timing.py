"""Interleaved timing: every contender once a round, ratios within the round, their median with an interval."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""``cpu`` is for a machine that is not quiet: with one thread, it leaves out the time that others had the core."""


@dataclass(frozen=True)
class Median:
    """A median with an interval that needs no assumption on the distribution.

    Attributes:
        value: The median.
        low: Lower end of the 95 % interval, an order statistic.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Median:
        """From any values; under six there is no such interval, and the range stands for it."""
        ordered = sorted(values)
        reach = _reach(len(ordered))
        return cls(statistics.median(ordered), ordered[reach], ordered[-1 - reach])

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _reach(n: int) -> int:
    """How many values lie outside on either side, by the binomial law of the signs around the true median."""
    below = 0
    for index in range(n // 2):
        below += math.comb(n, index)
        if 40 * below > 2**n:
            return max(index - 1, 0)
    return 0


def rounds(
    steps: Mapping[str, Callable[[], object]], number: int, clock: Clock, *, order: random.Random | None = None
) -> dict[str, list[float]]:
    """Durations of every contender in every round, in seconds, each round in a new order.

    The order is drawn: in one that merely turns, a contender has the same one before it in nearly every round, and what
    that one left in the caches counts for or against it.
    """
    names = list(steps)
    for _ in range(2):
        for name in names:
            steps[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    order = order or random.Random(0)
    for _ in range(number):
        for name in order.sample(names, len(names)):
            start = clock()
            steps[name]()
            times[name].append(clock() - start)
    return times


def remade_rounds(
    makers: Mapping[str, Callable[[], Callable[[], object]]], number: int, clock: Clock, *, every: int = 10
) -> dict[str, list[float]]:
    """The same with contenders that are made anew every so many rounds, in an order that is drawn.

    Where the tensors of a contender lie in memory is worth several percent of a step of 50 ms, for as long as they lie
    there: rounds alone would never average that out.
    """
    times: dict[str, list[float]] = {name: [] for name in makers}
    order = random.Random(1)
    while len(times[next(iter(makers))]) < number:
        steps = {name: makers[name]() for name in order.sample(list(makers), len(makers))}
        for name, values in rounds(steps, every, clock, order=order).items():
            times[name] += values
    return times


def ratio(times: Mapping[str, Sequence[float]], name: str, other: str) -> Median:
    """How much longer ``name`` takes than ``other``, by round."""
    return Median.of([a / b for a, b in zip(times[name], times[other], strict=True)])


def difference(times: Mapping[str, Sequence[float]], name: str, other: str) -> Median:
    """How many seconds more ``name`` takes than ``other``, by round."""
    return Median.of([a - b for a, b in zip(times[name], times[other], strict=True)])
