"""Bootstrap of the FROC curve over patients: exact readings of every drawn curve, without drawing it.

A drawn curve differs from the curve itself in the weights of patients only. Where it passes a rate of false positives
is found in two steps: first among stretches of thresholds, whose counts by patient are one matrix product for all
draws, then inside the one stretch that holds the place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from medmtl.errors import EvaluationError
from medmtl.evaluation.froc import EPSILON, STRICT, Counting, Ranking, pooled_froc, ranking
from medmtl.evaluation.intervals import (
    DRAWS,
    FloatArray,
    Groups,
    IntArray,
    draw_weights,
    group_codes,
    group_sums,
    percentile_interval,
    too_few,
)
from medmtl.evaluation.lesions import Matches
from medmtl.evaluation.results import Interval

_Weights: TypeAlias = npt.NDArray[np.floating[Any]]

_STRETCHES = 384

_KEPT = 8_000_000
"""Weights (draws x patients) that are kept for the next class and rule on the same patients."""
_CELLS = 250_000
"""Weights of candidates that are summed at a time."""
_EXACT = 2**24
"""Whole numbers below it are exact in float32, which is twice as fast as float64."""


@dataclass(frozen=True, eq=False)
class _Events:
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


def froc_replicates(
    images: Sequence[Matches],
    rates: npt.ArrayLike,
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> FloatArray:
    """Sensitivities at rates of false positives in bootstrap draws of patients.

    Args:
        images: The matches of every evaluated image.
        rates: False positives per image, shape (rates,).
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws; the same seed and groups draw the same, so that two methods can be compared in pairs.
        counting: How outcomes are counted.

    Returns:
        Shape (draws, rates); NaN in draws without a lesion.
    """
    codes = group_codes(groups, len(images))
    size = int(codes.max(initial=-1)) + 1
    events = _events(ranking(images, counting), codes)
    asked, places = np.unique(np.asarray(rates, dtype=np.float64), return_inverse=True)
    totals = np.column_stack(
        [group_sums([image.lesions for image in images], codes), np.bincount(codes, minlength=size)]
    )
    rows = [_read(events, weights, totals, asked) for weights in _weights(size, draws, seed)]
    return np.concatenate(rows)[:, places] if rows else np.empty((0, len(places)))


def froc_intervals(
    images: Sequence[Matches],
    rates: Sequence[float],
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> tuple[tuple[Interval, ...], Interval]:
    """Sensitivity at each rate, and their mean (the CPM at the seven standard rates), with bootstrap intervals.

    Args:
        images: The matches of every evaluated image.
        rates: False positives per image.
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws.
        counting: How outcomes are counted.
    """
    curve = pooled_froc(images, counting)
    values = [curve.sensitivity_at(rate).sensitivity for rate in rates]
    mean = float(np.mean(values))
    if int(group_codes(groups, len(images)).max(initial=-1)) < 1:
        return tuple(too_few(value) for value in values), too_few(mean)
    drawn = froc_replicates(images, rates, groups, draws=draws, seed=seed, counting=counting)
    each = tuple(percentile_interval(value, column) for value, column in zip(values, drawn.T, strict=True))
    return each, percentile_interval(mean, drawn.mean(axis=1))


def paired_froc_difference(
    images: Sequence[Matches],
    others: Sequence[Matches],
    rates: Sequence[float],
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> tuple[Interval, ...]:
    """Difference of two models' sensitivities on the same images, in pairs: each draw takes one set of patients for both.

    Args:
        images: The matches of one model, image by image.
        others: The matches of the other model on the same images in the same order.
        rates: False positives per image; each model is read at its own threshold for that rate.
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws.
        counting: How outcomes are counted.

    Returns:
        One minus other at each rate, in [-1, 1]; an interval without 0 is a difference at the 5 % level.

    Raises:
        EvaluationError: The images differ in number or in their lesions.
    """
    lesions = [[image.lesions for image in part] for part in (images, others)]
    if lesions[0] != lesions[1]:
        raise EvaluationError(
            "a paired comparison needs the same images with the same lesions, in the same order",
            found=f"{len(images)} images with {sum(lesions[0])} lesions, {len(others)} with {sum(lesions[1])}",
        )
    curves = [pooled_froc(part, counting) for part in (images, others)]
    values = [curves[0].sensitivity_at(rate).sensitivity - curves[1].sensitivity_at(rate).sensitivity for rate in rates]
    if int(group_codes(groups, len(images)).max(initial=-1)) < 1:
        return tuple(too_few(value) for value in values)
    drawn = [
        froc_replicates(part, rates, groups, draws=draws, seed=seed, counting=counting) for part in (images, others)
    ]
    pairs = zip(values, (drawn[0] - drawn[1]).T, strict=True)
    return tuple(percentile_interval(value, column) for value, column in pairs)


def lesion_precision_interval(
    images: Sequence[Matches],
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> Interval:
    """Average precision of lesions (``Froc.average_precision``) with its bootstrap interval.

    Args:
        images: The matches of every evaluated image.
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws.
        counting: How outcomes are counted.
    """
    value = pooled_froc(images, counting).average_precision
    codes = group_codes(groups, len(images))
    size = int(codes.max(initial=-1)) + 1
    if size < 2:
        return too_few(value)
    found, false = _segments(ranking(images, counting), codes, size)
    lesions = group_sums([image.lesions for image in images], codes).ravel()
    rows = []
    for weights in draw_weights(size, draws=draws, seed=seed, width=4 * found.shape[0]):
        gained = np.asarray(found @ weights.T)
        above = np.cumsum(gained, axis=0)
        called = np.maximum(above + np.cumsum(np.asarray(false @ weights.T), axis=0), 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            rows.append((gained * above / called).sum(axis=0) / (weights @ lesions))
    return percentile_interval(value, np.concatenate(rows))


def _events(pool: Ranking, codes: IntArray) -> _Events:
    """Keeps the candidates that count, cut into stretches; a score that many share is a stretch of its own."""
    counts = np.flatnonzero((pool.hit > 0) | (pool.false > 0))
    threshold = np.searchsorted(pool.ends, counts)
    begins = np.flatnonzero(np.append(True, threshold[1:] != threshold[:-1])[: len(threshold)])
    size = np.diff(np.append(begins, len(threshold)))
    step = max(1, -(-len(threshold) // _STRETCHES))
    large = size > step
    apart = np.append(False, (begins[1:] // step != begins[:-1] // step) | large[1:] | large[:-1])[: len(begins)]
    cuts = np.concatenate([[0], begins[apart], [len(threshold)]]).astype(np.int64)
    return _Events(pool.hit[counts], pool.false[counts], codes[pool.image[counts]], threshold, cuts)


@lru_cache(maxsize=1)
def _kept_weights(size: int, draws: int, seed: int) -> tuple[_Weights, ...]:
    kept = tuple(block.astype(np.float32) for block in draw_weights(size, draws=draws, seed=seed))
    for block in kept:
        block.flags.writeable = False
    return kept


def _weights(size: int, draws: int, seed: int) -> Iterable[_Weights]:
    """How often each patient is drawn, in blocks of draws, as float32: whole numbers below 2^24 are exact in it."""
    if not size:
        return ()
    if size * draws <= _KEPT:
        return _kept_weights(size, draws, seed)
    return (block.astype(np.float32) for block in draw_weights(size, draws=draws, seed=seed))


def _read(events: _Events, weights: _Weights, totals: FloatArray, rates: FloatArray) -> FloatArray:
    """Reads each drawn curve at the rates: the last point with at most that many false positives; (draws, rates)."""
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


def _stretch_counts(events: _Events, values: IntArray, weights: _Weights) -> _Weights:
    """Weighted counts up to the begin of each stretch, and in all; shape (draws, stretches + 1)."""
    stretches, groups = len(events.cuts) - 1, weights.shape[1]
    cell = np.repeat(np.arange(stretches), np.diff(events.cuts)) * groups + events.group
    table = np.bincount(cell, weights=values, minlength=stretches * groups).reshape(stretches, groups)
    counts = np.zeros((len(weights), stretches + 1), dtype=weights.dtype)
    np.cumsum(weights @ table.T.astype(weights.dtype), axis=1, out=counts[:, 1:])
    return counts


def _within(events: _Events, part: slice, weights: _Weights, draw: IntArray, left: FloatArray) -> _Weights:
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


def _segments(pool: Ranking, codes: IntArray, size: int) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Counts found lesions and false positives between the thresholds at which a lesion is found.

    Nothing else moves precision where recall rises, and there are far fewer of these than candidates.

    Returns:
        Found lesions and false positives, each of shape (segments, groups).
    """
    place = np.searchsorted(pool.ends, np.arange(len(pool.score)))
    rises = np.unique(place[pool.hit > 0])
    segment = np.searchsorted(rises, place)
    tables = []
    for part in (pool.hit, pool.false):
        used = (part > 0) & (segment < len(rises))
        cells = (segment[used], codes[pool.image[used]])
        tables.append(sparse.coo_array((part[used], cells), shape=(len(rises), size)).tocsr())
    return tables[0], tables[1]
