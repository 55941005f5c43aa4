"""The exact FROC curve: lesion sensitivity against false positives per image, at every distinct score.

Every distinct score is a threshold, the lowest included; equal scores enter together; a lesion that no candidate hits
is missed at every threshold and makes no threshold; the curve starts at (0, 0). Reading it is step-wise: the best
sensitivity with at most so many false positives per image, over all evaluated images, with lesions or without. Beyond
its last point the curve is not extrapolated: the last value is given and flagged as not reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from medmtl.errors import EvaluationError, suggestion
from medmtl.evaluation.intervals import FloatArray, IntArray
from medmtl.evaluation.lesions import Matches, Outcome

CPM_RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False positives per image whose mean sensitivity is the competition performance metric (LUNA16)."""

RETINA_RATES = (1.0, 2.0, 5.0, 10.0)
"""False positives per image that retina papers read the curve at."""

EPSILON = 1e-9
"""A rate of false positives is reached by so much less, because thirds of images are no whole numbers."""

Duplicates: TypeAlias = Literal["neither", "false_positive"]
Over: TypeAlias = Literal["all", "lesion_free"]


@dataclass(frozen=True)
class Counting:
    """How outcomes are counted.

    Attributes:
        lenient: A candidate finds every lesion it hits, not one.
        duplicates: Whether a further hit on a found lesion is ``neither`` or a ``false_positive``.

    Raises:
        EvaluationError: The option for duplicates does not exist.
    """

    lenient: bool = False
    duplicates: Duplicates = "neither"

    def __post_init__(self) -> None:
        options = ("neither", "false_positive")
        if self.duplicates not in options:
            raise EvaluationError(
                "duplicates count neither way or as false positives",
                found=self.duplicates,
                remedy=suggestion(self.duplicates, options),
            )

    @property
    def caption(self) -> str:
        """The counting in words."""
        finds = "A candidate finds every lesion it hits" if self.lenient else "One candidate finds at most one lesion"
        rest = "is a false positive" if self.duplicates == "false_positive" else "counts neither way"
        return f"{finds}; a further hit on a lesion already found {rest}."


STRICT = Counting()
"""One candidate, one lesion; duplicates neither."""

LENIENT = Counting(lenient=True)
"""One candidate, all lesions it hits; duplicates neither."""


@dataclass(frozen=True)
class Reading:
    """Sensitivity at a rate of false positives; ``reached`` is False where the curve ends before that rate."""

    fppi: float
    sensitivity: float
    reached: bool
    threshold: float


@dataclass(frozen=True, eq=False)
class Froc:
    """The curve: point 0 is (0, 0) at threshold infinity, then one point a distinct score, by falling score.

    Attributes:
        thresholds: Shape (points,).
        sensitivity: Found lesions / lesions, shape (points,), NaN where there is no lesion.
        fppi: False positives / images, shape (points,), NaN where there is no image.
        fppi_free: False positives in lesion-free images / such images, shape (points,), NaN where there is none. An image
            whose lesions all count neither way is not lesion-free.
        found: Found lesions, shape (points,).
        false: False positives, shape (points,).
        lesions: Number of lesions.
        images: Number of images.
        positive_images: Number of images with a lesion.
        duplicates: Hits on lesions already found, by this counting.
        ignored: Candidates on pixels of unknown truth, on irrelevant findings, and on other classes if so chosen.
        other_hits: Candidates that hit lesions of another class only.
        rule: The hit rule in words.
        counting: How outcomes were counted.
    """

    thresholds: FloatArray
    sensitivity: FloatArray
    fppi: FloatArray
    fppi_free: FloatArray
    found: IntArray
    false: IntArray
    lesions: int
    images: int
    positive_images: int
    duplicates: int
    ignored: int
    other_hits: int = 0
    rule: str = ""
    counting: Counting = STRICT

    def sensitivity_at(self, fppi: float, over: Over = "all") -> Reading:
        """Best sensitivity with at most ``fppi`` false positives per image.

        Without lesions the sensitivity is NaN and no rate is reached, but the threshold of the rate is there all the same:
        it depends on false positives alone.

        Args:
            fppi: False positives per image.
            over: Over ``all`` images, or those that are ``lesion_free``.
        """
        rates = self.fppi if over == "all" else self.fppi_free
        if not len(rates) or math.isnan(rates[0]):
            return Reading(fppi, math.nan, False, math.nan)
        place = int(np.searchsorted(rates, fppi + EPSILON, side="right")) - 1
        reached = self.lesions > 0 and bool(rates[-1] + EPSILON >= fppi)
        return Reading(fppi, float(self.sensitivity[place]), reached, float(self.thresholds[place]))

    def cpm(self, rates: Sequence[float] = CPM_RATES) -> float:
        """Mean sensitivity at ``rates``."""
        return float(np.mean([self.sensitivity_at(rate).sensitivity for rate in rates]))

    @property
    def average_precision(self) -> float:
        """Area under precision and recall of lesions, step-wise; lesions never found count as missed; NaN without any.

        At each threshold precision is found lesions / (found lesions + false positives) and recall is sensitivity.
        """
        if not self.lesions:
            return math.nan
        gained = np.diff(self.found)
        called = np.maximum(self.found[1:] + self.false[1:], 1)
        return float((gained * self.found[1:] / called).sum() / self.lesions)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The candidates of all images by falling score, and where each distinct score ends.

    Attributes:
        score: Shape (n,).
        hit: Lesions newly found by each, shape (n,).
        false: 1 for false positives, shape (n,).
        image: Number of the image, shape (n,).
        ends: Last place of each distinct score, shape (thresholds,).
        duplicates: How many hit only lesions already found, by the counting of ``hit`` and ``false``.
        ignored: How many count neither way for another reason.
    """

    score: FloatArray
    hit: IntArray
    false: IntArray
    image: IntArray
    ends: IntArray
    duplicates: int
    ignored: int


def ranking(images: Sequence[Matches], counting: Counting = STRICT) -> Ranking:
    """Puts the candidates of all images in one order.

    Args:
        images: The matches of every evaluated image.
        counting: How outcomes are counted.
    """
    empty = np.empty(0, np.int64)
    score = np.concatenate([image.score for image in images] or [np.empty(0)])
    outcome = np.concatenate([image.outcome for image in images] or [empty])
    hit = outcome == Outcome.TRUE_POSITIVE
    if counting.lenient:
        hit = np.concatenate([image.gains for image in images] or [empty])
    second = np.concatenate([image.further(lenient=counting.lenient) for image in images] or [np.empty(0, bool)])
    false = outcome == Outcome.FALSE_POSITIVE
    if counting.duplicates == "false_positive":
        false = false | second
    number = np.repeat(np.arange(len(images)), [len(image.score) for image in images])
    order = np.argsort(-score, kind="stable")
    score = score[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else empty
    hit, false = hit[order].astype(np.int64), false[order].astype(np.int64)
    ignored = int((outcome == Outcome.IGNORED).sum())
    return Ranking(score, hit, false, number[order], ends, int(second.sum()), ignored)


def pooled_froc(images: Sequence[Matches], counting: Counting = STRICT) -> Froc:
    """Pools the matches of images into one curve.

    Args:
        images: The matches of every evaluated image, also of those without lesions or without candidates.
        counting: How outcomes are counted.
    """
    pool = ranking(images, counting)
    lesions, free = sum(image.lesions for image in images), np.array([image.free for image in images], dtype=bool)
    apart = pool.false * free[pool.image]
    found, false, calm = (np.concatenate([[0], np.cumsum(part)[pool.ends]]) for part in (pool.hit, pool.false, apart))
    return Froc(
        thresholds=np.concatenate([[np.inf], pool.score[pool.ends]]),
        sensitivity=_share(found, lesions),
        fppi=_share(false, len(images)),
        fppi_free=_share(calm, int(free.sum())),
        found=found,
        false=false,
        lesions=lesions,
        images=len(images),
        positive_images=sum(image.lesions > 0 for image in images),
        duplicates=pool.duplicates,
        ignored=pool.ignored,
        other_hits=sum(image.other_hits for image in images),
        rule=next((image.rule for image in images if image.rule), ""),
        counting=counting,
    )


def _share(counts: IntArray, total: int) -> FloatArray:
    return counts / total if total else np.full(len(counts), np.nan)
