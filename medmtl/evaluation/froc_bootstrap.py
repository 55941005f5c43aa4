"""How FROC curves of bootstrap draws are read exactly without drawing them.

A drawn curve differs from the curve itself in the weights of patients only: its counts are running sums of weights along
the false positives and along the hits, both by falling score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from medmtl.evaluation.froc import EPSILON, Ranking
from medmtl.evaluation.intervals import FloatArray, IntArray, draw_weights
from medmtl.evaluation.running_sums import SIDE_BY_SIDE, Events

_KEPT = 4_000_000
"""Weights (draws x patients) that are kept for the next class and rule on the same patients."""


@dataclass(frozen=True, eq=False)
class CurveEvents:
    """Candidates that count, by falling score; a candidate that finds several lesions stands among the hits as often.

    Attributes:
        false: The false positives.
        hits: The hits.
        hits_before: Hits at higher scores than each false positive, and all, shape (false positives + 1,).
        rise_hits: Hits down to each score at which a lesion is found, shape (rises,).
        rise_false: False positives down to each such score, shape (rises,).
    """

    false: Events
    hits: Events
    hits_before: IntArray
    rise_hits: IntArray
    rise_false: IntArray

    @classmethod
    def of(cls, pool: Ranking, codes: IntArray, groups: int) -> CurveEvents:
        """Events of a ranking.

        Args:
            pool: The candidates by falling score.
            codes: The patient of each image, shape (images,).
            groups: Number of patients.
        """
        threshold, patient = np.searchsorted(pool.ends, np.arange(len(pool.score))), codes[pool.image]
        wrong, right = np.flatnonzero(pool.false), np.repeat(np.arange(len(pool.hit)), pool.hit)
        false, hit = threshold[wrong], threshold[right]
        rises = np.unique(hit)
        return cls(
            false=Events.of(patient[wrong], groups),
            hits=Events.of(patient[right], groups),
            hits_before=np.append(np.searchsorted(hit, false), len(hit)),
            rise_hits=np.searchsorted(hit, rises, side="right"),
            rise_false=np.searchsorted(false, rises, side="right"),
        )


@lru_cache(maxsize=1)
def _kept_weights(size: int, draws: int, seed: int) -> tuple[IntArray, ...]:
    kept = tuple(draw_weights(size, draws=draws, seed=seed))
    for block in kept:
        block.flags.writeable = False
    return kept


def drawn_weights(size: int, draws: int, seed: int) -> Iterable[IntArray]:
    """How often each patient is drawn, in blocks of draws.

    Args:
        size: Number of patients.
        draws: Number of draws.
        seed: Seed of the draws.
    """
    if not size:
        return ()
    if size * draws <= _KEPT:
        return _kept_weights(size, draws, seed)
    return draw_weights(size, draws=draws, seed=seed)


def read_draws(events: CurveEvents, weights: IntArray, totals: FloatArray, rates: FloatArray) -> FloatArray:
    """Reads each drawn curve at the rates: the last point with at most that many false positives.

    Args:
        events: The candidates that count.
        weights: How often each patient is drawn, shape (draws, patients).
        totals: Lesions and images of each patient, shape (patients, 2).
        rates: False positives per image.

    Returns:
        Sensitivities of shape (draws, rates), NaN in draws without a lesion.
    """
    lesions, images = (weights @ totals).T
    limit = images[:, None] * rates + EPSILON
    found = np.empty(limit.shape)
    for part in _parts(weights):
        # The first false positive too many ends the curve above its score.
        closed = events.hits_before[events.false.sums(weights[part]).reach(limit[part])]
        found[part] = events.hits.sums(weights[part]).at_own(closed)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lesions[:, None] > 0, found / lesions[:, None], np.nan)


def average_precisions(events: CurveEvents, weights: IntArray, lesions: FloatArray) -> FloatArray:
    """``Froc.average_precision`` of each drawn curve, shape (draws,); NaN in draws without a lesion.

    Args:
        events: The candidates that count.
        weights: How often each patient is drawn, shape (draws, patients).
        lesions: Lesions of each patient, shape (patients,).
    """
    area = np.empty(len(weights))
    for part in _parts(weights):
        above = events.hits.sums(weights[part]).at(events.rise_hits)
        called = events.false.sums(weights[part]).at(events.rise_false)
        called += above
        gained = above.copy()
        gained[1:] -= above[:-1]
        above /= np.maximum(called, 1, out=called)
        area[part] = np.einsum("rd,rd->d", gained, above)
    with np.errstate(divide="ignore", invalid="ignore"):
        return area / (weights @ lesions)


def _parts(weights: IntArray) -> Iterator[slice]:
    return (slice(start, start + SIDE_BY_SIDE) for start in range(0, len(weights), SIDE_BY_SIDE))
