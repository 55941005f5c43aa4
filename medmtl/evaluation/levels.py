"""Pixels of one image counted by the probability they were given, so that any threshold can be judged afterwards.

Probabilities fall into steps of one hundredth. A threshold on that grid gives exactly the counts of ``probability >=
threshold``, so validation can choose one, and a test is counted at the same one, from a few hundred numbers an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import IntArray
from medmtl.evaluation.pixels import UNKNOWN, PixelCounts, image_scores

GRID = np.linspace(0, 1, 101).round(2).astype(np.float32)
"""Lower ends of the steps; the last holds probabilities of exactly 1."""

HALF = 0.5
_CHOICES = range(5, 96)
"""Steps that a threshold may be chosen from: beyond them a class would be nearly all or nothing."""


@dataclass(frozen=True, eq=False)
class PixelLevels:
    """Known pixels of each class by step of probability: arrays of shape (classes, 101)."""

    positive: IntArray
    negative: IntArray

    def counts(self, thresholds: Sequence[float] | None = None) -> PixelCounts:
        """The counts where a pixel is of a class from a threshold on.

        Args:
            thresholds: One a class, on the grid of hundredths; None = one half.

        Raises:
            EvaluationError: A threshold is not on the grid, or their number is not that of the classes.
        """
        chosen = [HALF] * len(self.positive) if thresholds is None else list(thresholds)
        steps = np.rint(np.array(chosen, dtype=float) * 100)
        if len(chosen) != len(self.positive) or np.any(np.abs(steps - np.array(chosen) * 100) > 1e-6):
            raise EvaluationError("thresholds are hundredths, one a class", found=chosen)
        above = np.arange(len(GRID)) >= steps[:, None]
        tp, fp = (self.positive * above).sum(1), (self.negative * above).sum(1)
        return PixelCounts(tp, fp, self.positive.sum(1) - tp, self.negative.sum(1) - fp)


def pixel_levels(truth: npt.ArrayLike, probability: npt.ArrayLike, valid: npt.ArrayLike) -> PixelLevels:
    """Counts the pixels of one image whose classes may overlap, one channel a class.

    Args:
        truth: 0, 1 or 255 (unknown), shape (classes, H, W); a channel of only 255 is unlabelled.
        probability: In [0, 1], shape (classes, H, W), single precision.
        valid: Pixels that count, shape (H, W).

    Raises:
        EvaluationError: Shapes differ, or a probability is outside [0, 1] or not a number.
    """
    known, given, counted = np.asarray(truth), np.asarray(probability, np.float32), np.asarray(valid, bool)
    if known.shape != given.shape or known.shape[1:] != counted.shape:
        found = f"{known.shape}, {given.shape} and {counted.shape}"
        raise EvaluationError("truth, probability and valid mask differ in shape", found=found)
    if given.size and not (given.min() >= 0 and given.max() <= 1):
        raise EvaluationError("a probability is outside 0..1", found=f"{given.min()}..{given.max()}")
    rows = [_by_step(layer, values, counted) for layer, values in zip(known, given, strict=True)]
    table = np.array(rows, dtype=np.int64).reshape(-1, 2, len(GRID))
    return PixelLevels(table[:, 1], table[:, 0])


def _by_step(
    truth: npt.NDArray[np.uint8], probability: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]
) -> IntArray:
    counted = valid & (truth != UNKNOWN)
    step = np.searchsorted(GRID, probability[counted], side="right") - 1
    found = np.bincount((truth[counted] == 1) * len(GRID) + step, minlength=2 * len(GRID))
    return np.asarray(found.reshape(2, len(GRID)))


def dice_thresholds(images: Sequence[PixelLevels], classes: Sequence[str]) -> dict[str, float]:
    """Chooses each class's threshold: the largest Dice, per image and then averaged; of equally good ones the nearest to ½.

    Args:
        images: Validation images.
        classes: Names of the classes.

    Returns:
        By class, 0.05 to 0.95; a class without a positive pixel in any image has none.
    """
    if not images:
        return {}
    steps = sorted(_CHOICES, key=lambda step: (abs(step / 100 - HALF), step))
    dice = np.array([_mean_dice(images, step / 100, len(classes)) for step in steps])
    present = sum(image.positive.sum(1) for image in images) > 0
    best = {name: steps[int(np.nanargmax(dice[:, index]))] for index, name in enumerate(classes) if present[index]}
    return {name: step / 100 for name, step in best.items()}


def _mean_dice(images: Sequence[PixelLevels], threshold: float, classes: int) -> npt.NDArray[np.float64]:
    """Mean over the images where it is defined, by class; NaN where it is in none."""
    stacked = PixelCounts.stack([image.counts([threshold] * classes) for image in images])
    dice = image_scores(stacked)["dice"]
    defined = np.isfinite(dice).sum(0)
    return np.where(defined > 0, np.nansum(dice, axis=0) / np.maximum(defined, 1), np.nan)
