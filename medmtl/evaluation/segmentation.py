"""Segmentation: per image and class Dice, IoU, sensitivity and precision, averaged with intervals over patients.

What counts, and what an image without the class counts, is said in ``pixels.py`` and in the note of every table.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.evaluation.classification import named, titled
from medmtl.evaluation.intervals import (
    DRAWS,
    FloatArray,
    Groups,
    bootstrap_mean,
    bootstrap_sums,
    group_codes,
    group_sums,
)
from medmtl.evaluation.pixels import EmptyRule, PixelCounts, both_empty, image_scores, share
from medmtl.evaluation.results import Findings, Interval, Metric, Table

EMPTY_NOTES: dict[EmptyRule, str] = {
    "exclude": "An image without the class in truth and prediction is left out of the means; one with predicted pixels only counts 0.",
    "one": "An image without the class in truth and prediction counts 1; one with predicted pixels only counts 0.",
}
MEASURES = {"dice": "Dice", "iou": "IoU", "sensitivity": "Pixel sensitivity", "precision": "Pixel precision"}


def segmentation_findings(
    images: Sequence[PixelCounts],
    classes: Sequence[str],
    *,
    groups: Groups | None = None,
    name: str = "",
    empty: EmptyRule = "exclude",
    skip: Collection[str] = ("background",),
    thresholds: Sequence[float] | None = None,
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
        thresholds: The probability that the counts were made at, one a class, for the table; None = not by thresholds.
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
            limit = {} if thresholds is None else {"threshold": thresholds[index]}
            rows.append(_row(label, stacked, index, found, pooled) | limit)
    labelled = int((stacked.known > 0).any(axis=1).sum())
    table = Table(
        f"segmentation.{name}" if name else "segmentation",
        titled("By class", name),
        pd.DataFrame(rows),
        EMPTY_NOTES[empty],
    )
    return Findings(tuple(metrics), (), (), (table,), labelled, len(images) - labelled, (EMPTY_NOTES[empty],))


def pooled_dice(counts: PixelCounts, index: int, groups: Groups | None = None, **options: Any) -> Interval:
    """Dice of all pixels of all images together (micro average), with a bootstrap interval over patients.

    Args:
        counts: Counts of every image.
        index: The class.
        groups: The patient of each image; None makes each image its own.
        options: As for ``bootstrap_sums``.
    """
    tp, fp, fn = (part[:, index] for part in (counts.tp, counts.fp, counts.fn))
    sums = group_sums(np.column_stack([2 * tp, 2 * tp + fp + fn]), group_codes(groups, len(tp)))
    return bootstrap_sums(sums, lambda s: share(s[..., 0], s[..., 1]), **options)


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
        "both_empty": int(both_empty(counts)[:, index].sum()),
    }
    intervals = dict(zip(MEASURES, (metric.interval for metric in found), strict=True)) | {"pooled_dice": pooled}
    for measure, interval in intervals.items():
        row |= {measure: interval.value, f"{measure}_low": interval.low, f"{measure}_high": interval.high}
    return row
