"""DIARETDB1's pixel-based curve of any number of images: exact error rates in the memory of one image.

Every pixel of every field of view is a case: a set has a hundred million, and float maps as many scores. So images are
read several times. Pixels are counted in intervals of scores, cut after those of the first image. An interval that can
hold the equal error rate or a least weighted error is cut further, and all is counted again, until none of them holds
two scores. Elsewhere points inside intervals decide nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.diaretdb1 import WEIGHTS, OfficialRoc
from medmtl.evaluation.intervals import BoolArray, FloatArray, IntArray

Codes: TypeAlias = npt.NDArray[np.uint64]
PixelImage: TypeAlias = tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]
"""Lesion mask, evidence of the method, and field of view, each of shape (H, W)."""

_INTERVALS = 2**18
"""Intervals that one reading adds at most: 10 MB."""
_SIGN, _LAST = np.uint64(1 << 63), np.uint64((1 << 64) - 1)


def pixel_roc(
    images: Iterable[PixelImage], *, ratios: Sequence[float] = WEIGHTS, intervals: int = _INTERVALS
) -> OfficialRoc:
    """The pixel-based curve of one lesion type: every pixel of every field of view is a case.

    How the original treats pixels was not checked (see ``diaretdb1.py``).

    Args:
        images: Lesion mask, map and field of view of each image. They are gone through two or three times, where
            scores lie strangely more often: a list, or an object that reads them anew.
        ratios: The weights of false alarms that the curve must answer for.
        intervals: About how many intervals of scores one reading adds at most.

    Returns:
        A curve with every point that decides the equal error rate and the weighted errors of ``ratios``, which are exact;
        it refuses other weights if points were left out.

    Raises:
        EvaluationError: The images can be gone through only once, shapes differ, or a value inside a field is not finite.
    """
    if iter(images) is images:
        remedy = "give a list, or an object that reads the images anew"
        raise EvaluationError("images are gone through several times", found=type(images).__name__, remedy=remedy)
    edges = _first_edges(images, intervals)
    while True:
        found = _counted(images, edges)
        wide = found.undecided(ratios)
        if not wide.any():
            return found.curve(ratios)
        edges = np.union1d(edges, _cuts(found.least[wide], found.most[wide], intervals))


@dataclass(frozen=True, eq=False)
class _Intervals:
    """Pixels in rising intervals of scores, of which none is empty; arrays of shape (intervals,).

    Attributes:
        least: Code of the lowest score of each.
        most: Code of the highest.
        ill: Pixels of lesions.
        healthy: Other pixels.
    """

    least: Codes
    most: Codes
    ill: IntArray
    healthy: IntArray

    def curve(self, ratios: Sequence[float]) -> OfficialRoc:
        """The curve's points at the highest score of each interval."""
        positives, negatives = int(self.ill.sum()), int(self.healthy.sum())
        nothing = np.full(len(self.most), np.nan)
        sensitivity = 1 - np.cumsum(self.ill) / positives if positives else nothing
        specificity = np.cumsum(self.healthy) / negatives if negatives else nothing
        answers = tuple(ratios) if positives and negatives and (self.least < self.most).any() else None
        return OfficialRoc(_scores(self.most), sensitivity, specificity, positives, negatives, answers)

    def undecided(self, ratios: Sequence[float]) -> BoolArray:
        """Intervals of several scores in which the curve may cross equal errors, or fall below the least known error."""
        curve = self.curve(ratios)
        if not curve.positives or not curve.negatives:
            return np.zeros(len(self.most), dtype=bool)
        misses, alarms = 1 - curve.sensitivity, 1 - curve.specificity
        wide: BoolArray = np.arange(len(misses)) == np.argmax(misses >= alarms)
        fewest = np.concatenate([[0.0], misses[:-1]])  # misses rise and alarms fall along an interval
        for ratio in ratios:
            wide |= (fewest + ratio * alarms) / (1 + ratio) < curve.weighted_error(ratio)
        return wide & (self.least < self.most)


def _first_edges(images: Iterable[PixelImage], intervals: int) -> Codes:
    """Scores of the first image that has any: all of them, or evenly taken."""
    for sides in _sorted_pixels(images):
        codes = np.unique(np.concatenate(sides))
        if len(codes):
            return codes[np.linspace(0, len(codes) - 1, min(len(codes), intervals)).astype(np.int64)]
    return np.empty(0, dtype=np.uint64)


def _counted(images: Iterable[PixelImage], edges: Codes) -> _Intervals:
    counts = np.zeros((2, len(edges) + 1), dtype=np.int64)
    least, most = np.full(len(edges) + 1, _LAST), np.zeros(len(edges) + 1, dtype=np.uint64)
    for sides in _sorted_pixels(images):
        for count, codes in zip(counts, sides, strict=True):
            ends = np.concatenate([[0], np.searchsorted(codes, edges), [len(codes)]])
            count += np.diff(ends)
            full = np.flatnonzero(np.diff(ends))
            least[full] = np.minimum(least[full], codes[ends[full]])
            most[full] = np.maximum(most[full], codes[ends[full + 1] - 1])
    kept = counts.any(axis=0)
    return _Intervals(least[kept], most[kept], counts[0, kept], counts[1, kept])


def _cuts(least: Codes, most: Codes, intervals: int) -> Codes:
    """Evenly placed edges inside intervals, the same number in each; at least one, so that every reading gets further."""
    parts = np.uint64(max(2, intervals // len(least)))
    step = (most - least) // parts + np.uint64(1)
    number = ((most - least) // step).astype(np.int64)
    inside = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + 1
    cuts: Codes = np.repeat(least, number) + np.repeat(step, number) * inside.astype(np.uint64)
    return cuts


def _sorted_pixels(images: Iterable[PixelImage]) -> Iterator[tuple[Codes, Codes]]:
    """The pixels of lesions and the others of each field of view, as rising codes of their scores."""
    for number, (truth, evidence, field) in enumerate(images, start=1):
        mask, scores, inside = np.asarray(truth), np.asarray(evidence, dtype=np.float64), np.asarray(field).astype(bool)
        if not mask.shape == scores.shape == inside.shape or not np.isfinite(scores[inside]).all():
            raise EvaluationError(
                "truth, map and field of an image need one shape, and finite values in the field",
                where=f"image {number}",
                found=f"{mask.shape}, {scores.shape} and {inside.shape}",
            )
        ill, codes = mask[inside].astype(bool), _codes(scores[inside])
        yield np.sort(codes[ill]), np.sort(codes[~ill])


def _codes(scores: FloatArray) -> Codes:
    """Finite numbers as whole numbers in the same order; -0 is 0."""
    bits = (scores + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _scores(codes: Codes) -> FloatArray:
    """The numbers of such codes."""
    return np.where(codes & _SIGN, codes & ~_SIGN, ~codes).view(np.float64)
