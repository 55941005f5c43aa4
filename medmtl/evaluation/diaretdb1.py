"""DIARETDB1's own protocol: the image-based ROC curve, equal error rate, weighted error rates.

What is known, and how well: the released Matlab evaluation (v1.1), which was read, is image-based only; an image's
score is its flagged pixels / field-of-view pixels; it is called ill if the score exceeds t, for t in 0 and the distinct
scores; it is ill if any pixel has an agreement of at least 0.75; and per lesion type
WER_R = ((1 - sensitivity) + R * (1 - specificity)) / (1 + R) for R = 0.1, 1, 10, of which the least over t is reported,
with the equal error rate. Kauppi et al. 2013 (Comput Math Methods Med 2013:368514) use image- and pixel-based curves with
the equal error rate; how exactly their pixels and their "summax" rule go was **not** checked against the paper, so the
pixel-based curve (``pixelroc.py``) is the plain one: every pixel of every field of view is a case. There is no official
lesion-level rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import BoolArray, FloatArray

AGREEMENT = 0.75
"""Least agreement of a lesion pixel; in the masks of v1.1 that is value / 252 >= 0.75, so value >= 189."""

WEIGHTS = (0.1, 1.0, 10.0)
"""Cost of a false alarm / cost of a miss in the weighted error rates."""


@dataclass(frozen=True, eq=False)
class OfficialRoc:
    """Sensitivity and specificity at each threshold, a case being called ill where its score is above the threshold.

    Attributes:
        thresholds: Rising, shape (points,).
        sensitivity: Shape (points,), NaN without ill cases.
        specificity: Shape (points,), NaN without healthy cases.
        positives: Number of ill cases.
        negatives: Number of healthy cases.
        ratios: The weights that this curve answers for; None: every threshold is there, and it answers for all.
    """

    thresholds: FloatArray
    sensitivity: FloatArray
    specificity: FloatArray
    positives: int
    negatives: int
    ratios: tuple[float, ...] | None = None

    def weighted_error(self, ratio: float) -> float:
        """Least WER_R = ((1 - sensitivity) + R * (1 - specificity)) / (1 + R) over the thresholds; NaN with one class.

        Raises:
            EvaluationError: The ratio is not a number of 0 or more, or points that it would need were left out.
        """
        if not 0 <= ratio < math.inf:
            raise EvaluationError("the weight of false alarms is a number, 0 or more", found=ratio)
        if self.ratios is not None and ratio not in self.ratios:
            remedy = (
                f"name it among the ratios of pixel_roc; these were {', '.join(f'{known:g}' for known in self.ratios)}"
            )
            raise EvaluationError("the curve was not kept for this weight of false alarms", found=ratio, remedy=remedy)
        if not self.positives or not self.negatives:
            return math.nan
        return float(np.min(((1 - self.sensitivity) + ratio * (1 - self.specificity)) / (1 + ratio)))

    @property
    def equal_error_rate(self) -> float:
        """Where the false alarm rate and the miss rate meet, on straight lines between points; NaN with one class.

        The curve is completed by its ends (all called ill; none called ill). How the original interpolates was not
        checked.
        """
        if not self.positives or not self.negatives:
            return math.nan
        misses = np.concatenate([[0.0], 1 - self.sensitivity, [1.0]])
        alarms = np.concatenate([[1.0], 1 - self.specificity, [0.0]])
        gap = misses - alarms
        after = int(np.argmax(gap >= 0))
        before = max(after - 1, 0)
        rise = gap[after] - gap[before]
        part = 0.0 if rise == 0 else -gap[before] / rise
        return float(misses[before] + part * (misses[after] - misses[before]))


def flagged_share(flagged: npt.ArrayLike, field: npt.ArrayLike) -> float:
    """An image's score: flagged pixels / pixels of the field of view.

    Args:
        flagged: What the method calls lesion, shape (H, W); pixels outside the field do not count.
        field: The field of view, shape (H, W).

    Raises:
        EvaluationError: The shapes differ, or the field is empty.
    """
    mask, inside = np.asarray(flagged).astype(bool), np.asarray(field).astype(bool)
    if mask.shape != inside.shape or not inside.any():
        raise EvaluationError(
            "flagged pixels and field of view need one shape, and the field a pixel",
            found=f"{mask.shape}, {inside.shape}",
        )
    return float(np.count_nonzero(mask & inside) / np.count_nonzero(inside))


def image_truth(agreement: npt.ArrayLike) -> bool:
    """Whether an image is ill: any pixel of at least 0.75 agreement (with a tolerance of 1e-9).

    Args:
        agreement: Mean confidence of the experts in [0, 1] (mask value / 252 in v1.1), shape (H, W).

    Raises:
        EvaluationError: Values are outside [0, 1]: raw mask values were given.
    """
    values = np.asarray(agreement, dtype=np.float64)
    if values.size and not (values.min() >= 0 and values.max() <= 255 / 252 + 1e-9):
        raise EvaluationError(
            "agreement lies in [0, 1]",
            found=f"{values.min():g} to {values.max():g}",
            remedy="divide mask values by 252",
        )
    return bool((values >= AGREEMENT - 1e-9).any())


def image_roc(ill: npt.ArrayLike, scores: npt.ArrayLike) -> OfficialRoc:
    """The image-based curve of one lesion type: thresholds are 0 and the distinct scores.

    Args:
        ill: Truth of each image, shape (images,).
        scores: ``flagged_share`` of each image, or any score of 0 or more, shape (images,).

    Raises:
        EvaluationError: Lengths differ, or a score is negative or not finite.
    """
    truth, values = np.asarray(ill).astype(bool).reshape(-1), np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(truth) != len(values) or not np.isfinite(values).all() or (values < 0).any():
        raise EvaluationError(
            "images need a truth and a finite score of 0 or more each", found=f"{len(truth)}, {len(values)}"
        )
    return _roc(truth, values, np.unique(np.concatenate([[0.0], values])))


def _roc(truth: BoolArray, scores: FloatArray, thresholds: FloatArray) -> OfficialRoc:
    """Shares called ill (score above t) among the ill, and not among the healthy, at each threshold."""
    sides = [np.sort(scores[truth]), np.sort(scores[~truth])]
    above, below = (np.searchsorted(side, thresholds, side="right") for side in sides)
    positives, negatives = len(sides[0]), len(sides[1])
    nothing = np.full(len(thresholds), np.nan)
    sensitivity = 1 - above / positives if positives else nothing
    return OfficialRoc(thresholds, sensitivity, below / negatives if negatives else nothing, positives, negatives)
