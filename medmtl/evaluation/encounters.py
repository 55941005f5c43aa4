"""Which candidates come near which regions, over all images at once: distances and overlaps of pairs in one image.

Pairs are found by their boxes, by a search in sorted rows, and then measured run by run; nothing is done candidate by
candidate, and every figure is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import BoolArray, FloatArray, IntArray
from medmtl.evaluation.region_table import RegionTable
from medmtl.evaluation.runs import expand

_BEYOND = 2.0**40
"""Further out than any pixel or point."""
_CHUNK = 2_000_000
"""Rows of pairs measured at a time, which bounds the memory."""


class AreasNeededError(EvaluationError):
    """A hit rule compares areas, and the candidates are points."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Candidates and regions that meet; ``cost`` orders the regions of a candidate, the lowest first.

    Attributes:
        candidate: Shape (pairs,).
        region: Shape (pairs,).
        cost: A distance, or an overlap with its sign turned, shape (pairs,).
    """

    candidate: IntArray
    region: IntArray
    cost: FloatArray

    def kept(self, which: BoolArray) -> Pairs:
        """Keeps the pairs that ``which`` marks."""
        return Pairs(self.candidate[which], self.region[which], self.cost[which])

    def ordered(self) -> Pairs:
        """Sorts by candidate, then cost, then region."""
        order = np.lexsort((self.region, self.cost, self.candidate))
        return Pairs(self.candidate[order], self.region[order], self.cost[order])


@dataclass(frozen=True, eq=False)
class CandidatePool:
    """The candidates of many images, one image after the other, each image's by falling score.

    Attributes:
        x: Columns, shape (n,).
        y: Rows, shape (n,).
        image: Number of the image, shape (n,).
        table: The candidates' pixels; None: they are points only.
    """

    x: FloatArray
    y: FloatArray
    image: IntArray
    table: RegionTable | None


@dataclass(frozen=True, eq=False)
class Encounters:
    """The candidates of many images against one kind of regions of the same images.

    Attributes:
        candidates: The candidates.
        table: The regions, none of them empty.
        image: The image of each region, shape (regions,).
    """

    candidates: CandidatePool
    table: RegionTable
    image: IntArray

    def near(self, tolerance: float = 0.0) -> Pairs:
        """Pairs whose point is at most ``tolerance`` pixels from a pixel center of the region, or in one of its pixels.

        Args:
            tolerance: In pixels, 0 or more.

        Returns:
            Pairs with the distance to the nearest pixel center; 0 in a pixel.
        """
        pool, table = self.candidates, self.table
        under = [np.floor(part + 0.5).astype(np.int64) for part in (pool.y, pool.x)]
        box = np.array([*_reach(pool.y, under[0], tolerance), *_reach(pool.x, under[1], tolerance)])
        candidate, region = _touching(box, pool.image, table.box, self.image)
        first, begin = table.rows_of
        rows = np.maximum(box[0, candidate], table.box[0, region]), np.minimum(box[1, candidate], table.box[1, region])
        entry = first[region] - table.box[0, region]
        start = begin[entry + rows[0]]
        pair, run = expand(start, begin[entry + rows[1] + 1] - start)
        owner = candidate[pair]
        column = np.clip(under[1][owner], table.start[run], table.stop[run] - 1)
        away = np.hypot(column - pool.x[owner], table.row[run] - pool.y[owner])
        away[(column == under[1][owner]) & (table.row[run] == under[0][owner])] = 0.0
        close = away <= tolerance
        return _least(candidate, region, pair[close], away[close])

    def centers(self, factor: float, least: float) -> Pairs:
        """Pairs whose point is at most max(factor * radius, least) from the region's center, with that distance.

        Args:
            factor: Of the region's radius.
            least: Least reach in pixels.
        """
        pool, center = self.candidates, self.table.center
        reach = np.maximum(factor * self.table.radius, least)
        ends = [np.floor(center[:, 1] - reach), np.ceil(center[:, 1] + reach)]
        ends += [np.floor(center[:, 0] - reach), np.ceil(center[:, 0] + reach)]
        box = np.array([np.floor(pool.y), np.ceil(pool.y), np.floor(pool.x), np.ceil(pool.x)]).astype(np.int64)
        candidate, region = _touching(box, pool.image, _whole(np.array(ends)), self.image)
        away = np.hypot(pool.x[candidate] - center[region, 0], pool.y[candidate] - center[region, 1])
        return Pairs(candidate, region, away).kept(away <= reach[region])

    @cached_property
    def overlaps(self) -> Pairs:
        """Pairs that share pixels; the cost is their number with its sign turned.

        Raises:
            AreasNeededError: The candidates are points without regions or radii.
        """
        table = self.areas_needed
        found = _touching(table.box, self.candidates.image, self.table.box, self.image)
        top = np.maximum(table.box[0, found[0]], self.table.box[0, found[1]])
        height = np.minimum(table.box[1, found[0]], self.table.box[1, found[1]]) - top + 1
        shared = np.zeros(len(top))
        for part in _blocks(height):
            pair, row = expand(top[part], height[part])
            runs = [
                _row_runs(one, index[part][pair], row) for one, index in zip((table, self.table), found, strict=True)
            ]
            shared[part] = np.bincount(pair, weights=_shared(table, self.table, *runs), minlength=len(part))
        return Pairs(found[0], found[1], -shared).kept(shared > 0)

    @property
    def areas_needed(self) -> RegionTable:
        """The candidates' pixels.

        Raises:
            AreasNeededError: The candidates are points without regions or radii.
        """
        if self.candidates.table is None:
            raise AreasNeededError(
                "this hit rule compares areas, and the candidates are points",
                remedy="give candidates a mask or a radius each, or choose peak_in_lesion or center_distance",
            )
        return self.candidates.table


def _reach(point: FloatArray, under: IntArray, tolerance: float) -> tuple[IntArray, IntArray]:
    """First and last pixel with its center within the tolerance of a point, or under it."""
    ends = np.ceil(point - tolerance), np.floor(point + tolerance)
    low, high = (_whole(part) for part in ends)
    return np.minimum(low, under), np.maximum(high, under)


def _whole(ends: FloatArray) -> IntArray:
    """Ends of boxes as whole numbers: an endless reach goes beyond all pixels, and no conversion turns its sign."""
    return np.clip(ends, -_BEYOND, _BEYOND).astype(np.int64)


def _touching(box: IntArray, image: IntArray, other: IntArray, other_image: IntArray) -> tuple[IntArray, IntArray]:
    """Gives the pairs of boxes (first and last row, first and last column) of one image that meet."""
    nothing = np.empty(0, dtype=np.int64)
    if not box.shape[1] or not other.shape[1]:
        return nothing, nothing
    images = int(max(image.max(), other_image.max())) + 1
    tallest = np.zeros(images, dtype=np.int64)
    np.maximum.at(tallest, other_image, other[1] - other[0])
    least, most = int(other[0].min()), int(other[0].max())
    stride = most - least + 3
    key = other_image * stride + (other[0] - least + 1)
    order = np.argsort(key, kind="stable")
    low = image * stride + np.clip(box[0] - tallest[image] - least + 1, 0, stride - 1)
    high = image * stride + np.clip(box[1] - least + 1, 0, stride - 1)
    first = np.searchsorted(key[order], low, side="left")
    count = np.maximum(np.searchsorted(key[order], high, side="right") - first, 0)
    pairs = [(nothing, nothing)]
    for part in _blocks(count):
        mine, place = expand(first[part], count[part])
        mine, theirs = part[mine], order[place]
        meets = (box[0, mine] <= other[1, theirs]) & (other[0, theirs] <= box[1, mine])
        meets &= (box[2, mine] <= other[3, theirs]) & (other[2, theirs] <= box[3, mine])
        pairs.append((mine[meets], theirs[meets]))
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def _blocks(counts: IntArray) -> list[IntArray]:
    """Cuts 0 .. n - 1 into stretches whose counts sum to about the most that is measured at a time."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(_CHUNK, max(total, 1), _CHUNK), side="right")
    return [part for part in np.split(np.arange(len(counts)), np.unique(cuts)) if len(part)]


def _row_runs(table: RegionTable, region: IntArray, row: IntArray) -> tuple[IntArray, IntArray]:
    """The first run of each region in a row, and how many it has there."""
    first, begin = table.rows_of
    entry = first[region] + row - table.box[0, region]
    return begin[entry], begin[entry + 1] - begin[entry]


def _shared(
    one: RegionTable, other: RegionTable, mine: tuple[IntArray, IntArray], theirs: tuple[IntArray, IntArray]
) -> FloatArray:
    """Pixels that the runs of two regions share in a row, for each of many rows."""
    line, my_run = expand(*mine)
    cell, their_run = expand(theirs[0][line], theirs[1][line])
    my_run = my_run[cell]
    length = np.minimum(one.stop[my_run], other.stop[their_run]) - np.maximum(one.start[my_run], other.start[their_run])
    return np.bincount(line[cell], weights=np.maximum(length, 0), minlength=len(mine[0])).astype(np.float64)


def _least(candidate: IntArray, region: IntArray, pair: IntArray, value: FloatArray) -> Pairs:
    """The least value of each pair (numbered in rising order) that has one."""
    if not len(pair):
        nothing: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        return Pairs(nothing, nothing, np.empty(0))
    begins = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]]))
    number = pair[begins]
    return Pairs(candidate[number], region[number], np.minimum.reduceat(value, begins))
