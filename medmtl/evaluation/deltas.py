"""How far a multi-task network is from single-task ones: Δ_m, Δp, and ranks; nothing but arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import BoolArray, FloatArray


def relative_drops(values: npt.ArrayLike, baseline: npt.ArrayLike, higher_is_better: npt.ArrayLike) -> FloatArray:
    """Relative change of each metric, turned so that a positive one is a loss.

    The size of the baseline is its absolute value: a kappa below zero must not turn the sign. Relative changes explode
    where the baseline is small, as the figures of the literature show.

    Args:
        values: Metrics, shape (..., metrics).
        baseline: The same of single-task networks, shape (..., metrics).
        higher_is_better: Shape (metrics,).

    Returns:
        Fractions, shape (..., metrics); NaN where a value is missing or the baseline is 0.
    """
    found, base = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    sign = np.where(np.asarray(higher_is_better, dtype=bool), -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = sign * (found - base) / np.abs(base)
    result: FloatArray = np.where(np.isfinite(change), change, np.nan)
    return result


def delta_m(values: npt.ArrayLike, baseline: npt.ArrayLike, higher_is_better: npt.ArrayLike) -> FloatArray:
    """Δ_m of arXiv 2311.04698: mean relative loss against single-task networks; lower is better.

    Every metric counts equally, so a task with many metrics dominates.

    Args:
        values: Metrics, shape (..., metrics).
        baseline: The same of single-task networks.
        higher_is_better: Shape (metrics,).

    Returns:
        Fractions, shape (...); NaN where any metric is missing.
    """
    drops = relative_drops(values, baseline, higher_is_better)
    return np.asarray(drops.mean(axis=-1)) if drops.shape[-1] else np.full(drops.shape[:-1], np.nan)


def delta_p(
    values: npt.ArrayLike, baseline: npt.ArrayLike, higher_is_better: npt.ArrayLike, tasks: Sequence[str]
) -> FloatArray:
    """Δp of LibMTL: mean relative gain against single-task networks; higher is better.

    The metrics of a task are averaged first, so that every task counts equally.

    Args:
        values: Metrics, shape (..., metrics).
        baseline: The same of single-task networks.
        higher_is_better: Shape (metrics,).
        tasks: The task of each metric.

    Returns:
        Fractions, shape (...); NaN where any metric is missing.

    Raises:
        EvaluationError: Not one task a metric.
    """
    drops = relative_drops(values, baseline, higher_is_better)
    if len(tasks) != drops.shape[-1]:
        raise EvaluationError("tasks and metrics differ in number", found=f"{len(tasks)} and {drops.shape[-1]}")
    names = list(dict.fromkeys(tasks))
    if not names:
        return np.full(drops.shape[:-1], np.nan)
    per_task = [drops[..., [place for place, task in enumerate(tasks) if task == name]].mean(axis=-1) for name in names]
    return np.asarray(-np.mean(per_task, axis=0))


def ranks(values: npt.ArrayLike, higher_is_better: npt.ArrayLike) -> FloatArray:
    """Ranks the rows in each metric, 1 = best, equal ones sharing their mean rank.

    Args:
        values: Shape (rows, metrics); NaN has no rank and takes none from others.
        higher_is_better: Shape (metrics,).

    Returns:
        Shape (rows, metrics); NaN where the value is.
    """
    table = np.asarray(values, dtype=np.float64)
    upward: BoolArray = np.asarray(higher_is_better, dtype=bool)
    cost = np.where(upward, -table, table)
    return np.asarray(stats.rankdata(cost, axis=0, nan_policy="omit"), dtype=np.float64).reshape(table.shape)


def non_dominated(points: npt.ArrayLike) -> BoolArray:
    """Marks the points of the trade-off front: nobody is at least as good everywhere and better somewhere.

    Args:
        points: Shape (points, axes), higher is better; a point with a NaN is never on the front.
    """
    table = np.asarray(points, dtype=np.float64)
    known: BoolArray = np.asarray(np.isfinite(table).all(axis=1))
    as_good: BoolArray = np.asarray((table[None, :, :] >= table[:, None, :]).all(axis=2))
    better: BoolArray = np.asarray((table[None, :, :] > table[:, None, :]).any(axis=2))
    beaten: BoolArray = np.asarray((as_good & better & known[None, :]).any(axis=1))
    return known & ~beaten
