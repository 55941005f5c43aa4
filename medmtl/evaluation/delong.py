"""The area under the ROC curve with DeLong's interval, by patient where patients are given.

The symmetric interval leaves [0, 1] near the ends and collapses to a point at 0 and 1 (five negatives below every
positive are no proof of a perfect test), so the logit scale and then Newcombe's score interval take over there.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from medmtl.evaluation.intervals import LEVEL, FloatArray, Groups, IntArray, group_codes, undefined
from medmtl.evaluation.labels import known_only
from medmtl.evaluation.results import Interval


def placement_values(positive: npt.ArrayLike, negative: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """DeLong's structural components in O(n log n), by midranks (Sun and Xu 2014).

    Args:
        positive: Scores of the m positive samples.
        negative: Scores of the n negative samples.

    Returns:
        For each positive the share of negatives below it (ties count half), shape (m,), and for each negative the
        share of positives above it, shape (n,). Both have the area under the curve as mean.
    """
    x, y = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    pooled = stats.rankdata(np.concatenate([x, y]))
    below = (pooled[: len(x)] - stats.rankdata(x)) / len(y)
    above = 1 - (pooled[len(x) :] - stats.rankdata(y)) / len(x)
    return below, above


def delong_variance(
    positive: npt.ArrayLike, negative: npt.ArrayLike, groups: Groups | None = None
) -> tuple[float, float]:
    """Area under the ROC curve and its variance.

    DeLong, DeLong and Clarke-Pearson 1988; with groups Obuchowski 1997, which lets samples of one patient depend on
    each other and equals DeLong where each patient has one sample.

    Args:
        positive: Scores of the m positive samples.
        negative: Scores of the n negative samples.
        groups: The patients of the positives, then of the negatives (m + n names), or None.

    Returns:
        Area in [0, 1] and variance; the variance is NaN where fewer than two patients have a positive, or a negative.
    """
    below, above = placement_values(positive, negative)
    return mean_and_variance(below, above, group_codes(groups, len(below) + len(above)))


def mean_and_variance(below: FloatArray, above: FloatArray, codes: IntArray) -> tuple[float, float]:
    """Mean and variance of a figure with structural components, such as an area, or the difference of two areas.

    Args:
        below: Components of the m positives, shape (m,).
        above: Components of the n negatives, with the same mean, shape (n,).
        codes: Patient numbers of the positives, then of the negatives, shape (m + n,).

    Returns:
        Mean and variance; the variance is NaN where fewer than two patients have a positive, or a negative.
    """
    m, n, mean = len(below), len(above), float(below.mean())
    size = int(codes.max()) + 1
    by_group = [
        np.bincount(part, weights=values - mean, minlength=size)
        for part, values in ((codes[:m], below), (codes[m:], above))
    ]
    having = [len(np.unique(codes[:m])), len(np.unique(codes[m:]))]
    if min(having) < 2:
        return mean, math.nan
    own = [k / (k - 1) * float(part @ part) / count**2 for k, part, count in zip(having, by_group, (m, n), strict=True)]
    shared = size / (size - 1) * float(by_group[0] @ by_group[1]) / (m * n)
    return mean, max(0.0, own[0] + own[1] + 2 * shared)


def newcombe_area(area: float, positives: int, negatives: int, *, level: float = LEVEL) -> Interval:
    """Score interval of the area under the ROC curve (Newcombe 2006, part 2, method 5); it holds at 0 and 1.

    Args:
        area: The area in [0, 1].
        positives: Number of positive samples.
        negatives: Number of negative samples.
        level: Confidence level.
    """
    z = float(stats.norm.isf((1 - level) / 2))
    extra = (positives + negatives) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + extra * (1 - theta) / (2 - theta) + extra * theta / (1 + theta)
        return (area - theta) ** 2 - z**2 * theta * (1 - theta) * spread / (positives * negatives)

    tiny = 1e-12
    low = brentq(excess, tiny, min(area, 1 - tiny)) if excess(tiny) > 0 else 0.0
    high = brentq(excess, max(area, tiny), 1 - tiny) if excess(1 - tiny) > 0 else 1.0
    return Interval(area, float(low), float(high), "Newcombe score interval (DeLong's variance is zero)")


def auc_interval(
    positive: npt.ArrayLike, negative: npt.ArrayLike, groups: Groups | None = None, *, level: float = LEVEL
) -> Interval:
    """Area under the ROC curve with its interval; ``method`` says which.

    DeLong's symmetric interval; on the logit scale where that leaves [0, 1]; Newcombe's where the variance is zero or
    unknown, with the number of patients of each class.

    Args:
        positive: Scores of the m positive samples.
        negative: Scores of the n negative samples.
        groups: The patients of the positives, then of the negatives (m + n names), or None.
        level: Confidence level.
    """
    m, n = np.size(positive), np.size(negative)
    if not m or not n:
        return undefined(f"no {'positive' if not m else 'negative'} among {m + n} labelled")
    area, variance = delong_variance(positive, negative, groups)
    if not variance > 1e-15:
        codes = group_codes(groups, m + n)
        return newcombe_area(area, len(np.unique(codes[:m])), len(np.unique(codes[m:])), level=level)
    name = "DeLong" if groups is None else "DeLong by patient (Obuchowski)"
    half = float(stats.norm.isf((1 - level) / 2)) * math.sqrt(variance)
    if half <= area <= 1 - half:
        return Interval(area, area - half, area + half, name)
    slope = area * (1 - area)
    center = math.log(area / (1 - area))
    low, high = (1 / (1 + math.exp(-max(-700.0, min(700.0, center + side * half / slope)))) for side in (-1, 1))
    return Interval(area, low, high, f"{name}, logit scale")


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve as a bare number, such as training selects by.

    Args:
        labels: 0, 1 or NaN (left out), shape (samples,).
        scores: Shape (samples,).

    Returns:
        The area in [0, 1]; NaN where a class has no sample.

    Raises:
        EvaluationError: As ``known_only``.
    """
    data = known_only(labels, scores)
    positive = data.labels == 1
    if positive.all() or not positive.any():
        return math.nan
    return float(placement_values(data.scores[positive], data.scores[~positive])[0].mean())
