"""Pixels of one image counted by class, and the scores of an image that follow.

Pixels of unknown truth (255) and outside the valid mask (the field of view) count nowhere. An image without a known
pixel of a class is unlabelled for that class. The empty image: where truth has no pixel of a class and a pixel is
predicted, Dice and IoU are 0; where both are empty they are undefined and left out (``empty="exclude"``), or 1
(``empty="one"``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import FloatArray, IntArray

UNKNOWN = 255
EmptyRule: TypeAlias = Literal["exclude", "one"]


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """Known pixels of each class: arrays of shape (classes,) for one image, (images, classes) when stacked."""

    tp: IntArray
    fp: IntArray
    fn: IntArray
    tn: IntArray

    @property
    def known(self) -> IntArray:
        """Known pixels; 0 where the image has no label of the class."""
        return self.tp + self.fp + self.fn + self.tn

    @classmethod
    def stack(cls, images: Sequence[PixelCounts]) -> PixelCounts:
        """Stacks the counts of images to shape (images, classes).

        Raises:
            EvaluationError: The images differ in their number of classes.
        """
        sizes = {len(image.tp) for image in images}
        if len(sizes) > 1:
            raise EvaluationError("images differ in their number of classes", found=sorted(sizes))
        parts = [[getattr(image, name) for image in images] for name in ("tp", "fp", "fn", "tn")]
        return cls(*(np.array(part, dtype=np.int64).reshape(len(images), -1) for part in parts))


def class_counts(
    truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int, valid: npt.ArrayLike | None = None
) -> PixelCounts:
    """Counts the pixels of one image whose classes exclude each other.

    Args:
        truth: Class numbers 0 .. classes - 1, or 255 (unknown), shape (H, W).
        predicted: Class numbers, shape (H, W).
        classes: Number of classes, background included.
        valid: Pixels that count, shape (H, W); None: all.

    Returns:
        Counts of shape (classes,).

    Raises:
        EvaluationError: Shapes differ, or a value is outside the classes.
    """
    known, guess = _same_shape(truth, predicted)
    counted = _valid(valid, known.shape) & (known != UNKNOWN)
    rows, columns = known[counted].astype(np.int64), guess[counted].astype(np.int64)
    for values, what in ((rows, "truth"), (columns, "prediction")):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise EvaluationError(
                f"{what} has a class number outside 0..{classes - 1}", found=f"{values.min()}..{values.max()}"
            )
    matrix = np.bincount(rows * classes + columns, minlength=classes * classes).reshape(classes, classes)
    tp, total = np.diag(matrix), matrix.sum()
    fp, fn = matrix.sum(axis=0) - tp, matrix.sum(axis=1) - tp
    return PixelCounts(tp, fp, fn, total - tp - fp - fn)


def channel_counts(truth: npt.ArrayLike, predicted: npt.ArrayLike, valid: npt.ArrayLike | None = None) -> PixelCounts:
    """Counts the pixels of one image whose classes may overlap, one channel a class.

    Args:
        truth: 0, 1 or 255 (unknown), shape (classes, H, W); a channel of only 255 is unlabelled.
        predicted: 0 or 1 (or bool), shape (classes, H, W).
        valid: Pixels that count, shape (H, W); None: all.

    Returns:
        Counts of shape (classes,).

    Raises:
        EvaluationError: Shapes differ, or a value is none of these.
    """
    known, guess = _same_shape(truth, predicted)
    if known.ndim != 3 or not np.isin(known, (0, 1, UNKNOWN)).all() or not np.isin(guess, (0, 1)).all():
        raise EvaluationError("a channel mask holds 0, 1 or 255, shape (classes, H, W)", found=np.unique(known)[:5])
    counted = (_valid(valid, known.shape[1:]) & (known != UNKNOWN)).reshape(len(known), -1)
    is_true, is_called = (known == 1).reshape(len(known), -1), guess.astype(bool).reshape(len(known), -1)
    cells = [counted & a & b for a in (is_true, ~is_true) for b in (is_called, ~is_called)]
    tp, fn, fp, tn = (cell.sum(axis=1) for cell in cells)
    return PixelCounts(tp, fp, fn, tn)


def image_scores(counts: PixelCounts, *, empty: EmptyRule = "exclude") -> dict[str, FloatArray]:
    """Gives ``dice``, ``iou``, ``sensitivity`` and ``precision`` in [0, 1] of each image and class.

    Returns:
        Arrays of the shape of the counts; NaN where undefined: no known pixel, a zero denominator, an empty image by
        the rule ``empty``.
    """
    tp, fp, fn = counts.tp, counts.fp, counts.fn
    scores = {
        "dice": share(2 * tp, 2 * tp + fp + fn),
        "iou": share(tp, tp + fp + fn),
        "sensitivity": share(tp, tp + fn),
        "precision": share(tp, tp + fp),
    }
    if empty == "one":
        both = both_empty(counts)
        scores |= {name: np.where(both, 1.0, scores[name]) for name in ("dice", "iou")}
    return scores


def both_empty(counts: PixelCounts) -> npt.NDArray[np.bool_]:
    """Says which images lack the class in truth and prediction."""
    empty: npt.NDArray[np.bool_] = (counts.known > 0) & (counts.tp + counts.fp + counts.fn == 0)
    return empty


def share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> FloatArray:
    """Divides counts; NaN where the whole is 0."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _same_shape(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    known, guess = np.asarray(truth), np.asarray(predicted)
    if known.shape != guess.shape:
        raise EvaluationError("truth and prediction differ in shape", found=f"{known.shape} and {guess.shape}")
    return known, guess


def _valid(valid: npt.ArrayLike | None, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    if valid is None:
        return np.ones(shape, dtype=bool)
    mask = np.asarray(valid, dtype=bool)
    if mask.shape != shape:
        raise EvaluationError("the valid mask has another shape than the truth", found=f"{mask.shape} and {shape}")
    return mask
