"""Is a probability of 0.8 right eight times in ten? Brier score, expected calibration error, reliability curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import (
    FloatArray,
    Groups,
    bootstrap_mean,
    bootstrap_sums,
    group_codes,
    group_sums,
    wilson,
)
from medmtl.evaluation.results import Curve, Interval

BINS = 10


def check_probabilities(probabilities: FloatArray) -> None:
    """Refuses scores outside [0, 1].

    Raises:
        EvaluationError: A score is outside [0, 1].
    """
    outside = np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)))
    if outside.size:
        raise EvaluationError(
            "calibration needs probabilities in [0, 1]",
            where=f"sample {outside[0]}",
            found=probabilities[outside[0]],
            remedy="pass the activation's output, not the logit",
        )


def brier(labels: FloatArray, probabilities: FloatArray, groups: Groups | None = None, **options: Any) -> Interval:
    """Mean squared difference of probability and label (Brier 1950), in [0, 1], lower is better.

    Args:
        labels: 0 or 1, shape (samples,).
        probabilities: In [0, 1], shape (samples,).
        groups: The patient of each sample; None makes each sample its own.
        options: As for ``bootstrap_mean``.

    Raises:
        EvaluationError: A probability is outside [0, 1].
    """
    check_probabilities(probabilities)
    return bootstrap_mean((probabilities - labels) ** 2, groups, **options)


def bin_sums(labels: FloatArray, probabilities: FloatArray, bins: int = BINS) -> FloatArray:
    """Per sample what calibration adds up: count, probability and label in each of ``bins`` bins of equal width.

    Args:
        labels: 0 or 1, shape (samples,).
        probabilities: In [0, 1], shape (samples,).
        bins: Number of bins; a probability on an edge belongs to the bin above, 1.0 to the last.

    Returns:
        Shape (samples, 3 * bins): counts, then probabilities, then labels.
    """
    place = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    member = np.eye(bins)[place]
    return np.concatenate([member, member * probabilities[:, None], member * labels[:, None]], axis=1)


def calibration_error(sums: FloatArray) -> FloatArray:
    """Expected calibration error (Naeini 2015) of summed ``bin_sums``, shape (..., 3 * bins) to (...), in [0, 1]."""
    count, predicted, observed = np.split(sums, 3, axis=-1)
    gaps: FloatArray = np.abs(predicted - observed).sum(axis=-1) / count.sum(axis=-1)
    return gaps


def expected_calibration_error(
    labels: FloatArray, probabilities: FloatArray, groups: Groups | None = None, *, bins: int = BINS, **options: Any
) -> Interval:
    """Mean gap between probability and frequency over bins of equal width, weighted by their samples.

    It is biased upwards on few samples, and so is its interval; read it beside the reliability curve.

    Args:
        labels: 0 or 1, shape (samples,).
        probabilities: In [0, 1], shape (samples,).
        groups: The patient of each sample; None makes each sample its own.
        bins: Number of bins.
        options: As for ``bootstrap_sums``.

    Raises:
        EvaluationError: A probability is outside [0, 1].
    """
    check_probabilities(probabilities)
    codes = group_codes(groups, len(labels))
    return bootstrap_sums(group_sums(bin_sums(labels, probabilities, bins), codes), calibration_error, **options)


def calibration_curve(labels: npt.ArrayLike, probabilities: npt.ArrayLike, title: str, *, bins: int = BINS) -> Curve:
    """Frequency of the label against mean probability, one point a bin that has samples, with Wilson's intervals.

    Args:
        labels: 0 or 1, shape (samples,).
        probabilities: In [0, 1], shape (samples,).
        title: Title of the curve.
        bins: Number of bins.

    Raises:
        EvaluationError: A probability is outside [0, 1].
    """
    truth, scores = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    check_probabilities(scores)
    count, predicted, observed = np.split(bin_sums(truth, scores, bins).sum(axis=0), 3)
    used = count > 0
    shares = [wilson(hits, total) for hits, total in zip(observed[used], count[used], strict=True)]
    return Curve(
        kind="calibration",
        title=title,
        x=tuple(predicted[used] / count[used]),
        y=tuple(share.value for share in shares),
        x_label="Mean predicted probability",
        y_label="Observed frequency",
        low=tuple(share.low for share in shares),
        high=tuple(share.high for share in shares),
        caption=f"{bins} bins of equal width, empty ones left out; bars are Wilson 95 % intervals.",
    )
