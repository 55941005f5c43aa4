"""Figures of a data set from one row a sample, with weights: what a bootstrap over patients needs, without the network.

The columns are those of ``samples/TASK.csv`` that an evaluation writes: a figure of each sample under the name of the
metric whose mean it is (``dice.CLASS``), or ``label`` and ``predicted`` class, ``label.CLASS`` and ``score.CLASS``,
``probability.CLASS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from medmtl.evaluation.grading import quadratic_kappa
from medmtl.evaluation.intervals import BoolArray, FloatArray

Columns: TypeAlias = Mapping[str, FloatArray]
Statistic: TypeAlias = Callable[[FloatArray], FloatArray]
"""From weights of shape (draws, samples) to figures of shape (draws,), NaN where undefined."""

_BLOCK = 4_000_000


def sample_statistic(metric: str, columns: Columns) -> Statistic | None:
    """How a metric is made from the rows of single samples.

    Args:
        metric: Its name in ``metrics.json``: ``dice.vessel``, ``accuracy.disease``, ``auc.dr``, ``auc.grade>=2``, ...
        columns: One number a sample, by column, each of shape (samples,); NaN where unknown.

    Returns:
        The statistic; None for a metric that single rows do not give.
    """
    kind, _, name = metric.partition(".")
    if metric in columns:
        return _mean_of(columns[metric])
    if {"label", "predicted"} <= set(columns) and kind in _GRADED:
        return _GRADED[kind](columns["label"], columns["predicted"], _classes(columns))
    if kind not in _RANKED:
        return None
    pair = _question(name, columns)
    return None if pair is None else _RANKED[kind](*pair)


def replicates(statistic: Statistic, weights: npt.ArrayLike) -> FloatArray:
    """Figures of many draws, a block at a time.

    Args:
        statistic: What :func:`sample_statistic` gave.
        weights: Shape (draws, samples).
    """
    table = np.asarray(weights, dtype=np.float64)
    size = max(1, _BLOCK // max(1, table.shape[1]))
    blocks = [statistic(table[start : start + size]) for start in range(0, len(table), size)]
    return np.concatenate(blocks) if blocks else np.empty(0)


def _mean_of(values: FloatArray) -> Statistic:
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    return lambda weights: _divided(weights @ filled, weights @ known.astype(np.float64))


def _accuracy(labels: FloatArray, predicted: FloatArray, classes: int) -> Statistic:
    return _mean_of(np.where(np.isfinite(labels), labels == predicted, np.nan))


def _kappa(kind: str) -> Callable[[FloatArray, FloatArray, int], Statistic]:
    def make(labels: FloatArray, predicted: FloatArray, classes: int) -> Statistic:
        known = np.isfinite(labels)
        pairs = np.where(known, labels * classes + predicted, 0).astype(np.int64)
        cells = np.eye(classes * classes)[pairs] * known[:, None]
        return lambda weights: quadratic_kappa((weights @ cells).reshape(-1, classes, classes), weights=kind)

    return make


def _auc(labels: FloatArray, scores: FloatArray) -> Statistic:
    """The share of pairs that are in the right order, ties counting half (Mann and Whitney)."""
    order, truth, starts = _sorted(labels, scores)

    def statistic(weights: FloatArray) -> FloatArray:
        drawn = weights[:, order]
        positive = np.add.reduceat(drawn * truth, starts, axis=1)
        negative = np.add.reduceat(drawn * (1 - truth), starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        return _divided((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))

    return statistic if len(starts) else _nothing


def _average_precision(labels: FloatArray, scores: FloatArray) -> Statistic:
    """Precision at each rise of recall; equal scores enter together."""
    order, truth, starts = _sorted(labels, -scores)

    def statistic(weights: FloatArray) -> FloatArray:
        drawn = weights[:, order]
        gained = np.add.reduceat(drawn * truth, starts, axis=1)
        called = np.cumsum(np.add.reduceat(drawn, starts, axis=1), axis=1)
        hits = np.cumsum(gained, axis=1)
        precision = np.where(called > 0, hits / np.where(called > 0, called, 1), 0)
        return _divided((gained * precision).sum(axis=1), hits[:, -1])

    return statistic if len(starts) else _nothing


def _brier(labels: FloatArray, scores: FloatArray) -> Statistic:
    return _mean_of((labels - scores) ** 2)


def _nothing(weights: FloatArray) -> FloatArray:
    return np.full(len(weights), np.nan)


def _sorted(labels: FloatArray, scores: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray, npt.NDArray[np.int64]]:
    """Known samples by rising score, their labels, and where each group of equal scores starts."""
    known: BoolArray = np.isfinite(labels)
    order = np.flatnonzero(known)[np.argsort(scores[known], kind="stable")]
    ordered = scores[order]
    starts = np.flatnonzero(np.append(True, np.diff(ordered) != 0)) if len(order) else np.empty(0, dtype=np.int64)
    return order, labels[order], starts


def _classes(columns: Columns) -> int:
    return sum(name.startswith("probability.") for name in columns)


def _question(name: str, columns: Columns) -> tuple[FloatArray, FloatArray] | None:
    """Labels of 0 and 1 and scores of a class, of one class against the rest, or of a grade and those above it."""
    if f"label.{name}" in columns and f"score.{name}" in columns:
        return columns[f"label.{name}"], columns[f"score.{name}"]
    names = [column.removeprefix("probability.") for column in columns if column.startswith("probability.")]
    for sign in (">=", "="):
        wanted = name.partition(sign)[2]
        if wanted in names and "label" in columns:
            return _one_against_rest(names, names.index(wanted), columns, cumulative=sign == ">=")
    return None


def _one_against_rest(
    names: list[str], index: int, columns: Columns, *, cumulative: bool
) -> tuple[FloatArray, FloatArray]:
    grades = columns["label"]
    taken = names[index:] if cumulative else [names[index]]
    scores = np.sum([columns[f"probability.{name}"] for name in taken], axis=0)
    yes = grades >= index if cumulative else grades == index
    return np.where(np.isfinite(grades), yes, np.nan), scores


def _divided(part: FloatArray, whole: FloatArray) -> FloatArray:
    result: FloatArray = np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
    return result


_GRADED: dict[str, Callable[[FloatArray, FloatArray, int], Statistic]] = {
    "accuracy": _accuracy,
    "quadratic_kappa": _kappa("quadratic"),
    "kappa": _kappa("none"),
}
_RANKED: dict[str, Callable[[FloatArray, FloatArray], Statistic]] = {
    "auc": _auc,
    "average_precision": _average_precision,
    "brier": _brier,
}
