"""Segmentation: per image and class Dice, IoU, sensitivity and precision, averaged with intervals over patients.

Pixels of unknown truth (255) and outside the valid mask (the field of view) count nowhere. An image without a known
pixel of a class is unlabelled for that class. The empty image: where truth has no pixel of a class and a pixel is
predicted, Dice and IoU are 0; where both are empty they are undefined and left out (``empty="exclude"``), or 1
(``empty="one"``). Either way the number of such images is in the table.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.evaluation.classification import named, titled
from medmtl.evaluation.intervals import (
    DRAWS,
    FloatArray,
    Groups,
    IntArray,
    bootstrap,
    bootstrap_mean,
    group_codes,
    group_sums,
)
from medmtl.evaluation.results import Findings, Interval, Metric, Table

UNKNOWN = 255
EmptyRule: TypeAlias = Literal["exclude", "one"]
EMPTY_NOTES: dict[EmptyRule, str] = {
    "exclude": "An image without the class in truth and prediction is left out of the means; one with predicted pixels only counts 0.",
    "one": "An image without the class in truth and prediction counts 1; one with predicted pixels only counts 0.",
}
MEASURES = {"dice": "Dice", "iou": "IoU", "sensitivity": "Pixel sensitivity", "precision": "Pixel precision"}


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
        "dice": _share(2 * tp, 2 * tp + fp + fn),
        "iou": _share(tp, tp + fp + fn),
        "sensitivity": _share(tp, tp + fn),
        "precision": _share(tp, tp + fp),
    }
    if empty == "one":
        both = _both_empty(counts)
        scores |= {name: np.where(both, 1.0, scores[name]) for name in ("dice", "iou")}
    return scores


def segmentation_findings(
    images: Sequence[PixelCounts],
    classes: Sequence[str],
    *,
    groups: Groups | None = None,
    name: str = "",
    empty: EmptyRule = "exclude",
    skip: Collection[str] = ("background",),
    draws: int = DRAWS,
    seed: int = 0,
) -> Findings:
    """All figures of a segmentation task.

    Args:
        images: Counts of each image, from ``class_counts`` or ``channel_counts``.
        classes: Names of the classes, in the order of the counts.
        groups: The patient of each image; None makes each image its own.
        name: Task name, for titles and the table's name.
        empty: What an image empty in truth and prediction counts.
        skip: Classes that are not reported.
        draws: Bootstrap draws.
        seed: Bootstrap seed.

    Returns:
        Metrics ``dice.CLASS``, ``iou.CLASS``, ``sensitivity.CLASS``, ``precision.CLASS``, and a table with a row a
        class; ``labelled`` counts images with a known pixel of any class.

    Raises:
        EvaluationError: The counts do not fit the classes or the groups.
    """
    stacked = PixelCounts.stack(images) if images else PixelCounts(*(np.zeros((0, len(classes)), np.int64),) * 4)
    if stacked.tp.shape[1] != len(classes):
        raise EvaluationError("counts and classes differ in number", found=f"{stacked.tp.shape[1]} and {len(classes)}")
    options: dict[str, Any] = {"draws": draws, "seed": seed}
    scores = image_scores(stacked, empty=empty)
    metrics: list[Metric] = []
    rows: list[dict[str, Any]] = []
    for index, label in enumerate(classes):
        if label not in skip:
            found = _class_metrics(scores, index, label, groups, options)
            metrics += found
            pooled = pooled_dice(stacked, index, groups, **options)
            rows.append(_row(label, stacked, index, found, pooled))
    labelled = int((stacked.known > 0).any(axis=1).sum())
    table = Table(
        f"segmentation.{name}" if name else "segmentation",
        titled("By class", name),
        pd.DataFrame(rows),
        EMPTY_NOTES[empty],
    )
    return Findings(tuple(metrics), (), (), (table,), labelled, len(images) - labelled, (EMPTY_NOTES[empty],))


def pooled_dice(counts: PixelCounts, index: int, groups: Groups | None = None, **options: Any) -> Interval:
    """Dice of all pixels of all images together (micro average), with a bootstrap interval over patients."""
    tp, fp, fn = (part[:, index] for part in (counts.tp, counts.fp, counts.fn))
    sums = group_sums(np.column_stack([2 * tp, 2 * tp + fp + fn]), group_codes(groups, len(tp)))
    return bootstrap(sums, lambda s: _share(s[..., 0], s[..., 1]), **options)


def _class_metrics(
    scores: dict[str, FloatArray], index: int, label: str, groups: Groups | None, options: dict[str, Any]
) -> list[Metric]:
    found = []
    for measure, title in MEASURES.items():
        values = scores[measure][:, index]
        n = int(np.isfinite(values).sum())
        found.append(
            named(measure, title, label, bootstrap_mean(values, groups, **options), n, "images, mean per image")
        )
    return found


def _row(label: str, counts: PixelCounts, index: int, found: Sequence[Metric], pooled: Interval) -> dict[str, Any]:
    labelled = counts.known[:, index] > 0
    row: dict[str, Any] = {"class": label, "images": int(labelled.sum()), "unlabelled": int((~labelled).sum())}
    row |= {
        "with_class": int(((counts.tp + counts.fn)[:, index] > 0).sum()),
        "both_empty": int(_both_empty(counts)[:, index].sum()),
    }
    intervals = dict(zip(MEASURES, (metric.interval for metric in found), strict=True)) | {"pooled_dice": pooled}
    for measure, interval in intervals.items():
        row |= {measure: interval.value, f"{measure}_low": interval.low, f"{measure}_high": interval.high}
    return row


def _both_empty(counts: PixelCounts) -> npt.NDArray[np.bool_]:
    return (counts.known > 0) & (counts.tp + counts.fp + counts.fn == 0)


def _share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> FloatArray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _same_shape(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    known, guess = np.asarray(truth), np.asarray(predicted)
    if known.shape != guess.shape:
        raise EvaluationError("truth and prediction differ in shape", found=f"{known.shape} and {guess.shape}")
    return known, guess


def _valid(valid: npt.ArrayLike | None, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    if valid is None:
        return np.ones(shape, dtype=bool)
    mask = np.asarray(valid).astype(bool)
    if mask.shape != shape:
        raise EvaluationError("the valid mask has another shape than the truth", found=f"{mask.shape} and {shape}")
    return mask
