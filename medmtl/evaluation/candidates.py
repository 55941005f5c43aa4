"""From a class map to candidates: points with a score, in original pixels.

A candidate's score is the value of the map itself, never of a map scaled per image. Points are (x, y), 0-based pixel
centers. Candidates are ordered by falling score, then by row and column, so that nothing depends on chance.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medmtl.errors import EvaluationError
from medmtl.evaluation.candidate_table import Candidates
from medmtl.evaluation.intervals import BoolArray, FloatArray, IntArray
from medmtl.evaluation.region_table import RegionTable
from medmtl.evaluation.runs import expand

__all__ = ["EIGHT", "Candidates", "components", "peaks", "random_candidates"]

EIGHT = np.ones((3, 3), dtype=bool)
"""Neighborhood of 8-connected components."""


def peaks(
    evidence: npt.ArrayLike,
    threshold: float = -math.inf,
    min_distance: float = 1.0,
    limit: int | None = None,
    valid: npt.ArrayLike | None = None,
    barred: npt.ArrayLike | None = None,
) -> Candidates:
    """Finds the local maxima of a map, one candidate each.

    A local maximum is an 8-connected region of equal value whose neighbors are all lower, and at least one is: a
    saturated plateau gives one candidate (its pixel nearest to its center), a constant map none. Of two maxima closer
    than ``min_distance`` the lower is dropped.

    Args:
        evidence: The map, shape (H, W); more is more evidence.
        threshold: Least score of a candidate.
        min_distance: Least distance between two candidates in pixels.
        limit: Most candidates to give, the highest first; None: all.
        valid: Where the map is known (the field of view), shape (H, W); None: everywhere.
        barred: Where no candidate is wanted all the same (the optic disc), shape (H, W). Maxima there are left out, and
            do not drop others near them; the slope that leaves such a place is no maximum.

    Raises:
        EvaluationError: The map is not 2-D, not finite where valid, or a mask has another shape.
    """
    values, inside = _checked(evidence, valid)
    labels = _regional_maxima(values, inside & (values >= threshold), inside)
    rows, columns = np.nonzero(labels)
    rows, columns, _ = _region_points(rows, columns, labels[rows, columns])
    free = _free(barred, values.shape, rows, columns)
    rows, columns = rows[free], columns[free]
    score = values[rows, columns]
    order = np.lexsort((columns, rows, -score))
    kept = order[_spread(rows[order], columns[order], values.shape, min_distance, limit)]
    regions, _ = ndimage.label(inside & (values >= threshold), EIGHT)
    area = np.bincount(regions.ravel())[regions[rows[kept], columns[kept]]]
    return _ordered(columns[kept], rows[kept], score[kept], area)


def components(
    evidence: npt.ArrayLike,
    threshold: float,
    valid: npt.ArrayLike | None = None,
    *,
    barred: npt.ArrayLike | None = None,
    score: Literal["max", "mean"] = "max",
    position: Literal["peak", "centroid"] = "peak",
) -> Candidates:
    """Gives the 8-connected regions at or above a threshold, one candidate each.

    Args:
        evidence: The map, shape (H, W); more is more evidence.
        threshold: Least value of a region's pixels.
        valid: Where the map is known (the field of view), shape (H, W); None: everywhere.
        barred: Where no candidate is wanted all the same (the optic disc), shape (H, W); regions whose point lies there are
            left out, others stay as they are.
        score: A region's score: its highest value, or the mean of its pixels.
        position: A region's point: its highest pixel (of equally high ones the nearest to their center), or its
            centroid weighted by the excess over the threshold, which of a bent region may lie outside it.

    Returns:
        A candidate a region, with the region itself.

    Raises:
        EvaluationError: As ``peaks``.
    """
    values, inside = _checked(evidence, valid)
    table = RegionTable.of_components(inside & (values >= threshold))
    if not len(table):
        return Candidates.none()
    run, columns = expand(table.start, table.stop - table.start)
    rows, region = table.row[run], table.region[run]
    heights = values[rows, columns]
    begins = np.concatenate([[0], np.cumsum(table.area)[:-1]])
    top = heights == np.maximum.reduceat(heights, begins)[region]
    peak_rows, peak_columns, _ = _region_points(rows[top], columns[top], region[top])
    x, y = peak_columns.astype(np.float64), peak_rows.astype(np.float64)
    scores = values[peak_rows, peak_columns]
    if position == "centroid":
        x, y = _centroid(columns, rows, region, heights - threshold)
    if score == "mean":
        scores = np.bincount(region, weights=heights) / table.area
    found = Candidates(x, y, scores, table.area.astype(np.float64), regions=table.regions())
    if barred is None:
        return found
    rows, columns = (np.floor(part + 0.5).astype(np.int64) for part in (y, x))
    return found.take(_free(barred, values.shape, rows, columns))


def random_candidates(valid: npt.ArrayLike, n: int, rng: np.random.Generator) -> Candidates:
    """Draws points in the field of view with random scores: what a method must beat.

    Args:
        valid: Where points may lie, shape (H, W).
        n: How many, without repetition; fewer where there are fewer pixels.
        rng: Source of the draws.
    """
    rows, columns = np.nonzero(np.asarray(valid))
    drawn = rng.choice(len(rows), size=min(n, len(rows)), replace=False)
    return Candidates.points(columns[drawn], rows[drawn], rng.random(len(drawn)))


def _ordered(x: IntArray, y: IntArray, score: FloatArray, area: IntArray) -> Candidates:
    return Candidates(x.astype(np.float64), y.astype(np.float64), score, area.astype(np.float64))


def _checked(evidence: npt.ArrayLike, valid: npt.ArrayLike | None) -> tuple[FloatArray, BoolArray]:
    values = np.asarray(evidence, dtype=np.float64)
    inside = np.ones(values.shape, dtype=bool) if valid is None else np.asarray(valid).astype(bool)
    if values.ndim != 2 or inside.shape != values.shape:
        raise EvaluationError("map and valid mask need one shape (H, W)", found=f"{values.shape} and {inside.shape}")
    if not np.isfinite(values[inside]).all():
        raise EvaluationError("a map holds values that are not finite inside the valid mask")
    return np.where(inside, values, -np.inf), inside


def _free(barred: npt.ArrayLike | None, shape: tuple[int, ...], rows: IntArray, columns: IntArray) -> BoolArray:
    """Which points lie outside of the barred places."""
    if barred is None:
        return np.ones(len(rows), dtype=bool)
    places = np.asarray(barred).astype(bool)
    if places.shape != shape:
        raise EvaluationError("map and barred places need one shape (H, W)", found=f"{shape} and {places.shape}")
    return np.asarray(~places[rows, columns])


def _regional_maxima(values: FloatArray, allowed: BoolArray, inside: BoolArray) -> IntArray:
    """Labels regions of equal value whose neighbors are all lower, at least one of them inside the mask."""
    top = allowed & (values == ndimage.maximum_filter(values, size=3, mode="nearest"))
    labels, count = ndimage.label(top, EIGHT)
    # A plateau can be cut into pieces that look like maxima; the pixels between them betray it, being equal and not top.
    beside = ndimage.maximum_filter(np.where(top, -np.inf, values), size=3, mode="nearest")
    cut = top & (beside == values)
    slopes = top & (ndimage.minimum_filter(np.where(inside, values, np.inf), size=3, mode="nearest") < values)
    keep = np.zeros(count + 1, dtype=bool)
    keep[labels[slopes]] = True
    keep[labels[cut]] = False
    return np.where(keep[labels], labels, 0).astype(np.int64)


def _region_points(rows: IntArray, columns: IntArray, region: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Gives one pixel a region, the nearest to the region's center (first row, then column), by rising number."""
    size = np.maximum(np.bincount(region), 1)
    center = [np.bincount(region, weights=part) / size for part in (rows, columns)]
    far = (rows - center[0][region]) ** 2 + (columns - center[1][region]) ** 2 if len(region) else np.empty(0)
    order = np.lexsort((columns, rows, far, region))
    names, first = np.unique(region[order], return_index=True)
    return rows[order][first], columns[order][first], names


def _centroid(columns: IntArray, rows: IntArray, region: IntArray, excess: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gives each region's centroid (x, y); a region that nowhere exceeds the threshold counts its pixels alike."""
    alike = (np.bincount(region, weights=excess) <= 0)[region]
    weight = np.where(alike, 1.0, excess)
    total = np.bincount(region, weights=weight)
    return np.bincount(region, weights=weight * columns) / total, np.bincount(region, weights=weight * rows) / total


def _spread(rows: IntArray, columns: IntArray, shape: tuple[int, ...], distance: float, limit: int | None) -> list[int]:
    """Keeps the points, best first, that lie at least ``distance`` from every kept one; numbers of at most ``limit``."""
    free = np.ones(shape, dtype=bool)
    reach = max(0, math.ceil(distance) - 1)
    offsets = np.arange(-reach, reach + 1)
    disc = offsets[:, None] ** 2 + offsets[None, :] ** 2 < distance**2
    kept: list[int] = []
    for index, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        if limit is not None and len(kept) >= limit:
            break
        if free[row, column]:
            kept.append(index)
            top, left = max(0, row - reach), max(0, column - reach)
            part = free[top : row + reach + 1, left : column + reach + 1]
            start_row, start_column = top - (row - reach), left - (column - reach)
            part &= ~disc[start_row : start_row + part.shape[0], start_column : start_column + part.shape[1]]
    return kept
