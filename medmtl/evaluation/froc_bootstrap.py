"""How the FROC curve of a bootstrap draw is read exactly without drawing it.

A drawn curve differs from the curve itself in the weights of patients only. Where it passes a rate of false positives
is found in two steps: first among stretches of thresholds, whose counts by patient are one matrix product for all
draws, then inside the one stretch that holds the place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from medmtl.evaluation.froc import EPSILON, Ranking
from medmtl.evaluation.intervals import FloatArray, IntArray, draw_weights

Weights: TypeAlias = npt.NDArray[np.floating[Any]]

_STRETCHES = 384

_KEPT = 8_000_000
"""Weights (draws x patients) that are kept for the next class and rule on the same patients."""
_CELLS = 250_000
"""Weights of candidates that are summed at a time."""
_EXACT = 2**24
"""Whole numbers below it are exact in float32, which is twice as fast as float64."""


@dataclass(frozen=True, eq=False)
class Events:
    """Candidates that count, by falling score, cut into stretches of whole thresholds.

    Attributes:
        hit: Lesions newly found, shape (events,).
        false: 1 for false positives, shape (events,).
        group: The patient, shape (events,).
        threshold: Number of the distinct score, shape (events,).
        cuts: Where stretches begin among the events, and the end.
    """

    hit: IntArray
    false: IntArray
    group: IntArray
    threshold: IntArray
    cuts: IntArray


def count_events(pool: Ranking, codes: IntArray) -> Events:
    """Keeps the candidates that count, cut into stretches; a score that many share is a stretch of its own."""
    counts = np.flatnonzero((pool.hit > 0) | (pool.false > 0))
    threshold = np.searchsorted(pool.ends, counts)
    begins = np.flatnonzero(np.append(True, threshold[1:] != threshold[:-1])[: len(threshold)])
    size = np.diff(np.append(begins, len(threshold)))
    step = max(1, -(-len(threshold) // _STRETCHES))
    large = size > step
    apart = np.append(False, (begins[1:] // step != begins[:-1] // step) | large[1:] | large[:-1])[: len(begins)]
    cuts = np.concatenate([[0], begins[apart], [len(threshold)]]).astype(np.int64)
    return Events(pool.hit[counts], pool.false[counts], codes[pool.image[counts]], threshold, cuts)


@lru_cache(maxsize=1)
def _kept_weights(size: int, draws: int, seed: int) -> tuple[Weights, ...]:
    kept = tuple(block.astype(np.float32) for block in draw_weights(size, draws=draws, seed=seed))
    for block in kept:
        block.flags.writeable = False
    return kept


def drawn_weights(size: int, draws: int, seed: int) -> Iterable[Weights]:
    """How often each patient is drawn, in blocks of draws, as float32: whole numbers below 2^24 are exact in it.

    Args:
        size: Number of patients.
        draws: Number of draws.
        seed: Seed of the draws.
    """
    if not size:
        return ()
    if size * draws <= _KEPT:
        return _kept_weights(size, draws, seed)
    return (block.astype(np.float32) for block in draw_weights(size, draws=draws, seed=seed))


def read_draws(events: Events, weights: Weights, totals: FloatArray, rates: FloatArray) -> FloatArray:
    """Reads each drawn curve at the rates: the last point with at most that many false positives.

    Args:
        events: The candidates that count.
        weights: How often each patient is drawn, shape (draws, patients).
        totals: Lesions and images of each patient, shape (patients, 2).
        rates: False positives per image.

    Returns:
        Sensitivities of shape (draws, rates), NaN in draws without a lesion.
    """
    lesions, images = (weights.astype(np.float64) @ totals).T
    limit = images[:, None] * rates + EPSILON
    if float(weights.max(initial=0)) * max(len(events.hit), int(events.hit.sum())) >= _EXACT:
        weights = weights.astype(np.float64)
    found, false = (_stretch_counts(events, part, weights) for part in (events.hit, events.false))
    stretch = np.stack([(false[:, 1:] <= column[:, None]).sum(axis=1) for column in limit.T], axis=1)
    rows = np.arange(len(weights))[:, None]
    hits = found[rows, stretch].astype(np.float64)
    left = limit - false[rows, stretch]
    for number in np.unique(stretch):
        if number + 1 < len(events.cuts):
            draw, rate = np.nonzero(stretch == number)
            part = slice(events.cuts[number], events.cuts[number + 1])
            for some in np.array_split(np.arange(len(draw)), 1 + len(draw) * (part.stop - part.start) // _CELLS):
                mine = draw[some], rate[some]
                hits[mine] += _within(events, part, weights, mine[0], left[mine])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lesions[:, None] > 0, hits / lesions[:, None], np.nan)


def _stretch_counts(events: Events, values: IntArray, weights: Weights) -> Weights:
    """Weighted counts up to the begin of each stretch, and in all; shape (draws, stretches + 1)."""
    stretches, groups = len(events.cuts) - 1, weights.shape[1]
    cell = np.repeat(np.arange(stretches), np.diff(events.cuts)) * groups + events.group
    table = np.bincount(cell, weights=values, minlength=stretches * groups).reshape(stretches, groups)
    counts = np.zeros((len(weights), stretches + 1), dtype=weights.dtype)
    np.cumsum(weights @ table.T.astype(weights.dtype), axis=1, out=counts[:, 1:])
    return counts


def _within(events: Events, part: slice, weights: Weights, draw: IntArray, left: FloatArray) -> Weights:
    """Lesions found inside one stretch before the false positives exceed what is left of them, for some of the draws."""
    threshold = events.threshold[part]
    last = np.flatnonzero(np.append(threshold[1:] != threshold[:-1], True))
    if len(last) == 1:
        return np.zeros(len(draw), dtype=weights.dtype)
    drawn = weights[np.ix_(draw, events.group[part])]
    false = np.cumsum(drawn * events.false[part].astype(weights.dtype), axis=1)[:, last]
    found = np.cumsum(drawn * events.hit[part].astype(weights.dtype), axis=1)[:, last]
    places = (false <= left[:, None]).sum(axis=1)
    return np.where(places > 0, found[np.arange(len(found)), places - 1], 0)
