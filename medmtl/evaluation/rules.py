"""Hit rules by name: when a candidate has found a lesion. The rule decides the result, so each says itself in words.

On a perfect detector with one cell of a coarse map per lesion, one rule can say 0.10 and another 1.00. ``any_overlap``
has a size guard, because without it large discs win: a candidate of more than ``guard`` times a lesion's area does not
find that lesion.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields
from numbers import Real
from typing import Any, ClassVar, Protocol

import numpy as np

from medmtl.errors import EvaluationError, suggestion
from medmtl.evaluation.encounters import Encounters, Pairs
from medmtl.evaluation.intervals import IntArray


class HitRule(Protocol):
    """Decides which lesions each candidate hits."""

    name: ClassVar[str]

    @property
    def caption(self) -> str:
        """The rule in words, for every table and curve made with it."""

    def hits(self, encounters: Encounters) -> Pairs:
        """Gives the pairs of a candidate and a lesion it hits; the lower the cost, the better."""


@dataclass(frozen=True)
class PeakInLesion:
    """A candidate hits a lesion if its point lies in it, or within ``tolerance`` pixels of one of its pixel centers."""

    tolerance: float = 0.0
    name: ClassVar[str] = "peak_in_lesion"

    def __post_init__(self) -> None:
        _number(self, "tolerance", 0 <= self.tolerance < math.inf, "a number of pixels, 0 or more")

    @property
    def caption(self) -> str:
        """The rule in words."""
        if self.tolerance:
            return f"Hit: the candidate's peak lies in the lesion or at most {self.tolerance:g} pixels from it."
        return "Hit: the candidate's peak lies in the lesion (no tolerance)."

    def hits(self, encounters: Encounters) -> Pairs:
        """Gives the pairs within the tolerance; the nearest lesion is the best."""
        return encounters.near(self.tolerance)


@dataclass(frozen=True)
class CenterDistance:
    """A candidate hits a lesion if its point is at most max(factor * radius, r_min) pixels from the lesion's center.

    The radius is the stated one of a circle, else that of the disc of equal area. With factor 1, r_min 0, lenient
    counting and irrelevant findings it is the rule of LUNA16 (within half the diameter; there strictly less than).
    """

    factor: float = 1.0
    r_min: float = 0.0
    name: ClassVar[str] = "center_distance"

    def __post_init__(self) -> None:
        _number(self, "factor", 0 <= self.factor < math.inf, "a number of radii, 0 or more")
        _number(self, "r_min", 0 <= self.r_min < math.inf, "a number of pixels, 0 or more")

    @property
    def caption(self) -> str:
        """The rule in words."""
        times = "" if self.factor == 1 else f"{self.factor:g} times "
        floor = f" or {self.r_min:g} pixels, whichever is more," if self.r_min else ""
        return f"Hit: the candidate's peak is at most {times}the lesion's radius{floor} from the lesion's center."

    def hits(self, encounters: Encounters) -> Pairs:
        """Gives the pairs within reach; the nearest center is the best."""
        return encounters.centers(self.factor, self.r_min)


@dataclass(frozen=True)
class AnyOverlap:
    """A candidate hits a lesion if they share a pixel and the candidate has at most ``guard`` times the lesion's area.

    A candidate too large for every lesion it touches is a false positive, whatever else it touches (see ``oversize``). An
    infinite guard is none.
    """

    guard: float = 4.0
    name: ClassVar[str] = "any_overlap"

    def __post_init__(self) -> None:
        _number(self, "guard", self.guard > 0, "more than 0 (lesion areas)")

    @property
    def caption(self) -> str:
        """The rule in words."""
        if math.isinf(self.guard):
            return "Hit: the candidate's region shares a pixel with the lesion (no size guard: large regions win)."
        return (
            "Hit: the candidate's region shares a pixel with the lesion and has at most "
            f"{self.guard:g} times its area; a larger one is a false positive."
        )

    def hits(self, encounters: Encounters) -> Pairs:
        """Gives the pairs that overlap and pass the guard; the largest overlap is the best."""
        found, area = encounters.overlaps, encounters.areas_needed.area
        return found.kept(area[found.candidate] <= self.guard * encounters.table.area[found.region])

    def oversize(self, encounters: Encounters) -> IntArray:
        """Numbers of the candidates that touch lesions and are too large for each of them.

        They are false positives also where their point lies on pixels of unknown truth, or they hit a finding that is
        to be ignored: otherwise a large disc would buy its way out by its place.
        """
        touching = encounters.overlaps.candidate
        return np.setdiff1d(touching, self.hits(encounters).candidate)


@dataclass(frozen=True)
class IntersectionOverUnion:
    """A candidate hits a lesion if shared pixels / pixels of either are at least ``threshold``."""

    threshold: float
    name: ClassVar[str] = "iou"

    def __post_init__(self) -> None:
        _number(self, "threshold", 0 < self.threshold <= 1, "a number above 0, at most 1")

    @property
    def caption(self) -> str:
        """The rule in words."""
        return f"Hit: intersection over union of the candidate's region and the lesion is at least {self.threshold:g}."

    def hits(self, encounters: Encounters) -> Pairs:
        """Gives the pairs at or above the threshold; the largest value is the best."""
        found, total = _overlap_and_total(encounters)
        return _thresholded(found, -found.cost, total + found.cost, self.threshold)


@dataclass(frozen=True)
class DiceOverlap:
    """A candidate hits a lesion if 2 * shared pixels / (its pixels + the lesion's) is at least ``threshold``."""

    threshold: float
    name: ClassVar[str] = "dice"

    def __post_init__(self) -> None:
        _number(self, "threshold", 0 < self.threshold <= 1, "a number above 0, at most 1")

    @property
    def caption(self) -> str:
        """The rule in words."""
        return f"Hit: the Dice coefficient of the candidate's region and the lesion is at least {self.threshold:g}."

    def hits(self, encounters: Encounters) -> Pairs:
        """Gives the pairs at or above the threshold; the largest value is the best."""
        found, total = _overlap_and_total(encounters)
        return _thresholded(found, -2 * found.cost, total, self.threshold)


def _overlap_and_total(encounters: Encounters) -> tuple[Pairs, Any]:
    found = encounters.overlaps
    return found, encounters.areas_needed.area[found.candidate] + encounters.table.area[found.region]


def _thresholded(found: Pairs, above: Any, below: Any, threshold: float) -> Pairs:
    value = above / below
    # Compared as a quotient of whole numbers would be: 0.1 means one in ten, whatever float64 makes of it.
    return Pairs(found.candidate, found.region, -value).kept(value >= threshold - 1e-12)


HIT_RULES: dict[str, type[PeakInLesion | CenterDistance | AnyOverlap | IntersectionOverUnion | DiceOverlap]] = {
    rule.name: rule for rule in (PeakInLesion, CenterDistance, AnyOverlap, IntersectionOverUnion, DiceOverlap)
}
"""Hit rules by name."""


def hit_rule(rule: str | HitRule, **parameters: float) -> HitRule:
    """Gives a rule by its name and parameters, or the rule itself.

    Args:
        rule: A rule, or one of ``HIT_RULES``.
        parameters: Those of the rule by that name: ``tolerance``; ``factor`` and ``r_min``; ``guard``; ``threshold``.

    Raises:
        EvaluationError: No rule has this name, a parameter is unknown, missing or out of its range, or a ready-made
            rule comes with parameters.
    """
    if not isinstance(rule, str):
        if parameters:
            raise EvaluationError(
                "this rule has its parameters already",
                found=", ".join(parameters),
                remedy="give them to the rule itself, or name the rule",
            )
        return rule
    if rule not in HIT_RULES:
        raise EvaluationError("no such hit rule", found=rule, remedy=suggestion(rule, HIT_RULES))
    known = {item.name: item for item in fields(HIT_RULES[rule])}
    for name, value in parameters.items():
        if name not in known:
            raise EvaluationError(f"hit rule {rule} has no such parameter", found=name, remedy=suggestion(name, known))
        if isinstance(value, bool) or not isinstance(value, Real):
            raise EvaluationError(f"hit rule {rule}: {name} is a number", found=repr(value))
    missing = [name for name, item in known.items() if item.default is MISSING and name not in parameters]
    if missing:
        raise EvaluationError(
            f"hit rule {rule} lacks a parameter", where=missing[0], remedy=f"say {missing[0]}, such as {missing[0]}=0.1"
        )
    return HIT_RULES[rule](**parameters)


def _number(rule: object, name: str, fits: bool, meaning: str) -> None:
    if not fits or np.isnan(getattr(rule, name)):
        raise EvaluationError(f"hit rule {getattr(rule, 'name', '')}: {name} is {meaning}", found=getattr(rule, name))
