"""Intervals of figures that several seeds of several networks have on the same patients: in pairs, over both.

Seeds and images are crossed, not nested: every seed is evaluated on the same images, so one draw takes a set of seeds
and one set of patients for all of them. (A new set of patients for each seed would average the patients' share away.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import stats

from medmtl.evaluation.intervals import FloatArray, IntArray, draw_weights, percentile_interval, undefined
from medmtl.evaluation.results import Interval

LEAST_SEEDS = 6
"""Below it no p-value is given: with 5 pairs the smallest two-sided one of a sign-flip test is 2 / 32 = 0.0625."""

_MOST_FLIPS = 2**16


def patient_draws(patients: Iterable[str], *, draws: int, seed: int) -> tuple[dict[str, int], IntArray]:
    """How often each patient is taken in each draw: the same for all networks, so that they are compared in pairs.

    Args:
        patients: Names; in any order, and repeated or not.
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        The column of each patient, and counts of shape (draws, patients).
    """
    names = sorted(set(patients))
    blocks = list(draw_weights(len(names), draws=draws, seed=seed)) if names else []
    counts = np.concatenate(blocks) if blocks else np.zeros((draws, 0), dtype=np.int64)
    return {name: place for place, name in enumerate(names)}, counts


def over_patients(values: npt.ArrayLike, replicates: npt.ArrayLike) -> Interval:
    """Interval of a mean over seeds where only the patients are drawn: what holds for these very networks.

    Args:
        values: The figure (or a paired difference) of each seed, shape (seeds,); NaN seeds are left out.
        replicates: The same in each draw of patients, shape (seeds, draws).
    """
    kept, table = _known(values, replicates)
    return _interval(kept, table.mean(axis=0) if len(kept) else np.empty(0), "patients")


def over_seeds_and_patients(values: npt.ArrayLike, replicates: npt.ArrayLike, *, seed: int = 0) -> Interval:
    """Interval of a mean over seeds where seeds and patients are drawn: what holds for another training, too.

    Args:
        values: The figure (or a paired difference) of each seed, shape (seeds,); NaN seeds are left out.
        replicates: The same in each draw of patients, shape (seeds, draws).
        seed: Seed of the draws of seeds: the same for all rows, so that they stay paired.

    Returns:
        The mean and its percentile interval; with one seed only the patients vary, and ``method`` says so.
    """
    kept, table = _known(values, replicates)
    if len(kept) < 2:
        return over_patients(values, replicates)
    taken = np.random.default_rng([seed, len(kept)]).integers(len(kept), size=(table.shape[1], len(kept)))
    drawn = np.take_along_axis(table.T, taken, axis=1).mean(axis=1)
    return _interval(kept, drawn, f"{len(kept)} seeds and patients")


def sign_flip_p(differences: npt.ArrayLike) -> float:
    """Two-sided p-value of paired differences, by flipping their signs; exact up to 16 pairs.

    Args:
        differences: One a seed, shape (seeds,); NaN is left out.

    Returns:
        NaN with fewer than :data:`LEAST_SEEDS` seeds.
    """
    found = np.asarray(differences, dtype=np.float64)
    found = found[np.isfinite(found)]
    if len(found) < LEAST_SEEDS:
        return math.nan
    test = stats.permutation_test(
        (found,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_MOST_FLIPS,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def mean_and_sd(values: npt.ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) over seeds; NaN seeds are left out, and one seed has no spread."""
    found = np.asarray(values, dtype=np.float64)
    found = found[np.isfinite(found)]
    mean = float(found.mean()) if len(found) else math.nan
    return mean, float(found.std(ddof=1)) if len(found) > 1 else math.nan


def _known(values: npt.ArrayLike, replicates: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    found, table = np.asarray(values, dtype=np.float64), np.asarray(replicates, dtype=np.float64)
    kept = np.isfinite(found)
    return found[kept], table[kept]


def _interval(values: FloatArray, drawn: FloatArray, unit: str) -> Interval:
    if not len(values):
        return undefined("no seed has this figure")
    value = float(values.mean())
    if not np.isfinite(drawn).any():
        return Interval(value, method="no interval: the figure cannot be made from single images")
    return percentile_interval(value, drawn, unit=unit)
