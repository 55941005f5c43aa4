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

import numpy as np
import numpy.typing as npt
from scipy import sparse

from medmtl.evaluation.intervals import (
    DRAWS,
    FloatArray,
    Groups,
    IntArray,
    draw_weights,
    group_codes,
    group_sums,
    percentile_interval,
    too_few,
)
from medmtl.evaluation.lesions import Matches, Outcome
from medmtl.evaluation.results import Interval

CPM_RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False positives per image whose mean sensitivity is the competition performance metric (LUNA16)."""

RETINA_RATES = (1.0, 2.0, 5.0, 10.0)
"""False positives per image that retina papers read the curve at."""

_EPSILON = 1e-9


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
        lesions: Number of lesions.
        images: Number of images.
        positive_images: Number of images with a lesion.
        duplicates: Hits on lesions already found: neither true nor false positives.
        ignored: Candidates on pixels of unknown truth.
        rule: The hit rule in words.
    """

    thresholds: FloatArray
    sensitivity: FloatArray
    fppi: FloatArray
    lesions: int
    images: int
    positive_images: int
    duplicates: int
    ignored: int
    rule: str = ""

    def sensitivity_at(self, fppi: float) -> Reading:
        """Best sensitivity with at most ``fppi`` false positives per image."""
        if not self.images or not self.lesions:
            return Reading(fppi, math.nan, False, math.nan)
        place = int(np.searchsorted(self.fppi, fppi + _EPSILON, side="right")) - 1
        return Reading(
            fppi, float(self.sensitivity[place]), bool(self.fppi[-1] + _EPSILON >= fppi), float(self.thresholds[place])
        )

    def cpm(self, rates: Sequence[float] = CPM_RATES) -> float:
        """Mean sensitivity at ``rates``."""
        return float(np.mean([self.sensitivity_at(rate).sensitivity for rate in rates]))


@dataclass(frozen=True, eq=False)
class _Pool:
    """The candidates of all images by falling score, and where each distinct score ends."""

    score: FloatArray
    hit: IntArray
    false: IntArray
    image: IntArray
    ends: IntArray


def _pool(images: Sequence[Matches]) -> _Pool:
    score = np.concatenate([image.score for image in images] or [np.empty(0)])
    outcome = np.concatenate([image.outcome for image in images] or [np.empty(0, np.int64)])
    number = np.repeat(np.arange(len(images)), [len(image.score) for image in images])
    order = np.argsort(-score, kind="stable")
    score, outcome = score[order], outcome[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else np.empty(0, np.int64)
    hit = (outcome == Outcome.TRUE_POSITIVE).astype(np.int64)
    false = (outcome == Outcome.FALSE_POSITIVE).astype(np.int64)
    return _Pool(score, hit, false, number[order], ends)


def pooled_froc(images: Sequence[Matches]) -> Froc:
    """Pools the matches of images into one curve.

    Args:
        images: The matches of every evaluated image, also of those without lesions or without candidates.
    """
    pool = _pool(images)
    lesions = sum(image.lesions for image in images)
    found, false = (np.concatenate([[0], np.cumsum(part)[pool.ends]]) for part in (pool.hit, pool.false))
    return Froc(
        thresholds=np.concatenate([[np.inf], pool.score[pool.ends]]),
        sensitivity=found / lesions if lesions else np.full(len(found), np.nan),
        fppi=false / len(images) if images else np.full(len(false), np.nan),
        lesions=lesions,
        images=len(images),
        positive_images=sum(image.lesions > 0 for image in images),
        duplicates=sum(image.count(Outcome.DUPLICATE) for image in images),
        ignored=sum(image.count(Outcome.IGNORED) for image in images),
        rule=next((image.rule for image in images if image.rule), ""),
    )


def froc_replicates(
    images: Sequence[Matches],
    rates: npt.ArrayLike,
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> FloatArray:
    """Sensitivities at rates of false positives in bootstrap draws of patients.

    Args:
        images: The matches of every evaluated image.
        rates: False positives per image, shape (rates,).
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws; the same seed and groups draw the same, so that two methods can be compared in pairs.

    Returns:
        Shape (draws, rates); NaN in draws without a lesion.
    """
    codes = group_codes(groups, len(images))
    size = int(codes.max(initial=-1)) + 1
    found, false = _segments(_pool(images), codes, size)
    lesions = group_sums([image.lesions for image in images], codes).ravel()
    asked = np.asarray(rates, dtype=np.float64)
    rows: list[FloatArray] = []
    for weights in draw_weights(size, draws=draws, seed=seed, width=found.shape[0]):
        counts = [np.cumsum((part @ weights.T).T, axis=1) for part in (found, false)]
        rows += _read_rows(counts[0], counts[1], weights @ np.bincount(codes, minlength=size), weights @ lesions, asked)
    return np.array(rows).reshape(-1, len(asked))


def _segments(pool: _Pool, codes: IntArray, size: int) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Counts found lesions and false positives between the thresholds at which a lesion is found.

    Nothing else moves a reading, and there are far fewer of these than candidates.

    Returns:
        Found lesions and false positives, each of shape (segments, groups).
    """
    place = np.searchsorted(pool.ends, np.arange(len(pool.score)))
    rises = np.unique(place[pool.hit == 1])
    segment = np.searchsorted(rises, place)
    tables = []
    for part in (pool.hit, pool.false):
        used = (part == 1) & (segment < len(rises))
        cells = (segment[used], codes[pool.image[used]])
        tables.append(sparse.coo_array((np.ones(used.sum(), np.int64), cells), shape=(len(rises), size)).tocsr())
    return tables[0], tables[1]


def _read_rows(
    found: IntArray, false: IntArray, images: IntArray, lesions: FloatArray, rates: FloatArray
) -> list[FloatArray]:
    """Reads each drawn curve at the rates: the last point with at most that many false positives."""
    rows = []
    for row in range(len(found)):
        places = np.searchsorted(false[row], rates * images[row] + _EPSILON, side="right")
        hits = np.concatenate([[0], found[row]])[places]
        rows.append(hits / lesions[row] if lesions[row] else np.full(len(rates), np.nan))
    return rows


def froc_intervals(
    images: Sequence[Matches],
    rates: Sequence[float],
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[tuple[Interval, ...], Interval]:
    """Sensitivity at each rate, and their mean (the CPM at the seven standard rates), with bootstrap intervals.

    Args:
        images: The matches of every evaluated image.
        rates: False positives per image.
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws.
    """
    curve = pooled_froc(images)
    values = [curve.sensitivity_at(rate).sensitivity for rate in rates]
    mean = float(np.mean(values))
    if int(group_codes(groups, len(images)).max(initial=-1)) < 1:
        return tuple(too_few(value) for value in values), too_few(mean)
    drawn = froc_replicates(images, rates, groups, draws=draws, seed=seed)
    each = tuple(percentile_interval(value, column) for value, column in zip(values, drawn.T, strict=True))
    return each, percentile_interval(mean, drawn.mean(axis=1))
