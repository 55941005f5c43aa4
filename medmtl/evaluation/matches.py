"""What became of the candidates of one image and class, and what each counts as by strict and by lenient counting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from medmtl.evaluation.intervals import BoolArray, FloatArray, IntArray


class Outcome(IntEnum):
    """What became of a candidate."""

    FALSE_POSITIVE = 0
    TRUE_POSITIVE = 1
    DUPLICATE = 2
    IGNORED = 3


@dataclass(frozen=True, eq=False)
class Matches:
    """The candidates of one image and class after assignment, by falling score.

    Attributes:
        score: Shape (n,).
        outcome: An ``Outcome`` each, by strict counting, shape (n,).
        target: The lesion taken, or hit again, 1 .. lesions; 0 for none; shape (n,).
        lesions: Number of lesions of the image.
        rule: The hit rule in words.
        first: The first candidate that hits each lesion, -1 where none does, shape (lesions,): what lenient counting
            goes by. None: as strict counting has it.
        area: Pixels of each lesion, shape (lesions,); None: unknown.
        other: Whether the candidate hits lesions of another class only, shape (n,); None: not asked.
        elsewhere: Whether the candidate is the first to hit a lesion that is not counted here, shape (n,): lenient
            counting makes no duplicate of it. None: all lesions are counted.
        taken: Whether the candidate takes a lesion that is not counted here, shape (n,): ignored by strict counting, and
            by lenient counting a further hit where it is the first to hit none. None: all lesions are counted.
        uncounted: Number of lesions and findings of the image that count neither way: too small, outside the field,
            irrelevant, or of another size.
    """

    score: FloatArray
    outcome: IntArray
    target: IntArray
    lesions: int
    rule: str = ""
    first: IntArray | None = None
    area: IntArray | None = None
    other: BoolArray | None = None
    elsewhere: BoolArray | None = None
    taken: BoolArray | None = None
    uncounted: int = 0

    def count(self, outcome: Outcome) -> int:
        """How many candidates came to this."""
        return int((self.outcome == outcome).sum())

    @property
    def free(self) -> bool:
        """Whether the image has no lesion at all, also none that counts neither way."""
        return not self.lesions and not self.uncounted

    @property
    def other_hits(self) -> int:
        """How many candidates hit lesions of another class only."""
        return 0 if self.other is None else int(self.other.sum())

    @cached_property
    def gains(self) -> IntArray:
        """How many lesions each candidate is the first to hit (lenient counting), shape (n,)."""
        gains: IntArray = (self.outcome == Outcome.TRUE_POSITIVE).astype(np.int64)
        if self.first is not None:
            gains = np.bincount(self.first[self.first >= 0], minlength=len(self.score)).astype(np.int64)
        return gains

    @cached_property
    def gainless(self) -> BoolArray:
        """Which candidates are the first to hit no lesion at all, counted here or not, shape (n,)."""
        none: BoolArray = self.gains == 0
        return none if self.elsewhere is None else none & ~self.elsewhere

    def further(self, *, lenient: bool) -> BoolArray:
        """Which candidates hit only lesions already found, counted here or not, shape (n,).

        Args:
            lenient: Each candidate finds all lesions that it is the first to hit.
        """
        second: BoolArray = self.outcome == Outcome.DUPLICATE
        if not lenient:
            return second
        hits: BoolArray = second | (self.outcome == Outcome.TRUE_POSITIVE)
        if self.taken is not None:
            hits = hits | self.taken
        return hits & self.gainless
