"""95 % intervals: Wilson for proportions and the bootstrap over patients (the area under the ROC curve: ``delong.py``).

The patient (or any other group) is the unit that is drawn, because two eyes of one patient, or forty lesions of one
eye, are not independent. Whatever cannot be estimated is NaN with the reason in ``Interval.method``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from medmtl.errors import EvaluationError
from medmtl.evaluation.results import Interval

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Groups: TypeAlias = Sequence[Any] | npt.NDArray[Any]

DRAWS = 2000
"""Bootstrap draws where nothing else is asked for: enough for the 2.5th percentile to have 50 draws below it."""

LEVEL = 0.95
_CHUNK = 8_000_000
"""Weights held in memory at once by the bootstrap (draws x units)."""


def undefined(reason: str) -> Interval:
    """Gives the interval of a figure that does not exist, with the reason in its place."""
    return Interval(math.nan, method=f"undefined: {reason}")


def wilson(successes: float, total: float, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927); it holds at 0 and 1 and for few cases.

    Args:
        successes: How many of ``total``.
        total: How many there were; 0 gives an undefined interval.
        level: Confidence level in (0, 1).

    Returns:
        The proportion and its interval, in [0, 1].

    Raises:
        EvaluationError: ``successes`` is not between 0 and ``total``.
    """
    if not 0 <= successes <= total:
        raise EvaluationError("a proportion needs 0 <= successes <= total", found=f"{successes} of {total}")
    if total == 0:
        return undefined("no cases")
    z2 = float(stats.norm.isf((1 - level) / 2)) ** 2
    share = successes / total
    center = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * (share * (1 - share) / total + z2 / (4 * total**2))) / (1 + z2 / total)
    return Interval(share, max(0.0, min(center - half, share)), min(1.0, max(center + half, share)), "Wilson")


def group_codes(groups: Groups | None, size: int) -> IntArray:
    """Numbers the groups 0, 1, ... in order of first appearance; without groups every sample is its own.

    Args:
        groups: One name a sample (a patient), or None.
        size: The number of samples.

    Raises:
        EvaluationError: There are not ``size`` names.
    """
    if groups is None:
        return np.arange(size, dtype=np.int64)
    if len(groups) != size:
        raise EvaluationError("groups and samples differ in number", found=f"{len(groups)} and {size}")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in groups], dtype=np.int64)


def take_groups(groups: Groups | None, kept: BoolArray) -> list[Any] | None:
    """Keeps the groups of the samples that ``kept`` (shape (samples,)) marks; None stays None."""
    return None if groups is None else [name for name, stays in zip(groups, kept, strict=True) if stays]


def group_sums(values: npt.ArrayLike, codes: IntArray) -> FloatArray:
    """Adds up the rows of each group.

    Args:
        values: Shape (samples,) or (samples, statistics).
        codes: Group numbers of shape (samples,), as ``group_codes`` gives them.

    Returns:
        Sums of shape (groups, statistics).
    """
    table = np.asarray(values, dtype=np.float64)
    table = table if table.ndim == 2 else table.reshape(-1, 1)
    sums = np.zeros((int(codes.max(initial=-1)) + 1, table.shape[1]))
    np.add.at(sums, codes, table)
    return sums


def draw_weights(groups: int, *, draws: int = DRAWS, seed: int = 0, width: int | None = None) -> Iterator[IntArray]:
    """Yields how often each group is drawn, in blocks of shape (some draws, groups); each row sums to ``groups``.

    Args:
        groups: The number of groups.
        draws: The number of bootstrap draws in all.
        seed: Seed of the draws: the same seed and number of groups give the same draws, so that two methods on the
            same patients are compared in pairs.
        width: Units a weight will be spread over, where that is more than ``groups``; bounds the memory of a block.
    """
    rng = np.random.default_rng(seed)
    block = max(1, _CHUNK // max(width or groups, groups, 1))
    share = np.full(groups, 1 / groups)
    for start in range(0, draws, block):
        yield rng.multinomial(groups, share, size=min(block, draws - start))


def percentile_interval(
    value: float, replicates: FloatArray, *, level: float = LEVEL, unit: str = "patients"
) -> Interval:
    """Gives the percentile interval of bootstrap replicates; draws in which the figure is undefined are left out.

    Args:
        value: The figure on the sample itself.
        replicates: The figure in each draw, NaN where it is undefined, shape (draws,).
        level: Confidence level in (0, 1).
        unit: What was drawn, as it reads in ``Interval.method``.
    """
    kept = replicates[np.isfinite(replicates)]
    if not math.isfinite(value):
        return undefined("nothing to count")
    if kept.size < len(replicates) / 2:
        return Interval(value, method="no interval: undefined in most bootstrap draws")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), f"bootstrap over {unit}, {len(replicates)} draws")


def bootstrap_sums(
    sums: npt.ArrayLike,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    unit: str = "patients",
) -> Interval:
    """Percentile bootstrap over groups of any figure that is a function of sums.

    Args:
        sums: Sufficient statistics of shape (groups, statistics): per-patient counts, numerators and denominators.
        statistic: From summed statistics of shape (..., statistics) to figures of shape (...).
        draws: Number of draws.
        seed: Seed of the draws.
        level: Confidence level.
        unit: What a group is, as it reads in ``Interval.method``.

    Returns:
        The figure on the sample itself and its interval; no interval with fewer than two groups.
    """
    table = np.asarray(sums, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(table.sum(axis=0)))
        if len(table) < 2:
            return too_few(value, unit)
        blocks = [statistic(weights @ table) for weights in draw_weights(len(table), draws=draws, seed=seed)]
    return percentile_interval(value, np.concatenate(blocks), level=level, unit=unit)


def too_few(value: float, unit: str = "patients") -> Interval:
    """Gives a value without an interval, because fewer than two groups were seen."""
    return (
        Interval(value, method=f"no interval: fewer than two {unit}") if math.isfinite(value) else undefined("no data")
    )


def ratio(sums: FloatArray) -> FloatArray:
    """Statistic of ``bootstrap_sums``: first sum over second sum, NaN where the second is 0."""
    return np.where(sums[..., 1] > 0, sums[..., 0] / np.where(sums[..., 1] > 0, sums[..., 1], 1), np.nan)


def bootstrap_mean(values: npt.ArrayLike, groups: Groups | None = None, **options: Any) -> Interval:
    """Mean over samples with a bootstrap interval over groups; NaN samples are left out.

    Args:
        values: One figure a sample, shape (samples,).
        groups: The patient of each sample; None makes each sample its own.
        options: As for ``bootstrap_sums``.
    """
    samples = np.asarray(values, dtype=np.float64)
    kept = np.isfinite(samples)
    if not kept.any():
        return undefined("no sample has this figure")
    codes = group_codes(take_groups(groups, kept), int(kept.sum()))
    table = np.column_stack([samples[kept], np.ones(kept.sum())])
    return bootstrap_sums(group_sums(table, codes), ratio, **options)
