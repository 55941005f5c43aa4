"""Lesions as targets, the rules by which a candidate hits one, and who gets which.

A target is an 8-connected component of the class mask inside the field of view. Candidates are assigned by falling
score: each takes the nearest unclaimed lesion it hits (a true positive); if all it hits are claimed it is a duplicate,
neither true nor false positive, and counted; if it hits none it is a false positive, also where a lesion of another
class lies there. One candidate is at most one true positive (strict). Because of the order of scores, the outcome at
a threshold is the outcome of the candidates at or above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
from medmtl.errors import EvaluationError, suggestion
from medmtl.evaluation.candidate_table import Candidates
from medmtl.evaluation.intervals import BoolArray, FloatArray, IntArray
from medmtl.evaluation.targets import UNKNOWN, Targets, lesion_targets

__all__ = ["UNKNOWN", "Targets", "lesion_targets"]

Hits: TypeAlias = list[list[int]]
"""For each candidate, by falling score, the lesions it hits (1 .. count), the best first."""


class HitRule(Protocol):
    """Decides which lesions each candidate hits."""

    name: ClassVar[str]

    @property
    def caption(self) -> str:
        """The rule in words, for every table and curve made with it."""

    def hits(self, candidates: Candidates, targets: Targets) -> Hits:
        """Gives the lesions each candidate hits, the best first."""


@dataclass(frozen=True)
class PeakInLesion:
    """A candidate hits a lesion if its point lies in it, or within ``tolerance`` pixels of one of its pixel centers."""

    tolerance: float = 0.0
    name: ClassVar[str] = "peak_in_lesion"

    @property
    def caption(self) -> str:
        """The rule in words."""
        if self.tolerance:
            return f"Hit: the candidate's peak lies in the lesion or at most {self.tolerance:g} pixels from it."
        return "Hit: the candidate's peak lies in the lesion (no tolerance)."

    def hits(self, candidates: Candidates, targets: Targets) -> Hits:
        """Gives the lesions each candidate hits, the nearest first."""
        reach = math.ceil(self.tolerance)
        return [
            _near(targets.labels, x, y, reach, self.tolerance) for x, y in zip(candidates.x, candidates.y, strict=True)
        ]


def _near(labels: IntArray, x: float, y: float, reach: int, tolerance: float) -> list[int]:
    """Gives the labels of the pixel under a point, and of those whose centers are within the tolerance, nearest first."""
    column, row = math.floor(x + 0.5), math.floor(y + 0.5)
    top, left = max(0, row - reach), max(0, column - reach)
    rows, columns = np.nonzero(labels[top : max(0, row + reach + 1), left : max(0, column + reach + 1)])
    rows, columns = rows + top, columns + left
    away = np.hypot(columns - x, rows - y)
    away[(rows == row) & (columns == column)] = 0.0
    best: dict[int, float] = {}
    for label, distance in zip(labels[rows, columns].tolist(), away.tolist(), strict=True):
        if distance <= tolerance:
            best[label] = min(distance, best.get(label, math.inf))
    return sorted(best, key=lambda label: (best[label], label))


HIT_RULES: dict[str, type[PeakInLesion]] = {PeakInLesion.name: PeakInLesion}
"""Hit rules by name."""


def hit_rule(rule: str | HitRule, tolerance: float = 0.0) -> HitRule:
    """Gives a rule by its name, or the rule itself.

    Raises:
        EvaluationError: No rule has this name, or the tolerance is negative.
    """
    if not isinstance(rule, str):
        return rule
    if rule not in HIT_RULES:
        raise EvaluationError("no such hit rule", found=rule, remedy=suggestion(rule, HIT_RULES))
    if not 0 <= tolerance < math.inf:
        raise EvaluationError("a tolerance is a number of pixels, 0 or more", found=tolerance)
    return HIT_RULES[rule](tolerance)


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
        outcome: An ``Outcome`` each, shape (n,).
        target: The lesion taken, or hit again, 1 .. lesions; 0 for none; shape (n,).
        lesions: Number of lesions of the image.
        rule: The hit rule in words.
    """

    score: FloatArray
    outcome: IntArray
    target: IntArray
    lesions: int
    rule: str = ""

    def count(self, outcome: Outcome) -> int:
        """How many candidates came to this."""
        return int((self.outcome == outcome).sum())


def match(
    candidates: Candidates, targets: Targets, rule: str | HitRule = PeakInLesion.name, tolerance: float = 0.0
) -> Matches:
    """Assigns candidates to lesions, each lesion once, by falling score.

    Args:
        candidates: Of one image and class.
        targets: The lesions of the same image and class.
        rule: A hit rule, or its name.
        tolerance: For a rule by name: pixels by which a candidate may miss.

    Raises:
        EvaluationError: As ``hit_rule``.
    """
    chosen = hit_rule(rule, tolerance)
    claimed: set[int] = set()
    outcome, target = np.zeros((2, len(candidates)), dtype=np.int64)
    ignored = _at(targets.unknown, candidates)
    for index, hits in enumerate(chosen.hits(candidates, targets)):
        outcome[index], target[index] = _assign(hits, claimed, ignored=bool(ignored[index]))
    return Matches(candidates.score, outcome, target, targets.count, chosen.caption)


def _assign(hits: list[int], claimed: set[int], *, ignored: bool) -> tuple[Outcome, int]:
    free = next((label for label in hits if label not in claimed), None)
    if free is not None:
        claimed.add(free)
        return Outcome.TRUE_POSITIVE, free
    if hits:
        return Outcome.DUPLICATE, hits[0]
    return (Outcome.IGNORED if ignored else Outcome.FALSE_POSITIVE), 0


def _at(mask: BoolArray, candidates: Candidates) -> BoolArray:
    """Gives the mask's value under each candidate; False outside the image."""
    columns, rows = (np.floor(part + 0.5).astype(np.int64) for part in (candidates.x, candidates.y))
    within = (rows >= 0) & (columns >= 0) & (rows < mask.shape[0]) & (columns < mask.shape[1])
    found = np.zeros(len(candidates), dtype=bool)
    found[within] = mask[rows[within], columns[within]]
    return found
