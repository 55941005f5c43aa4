"""Probabilities of one of several classes: each against the rest, a grade or higher, and their calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.evaluation.calibration import calibration_curve, check_probabilities, expected_calibration_error
from medmtl.evaluation.classification import average_precision, named, roc, roc_area, titled
from medmtl.evaluation.intervals import DRAWS, FloatArray, undefined
from medmtl.evaluation.labels import Labelled
from medmtl.evaluation.results import Curve, Findings, Interval, Metric, Table


@dataclass(frozen=True)
class _Question:
    """A yes/no question asked of the probabilities: ``grade=2``, or ``grade>=2``."""

    name: str
    title: str
    cumulative: bool
    data: Labelled

    @property
    def positives(self) -> int:
        return int(self.data.labels.sum())

    @property
    def answerable(self) -> bool:
        return 0 < self.positives < len(self.data.labels)


def probability_findings(
    data: Labelled,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    ordinal: bool = True,
    name: str = "",
    draws: int = DRAWS,
    seed: int = 0,
) -> Findings:
    """Figures of the probabilities of classes that exclude each other.

    Args:
        data: Known class numbers as labels, predicted class numbers as scores.
        probabilities: Of each class for every sample, the unlabelled included, shape (samples, classes).
        classes: Names of the classes, in order.
        ordinal: Whether the classes are ordered, so that "this grade or a higher one" is a question, too.
        name: Task name, begins the names of the questions: ``auc.NAME=CLASS``, and ``auc.NAME>=CLASS`` of grades.
        draws: Bootstrap draws.
        seed: Bootstrap seed.

    Returns:
        Metrics ``auc`` of every question (DeLong's interval) and ``ece`` of the predicted class (is a prediction given
        0.8 right eight times in ten?), their curves, and a table of area and average precision a question.

    Raises:
        EvaluationError: The probabilities have another shape, or one of a labelled sample is outside [0, 1].
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.shape != (len(data.kept), len(classes)):
        needed = f"({len(data.kept)}, {len(classes)}) for samples and classes"
        raise EvaluationError("probabilities of the wrong shape", found=f"{values.shape}, not {needed}")
    values = values[data.kept]
    for column in values.T:
        check_probabilities(column)
    questions = list(_questions(data, values, classes, name, ordinal))
    drawn = [question for question in questions if question.answerable and question.cumulative == ordinal]
    curves = tuple(roc(question.data, titled("ROC", question.title)) for question in drawn)
    error, reliability = _calibration(data, values, name, {"draws": draws, "seed": seed})
    areas = [roc_area(question.data) for question in questions]
    table = _table(questions, areas, name, {"draws": draws, "seed": seed})
    metrics = tuple(map(_area_metric, questions, areas))
    return Findings((*metrics, error), (*curves, *reliability), (), (table,), len(values))


def _questions(
    data: Labelled, values: FloatArray, classes: Sequence[str], name: str, ordinal: bool
) -> Iterator[_Question]:
    for index, label in enumerate(classes):
        answered = replace(data, labels=(data.labels == index).astype(float), scores=values[:, index])
        yield _Question(f"{name}={label}", f"{name} {label}".strip(), False, answered)
    for index, label in list(enumerate(classes))[1:] if ordinal else []:
        reached = replace(data, labels=(data.labels >= index).astype(float), scores=values[:, index:].sum(axis=1))
        yield _Question(f"{name}>={label}", f"{name} {label} or higher".strip(), True, reached)


def _area_metric(question: _Question, area: Interval) -> Metric:
    n = len(question.data.labels)
    return named("auc", "ROC AUC", question.name, area, n, f"samples; {question.positives} of them positive")


def _calibration(
    data: Labelled, values: FloatArray, name: str, options: dict[str, Any]
) -> tuple[Metric, tuple[Curve, ...]]:
    n = len(values)
    error = undefined("no labelled sample")
    curves: tuple[Curve, ...] = ()
    if n:
        right = (data.labels == data.scores).astype(float)
        given = values[np.arange(n), data.scores.astype(np.int64)]
        error = expected_calibration_error(right, given, data.groups, **options)
        curves = (calibration_curve(right, given, titled("Calibration of the predicted class", name)),)
    note = "samples; 10 bins of the predicted class's probability"
    return named("ece", "Expected calibration error", name, error, n, note, higher_is_better=False), curves


def _table(questions: Sequence[_Question], areas: Sequence[Interval], name: str, options: dict[str, Any]) -> Table:
    rows = []
    for question, area in zip(questions, areas, strict=True):
        precision = average_precision(question.data, **options)
        cells = {"positive": question.title, "samples": len(question.data.labels), "positives": question.positives}
        for key, found in (("auc", area), ("average_precision", precision)):
            cells |= {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}
        rows.append(cells)
    note = "Each row is a question with yes or no: this class against all others, or this grade and those above it."
    return Table(f"ranking.{name}" if name else "ranking", titled("Ranking", name), pd.DataFrame(rows), note)
