"""Binary classification: ROC AUC, average precision, operating point, calibration.

A class of a multi-label task is a binary task of its own. Scores rise with the evidence for the class; a sample is
called positive where its score is at or above the threshold, which is chosen on validation scores only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

from medmtl.evaluation.calibration import brier, calibration_curve, expected_calibration_error
from medmtl.evaluation.confusion import threshold_confusion
from medmtl.evaluation.delong import auc_interval
from medmtl.evaluation.intervals import (
    DRAWS,
    FloatArray,
    Groups,
    IntArray,
    draw_weights,
    group_codes,
    percentile_interval,
    too_few,
    undefined,
    wilson,
)
from medmtl.evaluation.labels import Labelled, known_only
from medmtl.evaluation.results import Curve, CurvePoint, Findings, Interval, Metric


def youden_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Chooses the threshold with the largest sensitivity + specificity - 1 (Youden 1950), on validation scores.

    Midway between the lowest score called positive and the next one below, so that it does not sit on a sample; of
    equally good ones the highest.

    Args:
        labels: 0, 1 or NaN (left out), shape (samples,).
        scores: Shape (samples,).

    Returns:
        The threshold; NaN where a class has no sample.

    Raises:
        EvaluationError: As ``known_only``.
    """
    data = known_only(labels, scores)
    if not _both(data):
        return math.nan
    fpr, tpr, thresholds = roc_curve(data.labels, data.scores, drop_intermediate=False)
    best = int(np.argmax(tpr[1:] - fpr[1:])) + 1
    lower = thresholds[best + 1] if best + 1 < len(thresholds) else thresholds[best]
    return float((thresholds[best] + lower) / 2)


def average_precision(data: Labelled, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Average precision (area under precision and recall, step-wise) with a bootstrap interval over patients.

    Args:
        data: Labels of 0 and 1, and scores.
        draws: Bootstrap draws.
        seed: Bootstrap seed.

    Returns:
        In [0, 1]; undefined where a class has no sample.
    """
    if not _both(data):
        return undefined(_missing(data))
    codes = group_codes(data.groups, len(data.labels))
    order = np.argsort(-data.scores, kind="stable")
    truth, place = data.labels[order], codes[order]
    ends = np.flatnonzero(np.append(np.diff(data.scores[order]) != 0, True))
    value = float(_weighted_precision(np.ones((1, len(order))), truth, ends)[0])
    groups = int(codes.max()) + 1
    if groups < 2:
        return too_few(value)
    blocks = draw_weights(groups, draws=draws, seed=seed, width=len(order))
    return percentile_interval(value, np.concatenate([_weighted_precision(w[:, place], truth, ends) for w in blocks]))


def _weighted_precision(weights: npt.NDArray[Any], truth: FloatArray, ends: IntArray) -> FloatArray:
    """Average precision of each row of weights (draws, samples by falling score); equal scores enter together."""
    hits = np.cumsum(weights * truth, axis=1)[:, ends]
    called = np.cumsum(weights, axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(called > 0, hits / called, 0)
        result: FloatArray = (gained * precision).sum(axis=1) / hits[:, -1]
    return result


def operating_point(data: Labelled, threshold: float) -> tuple[Interval, Interval]:
    """Sensitivity and specificity at a given threshold, with Wilson's intervals."""
    if not math.isfinite(threshold):
        return undefined("no threshold"), undefined("no threshold")
    called, positive = data.scores >= threshold, data.labels == 1
    return (
        wilson(int((called & positive).sum()), int(positive.sum())),
        wilson(int((~called & ~positive).sum()), int((~positive).sum())),
    )


def roc(data: Labelled, title: str, *, threshold: float | None = None) -> Curve:
    """The ROC curve, with the operating point at ``threshold`` marked.

    Args:
        data: Labels of 0 and 1, both present, and scores.
        title: Title of the curve.
        threshold: The operating point; None or NaN marks none.
    """
    fpr, tpr, _ = roc_curve(data.labels, data.scores)
    points: tuple[CurvePoint, ...] = ()
    if threshold is not None and math.isfinite(threshold):
        sensitivity, specificity = operating_point(data, threshold)
        points = (CurvePoint(1 - specificity.value, sensitivity.value, f"threshold {threshold:.3g}"),)
    caption = f"{int(data.labels.sum())} positive, {int((1 - data.labels).sum())} negative."
    return Curve("roc", title, tuple(fpr), tuple(tpr), "1 - specificity", "Sensitivity", points=points, caption=caption)


def precision_recall(data: Labelled, title: str) -> Curve:
    """The precision-recall curve; its caption says the precision of chance, which is the share of positives."""
    precision, recall, _ = precision_recall_curve(data.labels, data.scores)
    caption = f"Precision of chance: {data.labels.mean():.3f}."
    return Curve(
        "precision_recall", title, tuple(recall[::-1]), tuple(precision[::-1]), "Recall", "Precision", caption=caption
    )


def binary_findings(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    threshold: float | None = None,
    groups: Groups | None = None,
    name: str = "",
    probabilities: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> Findings:
    """All figures of a binary class.

    Args:
        labels: 0, 1 or NaN (unknown: left out and counted), shape (samples,).
        scores: Rising with the evidence, shape (samples,); in [0, 1] where ``probabilities``.
        threshold: The operating point, chosen on validation (``youden_threshold``); None or NaN: none was chosen.
        groups: The patient of each sample; None makes each sample its own.
        name: Class name: ends the metric names (``auc.NAME``) and the titles.
        probabilities: Whether the scores are probabilities, whose calibration is worth a figure.
        draws: Bootstrap draws.
        seed: Bootstrap seed.

    Returns:
        Metrics ``auc``, ``average_precision``, ``sensitivity``, ``specificity``, and with probabilities ``brier`` and
        ``ece``; the confusion matrix at the threshold, where there is one; a figure that cannot be computed is there with
        NaN and its reason.

    Raises:
        EvaluationError: As ``known_only``, or a probability is outside [0, 1].
    """
    data = known_only(labels, scores, groups)
    metrics = _ranking_metrics(data, name, threshold, draws, seed)
    if probabilities:
        metrics += _calibration_metrics(data, name, draws, seed)
    notes = () if _both(data) else (f"{name or 'this class'}: {_missing(data)}, so it has no ROC curve",)
    curves, confusions = _curves(data, name, threshold, probabilities), threshold_confusion(data, threshold, name)
    return Findings(metrics, curves, confusions, (), len(data.labels), data.unlabelled, notes)


def _ranking_metrics(data: Labelled, name: str, threshold: float | None, draws: int, seed: int) -> tuple[Metric, ...]:
    point = math.nan if threshold is None else threshold
    sensitivity, specificity = operating_point(data, point)
    positives = int(data.labels.sum())
    n = len(data.labels)
    smaller = f"samples; the smaller class has {min(positives, n - positives)}"
    at = f"at threshold {point:.4g}, chosen on other images" if math.isfinite(point) else "no threshold was chosen"
    return (
        named("auc", "ROC AUC", name, roc_area(data), n, smaller),
        named(
            "average_precision", "Average precision", name, average_precision(data, draws=draws, seed=seed), n, smaller
        ),
        named("sensitivity", "Sensitivity", name, sensitivity, positives, f"positive samples; {at}"),
        named("specificity", "Specificity", name, specificity, n - positives, f"negative samples; {at}"),
    )


def _calibration_metrics(data: Labelled, name: str, draws: int, seed: int) -> tuple[Metric, ...]:
    n = len(data.labels)
    empty = undefined("no labelled sample")
    options: dict[str, Any] = {"draws": draws, "seed": seed}
    score = brier(data.labels, data.scores, data.groups, **options) if n else empty
    error = expected_calibration_error(data.labels, data.scores, data.groups, **options) if n else empty
    return (
        named("brier", "Brier score", name, score, n, "samples", higher_is_better=False),
        named("ece", "Expected calibration error", name, error, n, "samples; 10 bins", higher_is_better=False),
    )


def roc_area(data: Labelled) -> Interval:
    """Area under the ROC curve with DeLong's interval, by patient where patients are given."""
    positive = data.labels == 1
    order = np.argsort(~positive, kind="stable")
    groups = None if data.groups is None else [data.groups[int(i)] for i in order]
    return auc_interval(data.scores[positive], data.scores[~positive], groups)


def _curves(data: Labelled, name: str, threshold: float | None, probabilities: bool) -> tuple[Curve, ...]:
    curves: tuple[Curve, ...] = ()
    if _both(data):
        curves = (
            roc(data, titled("ROC", name), threshold=threshold),
            precision_recall(data, titled("Precision and recall", name)),
        )
    if probabilities and len(data.labels):
        curves += (calibration_curve(data.labels, data.scores, titled("Calibration", name)),)
    return curves


def named(
    kind: str, label: str, name: str, interval: Interval, n: int, note: str = "", *, higher_is_better: bool = True
) -> Metric:
    """A metric ``kind.name`` labelled ``label: name``; without a name, just the kind.

    Args:
        kind: What is measured, for programs.
        label: The same, for people.
        name: Of what: a class or a task.
        interval: The figure.
        n: Units counted.
        note: What the units are.
        higher_is_better: Whether it is.
    """
    return Metric(f"{kind}.{name}" if name else kind, titled(label, name), interval, n, note, higher_is_better)


def titled(title: str, name: str) -> str:
    """A title with the class's name, if it has one."""
    return f"{title}: {name}" if name else title


def _both(data: Labelled) -> bool:
    return len(np.unique(data.labels)) == 2


def _missing(data: Labelled) -> str:
    word = "positive" if not (data.labels == 1).any() else "negative"
    return f"no {word} among {len(data.labels)} labelled"
