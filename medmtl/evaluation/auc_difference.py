"""DeLong's paired test: do two scores of the same samples differ in the area under the ROC curve?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from medmtl.errors import EvaluationError
from medmtl.evaluation.delong import auc_interval, mean_and_variance, placement_values
from medmtl.evaluation.intervals import LEVEL, Groups, group_codes, take_groups, undefined
from medmtl.evaluation.results import Interval


@dataclass(frozen=True)
class AucDifference:
    """Two areas on the same samples.

    Attributes:
        one: The first score's area.
        other: The second score's area.
        difference: One minus other, in [-1, 1], with its interval.
        z: Difference / its standard error; NaN where that is zero or unknown.
        p: Two-sided p-value; NaN where ``z`` is.
        positives: Number of positive samples.
        negatives: Number of negative samples.
    """

    one: Interval
    other: Interval
    difference: Interval
    z: float
    p: float
    positives: int
    negatives: int


def delong_test(
    labels: npt.ArrayLike,
    one: npt.ArrayLike,
    other: npt.ArrayLike,
    groups: Groups | None = None,
    *,
    level: float = LEVEL,
) -> AucDifference:
    """Compares the areas of two scores of the same samples (DeLong, DeLong and Clarke-Pearson 1988).

    The structural components of the two areas are subtracted sample by sample, so that what both scores share cancels;
    with groups the variance is that of Obuchowski 1997, as in ``delong_variance``.

    Args:
        labels: 0, 1 or NaN (left out), shape (samples,).
        one: Scores of one model, shape (samples,).
        other: Scores of the other model, shape (samples,).
        groups: The patient of each sample; None makes each sample its own.
        level: Confidence level of the intervals.

    Raises:
        EvaluationError: Lengths differ, a label is none of these, or a score of a labelled sample is not finite.
    """
    truth, first, second = (np.asarray(part, dtype=np.float64).reshape(-1) for part in (labels, one, other))
    if not len(truth) == len(first) == len(second):
        raise EvaluationError(
            "a paired test needs two scores a label",
            found=f"{len(truth)} labels, {len(first)} and {len(second)} scores",
        )
    known = ~np.isnan(truth)
    if not np.isin(truth[known], (0, 1)).all() or not np.isfinite(np.stack([first, second])[:, known]).all():
        raise EvaluationError("a paired test needs labels of 0, 1 or NaN, and finite scores")
    patients = take_groups(groups, known)
    truth, first, second = truth[known], first[known], second[known]
    order = np.argsort(truth != 1, kind="stable")
    count = int(truth.sum())
    names = None if patients is None else [patients[int(i)] for i in order]
    pairs = [(part[order][:count], part[order][count:]) for part in (first, second)]
    areas = [auc_interval(*pair, names, level=level) for pair in pairs]
    if not 0 < count < len(truth):
        nothing = undefined("one class only")
        return AucDifference(areas[0], areas[1], nothing, math.nan, math.nan, count, len(truth) - count)
    parts = [placement_values(*pair) for pair in pairs]
    codes = group_codes(names, len(truth))
    mean, variance = mean_and_variance(parts[0][0] - parts[1][0], parts[0][1] - parts[1][1], codes)
    interval, z = _interval(mean, variance, level)
    p = 2 * float(stats.norm.sf(abs(z))) if math.isfinite(z) else math.nan
    return AucDifference(areas[0], areas[1], interval, z, p, count, len(truth) - count)


def _interval(mean: float, variance: float, level: float) -> tuple[Interval, float]:
    if not variance > 1e-15:
        reason = "the two scores rank every pair alike" if mean == 0 else "its variance is zero or unknown"
        return Interval(mean, method=f"no interval: {reason}"), math.nan
    error = math.sqrt(variance)
    half = float(stats.norm.isf((1 - level) / 2)) * error
    return Interval(mean, max(-1.0, mean - half), min(1.0, mean + half), "DeLong, paired"), mean / error
