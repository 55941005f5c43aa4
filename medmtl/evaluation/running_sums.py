"""Running sums of drawn weights along thousands of events, for some bootstrap draws at once.

A running sum waits for each addition before the next. Here the events are cut into short stretches, which are summed side
by side, and so are the draws; a sum up to an event is that up to its stretch and that inside of it. All are sums of whole
numbers, and exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from medmtl.evaluation.intervals import FloatArray, IntArray

Whole: TypeAlias = npt.NDArray[np.signedinteger[Any]]

SIDE_BY_SIDE = 16
"""Draws that are best summed at once: their weights of a group, 32 bytes in 16 bits each, are copied in one go."""

_STRETCH = 16
"""Events of a stretch: short enough to be searched by looking at all of it."""


@dataclass(frozen=True, eq=False)
class Events:
    """Events in order.

    Attributes:
        size: Number of events.
        rows: Row of the weights that each adds, by place in its stretch and by stretch, shape (places, stretches); after
            the last event it is a row of zeros.
    """

    size: int
    rows: IntArray

    @classmethod
    def of(cls, group: IntArray, groups: int) -> Events:
        """Events by the group whose weight each adds.

        Args:
            group: Numbers below ``groups``, shape (events,).
            groups: Number of groups.
        """
        stretches = len(group) // _STRETCH + 1
        rows = np.concatenate([group, np.full(stretches * _STRETCH - len(group), groups)])
        return cls(len(group), np.ascontiguousarray(rows.reshape(stretches, _STRETCH).T))

    def sums(self, weights: IntArray) -> RunningSums:
        """Sums up the weights along the events.

        Args:
            weights: How often each group is drawn, shape (draws, groups).
        """
        narrow = np.int16 if int(weights.max(initial=0)) * _STRETCH < 2**15 else np.int64
        table: Whole = np.zeros((weights.shape[1] + 1, len(weights)), dtype=narrow)
        table[:-1] = weights.T
        inside = np.zeros((_STRETCH + 1, self.rows.shape[1], len(weights)), dtype=narrow)
        for place, rows in enumerate(self.rows):
            np.add(inside[place], table.take(rows, axis=0), out=inside[place + 1])
        before = np.zeros((len(weights), self.rows.shape[1] + 1))
        np.cumsum(inside[-1].T.astype(np.float64), axis=1, out=before[:, 1:])
        return RunningSums(self.size, inside, before)


@dataclass(frozen=True, eq=False)
class RunningSums:
    """Sums of the weights of the first events, in each draw.

    Attributes:
        size: Number of events.
        inside: Sum of the first 0, 1, ... places of each stretch, shape (places + 1, stretches, draws).
        before: Sum of all stretches before each, and of all, shape (draws, stretches + 1).
    """

    size: int
    inside: Whole
    before: FloatArray

    def at(self, count: IntArray) -> FloatArray:
        """Sums of the first ``count`` events, the same in all draws.

        Args:
            count: From 0 to all, shape (n,).

        Returns:
            Shape (n, draws).
        """
        stretch, place = np.divmod(count, _STRETCH)
        _, stretches, draws = self.inside.shape
        sums = np.ascontiguousarray(self.before.T).take(stretch, axis=0)
        sums += self.inside.reshape(-1, draws).take(place * stretches + stretch, axis=0)
        return sums

    def at_own(self, count: IntArray) -> FloatArray:
        """Sums of the first ``count`` events of each draw; ``count`` and result are of shape (draws, n)."""
        draw, (stretch, place) = np.arange(len(count))[:, None], np.divmod(count, _STRETCH)
        sums: FloatArray = self.before[draw, stretch] + self.inside[place, stretch, draw]
        return sums

    def reach(self, limit: FloatArray) -> IntArray:
        """How many of the first events have a sum of at most ``limit`` (0 or more); both of shape (draws, n)."""
        draw = np.arange(len(limit))[:, None]
        pairs = zip(self.before[:, 1:-1], limit, strict=True)
        stretch = np.stack([ends.searchsorted(most, side="right") for ends, most in pairs])
        rest = limit - self.before[draw, stretch]
        within = (self.inside[1:, stretch, draw] <= rest).sum(axis=0)
        reached: IntArray = np.minimum(stretch * _STRETCH + within, self.size)
        return reached
