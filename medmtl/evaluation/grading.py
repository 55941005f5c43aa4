"""Classification into one of several classes, and ordered grades: confusion, accuracy, quadratic kappa."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.evaluation.classification import named, titled
from medmtl.evaluation.intervals import (
    DRAWS,
    FloatArray,
    Groups,
    bootstrap_sums,
    group_codes,
    group_sums,
    undefined,
    wilson,
)
from medmtl.evaluation.labels import Labelled, known_only
from medmtl.evaluation.probabilities import probability_findings
from medmtl.evaluation.results import Confusion, Findings, Interval, Table


def quadratic_kappa(confusion: npt.ArrayLike, *, weights: str = "quadratic") -> FloatArray:
    """Cohen's weighted kappa (Cohen 1968) of confusion matrices.

    Args:
        confusion: Counts, truth in rows, shape (..., classes, classes).
        weights: "quadratic", or "none" for Cohen's unweighted kappa.

    Returns:
        Kappa in [-1, 1], shape (...); NaN where truth and prediction are all of one and the same class.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    grades = np.arange(counts.shape[-1])
    apart = grades[:, None] - grades[None, :]
    cost = apart**2.0 if weights == "quadratic" else (apart != 0).astype(float)
    total = counts.sum(axis=(-2, -1))
    expected = counts.sum(axis=-1)[..., :, None] * counts.sum(axis=-2)[..., None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = (cost * expected).sum(axis=(-2, -1)) / total
        kappa: FloatArray = np.where(chance > 0, 1 - (cost * counts).sum(axis=(-2, -1)) / chance, np.nan)
    return kappa


def confusion_counts(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> npt.NDArray[np.int64]:
    """Counts how often each class was taken for each.

    Args:
        truth: Class numbers 0 .. classes - 1, shape (samples,).
        predicted: Class numbers, shape (samples,).
        classes: The number of classes.

    Returns:
        Counts of shape (classes, classes), truth in rows.
    """
    pairs = np.asarray(truth, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def kappa_interval(
    data: Labelled, classes: int, *, weights: str = "quadratic", draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Weighted kappa of known labels and predicted classes, with a bootstrap interval over patients.

    Args:
        data: Known class numbers as labels, predicted ones as scores.
        classes: The number of classes.
        weights: "quadratic", or "none" for Cohen's unweighted kappa.
        draws: Bootstrap draws.
        seed: Bootstrap seed.
    """
    pairs = (data.labels * classes + data.scores).astype(np.int64)
    sums = group_sums(np.eye(classes * classes)[pairs], group_codes(data.groups, len(pairs)))

    def statistic(summed: FloatArray) -> FloatArray:
        return quadratic_kappa(summed.reshape(*summed.shape[:-1], classes, classes), weights=weights)

    found = bootstrap_sums(sums, statistic, draws=draws, seed=seed)
    return found if np.isfinite(found.value) else undefined("truth and prediction are all of one class")


def grading_findings(
    labels: npt.ArrayLike,
    predicted: npt.ArrayLike,
    classes: Sequence[str],
    *,
    probabilities: npt.ArrayLike | None = None,
    groups: Groups | None = None,
    ordinal: bool = True,
    name: str = "",
    draws: int = DRAWS,
    seed: int = 0,
) -> Findings:
    """All figures of a multi-class or ordinal task.

    Args:
        labels: Class numbers 0 .. classes - 1, or NaN (unknown: left out and counted), shape (samples,).
        predicted: Predicted class numbers, shape (samples,).
        classes: Names of the classes, in order.
        probabilities: Of each class, shape (samples, classes), for areas under the curve and calibration; None: none.
        groups: The patient of each sample; None makes each sample its own.
        ordinal: Whether the classes are ordered grades: kappa is quadratic then, unweighted otherwise.
        name: Task name, ends metric names and titles.
        draws: Bootstrap draws.
        seed: Bootstrap seed.

    Returns:
        Metrics ``accuracy`` and ``quadratic_kappa`` (or ``kappa``), the confusion matrix, and a table of recall and
        precision a class; with probabilities also what ``probability_findings`` gives.

    Raises:
        EvaluationError: As ``known_only``; a prediction outside the classes; as ``probability_findings``.
    """
    allowed = range(len(classes))
    data = known_only(labels, predicted, groups, allowed=allowed)
    known_only(data.scores, data.scores, allowed=allowed)
    n = len(data.labels)
    counts = confusion_counts(data.labels, data.scores, len(classes))
    options: dict[str, Any] = {"weights": "quadratic" if ordinal else "none", "draws": draws, "seed": seed}
    kappa = kappa_interval(data, len(classes), **options) if n else undefined("no labelled sample")
    word, label = ("quadratic_kappa", "Quadratic kappa") if ordinal else ("kappa", "Cohen's kappa")
    metrics = (
        named("accuracy", "Accuracy", name, wilson(int(np.trace(counts)), n), n, "samples"),
        named(word, label, name, kappa, n, "samples"),
    )
    confusion = Confusion(
        tuple(classes), tuple(tuple(int(c) for c in row) for row in counts), titled("Confusion matrix", name)
    )
    missing = [grade for grade, row in zip(classes, counts, strict=True) if not row.sum()]
    notes = (f"no labelled sample of: {', '.join(missing)}",) if missing else ()
    tables = (_by_class(counts, classes, name),)
    found = Findings(metrics, (), (confusion,), tables, n, data.unlabelled, notes)
    if probabilities is None:
        return found
    more = probability_findings(data, probabilities, classes, ordinal=ordinal, name=name, draws=draws, seed=seed)
    return replace(found, metrics=metrics + more.metrics, curves=more.curves, tables=tables + more.tables)


def _by_class(counts: npt.NDArray[np.int64], classes: Sequence[str], name: str) -> Table:
    rows = []
    for index, label in enumerate(classes):
        recall = wilson(int(counts[index, index]), int(counts[index].sum()))
        precision = wilson(int(counts[index, index]), int(counts[:, index].sum()))
        rows.append([label, int(counts[index].sum()), *_three(recall), *_three(precision)])
    columns = [
        "class",
        "samples",
        "recall",
        "recall_low",
        "recall_high",
        "precision",
        "precision_low",
        "precision_high",
    ]
    frame = pd.DataFrame(rows, columns=columns)
    return Table(f"classes.{name}" if name else "classes", titled("By class", name), frame, "Wilson 95 % intervals.")


def _three(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high
