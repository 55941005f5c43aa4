"""Many regions as runs of pixels in rows: small in memory, exact, free to overlap, and measured all at once.

A run is a stretch of one row. A mask of 12 million pixels with a few hundred lesions is a few thousand runs, so that
components, overlaps and distances cost as much as there is lesion, not as much as there is image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from medmtl.evaluation.intervals import BoolArray, FloatArray, IntArray
from medmtl.evaluation.regions import Region
from medmtl.evaluation.runs import crop_runs, cut_runs, expand, joined_runs, label_runs, mask_runs

_BLOCK = 4000
"""Regions whose crops are laid side by side at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class RegionTable:
    """Regions 0 .. n - 1; region i is the runs ``offsets[i]`` to ``offsets[i + 1]``, by row, then column.

    Attributes:
        row: Row of each run, shape (runs,).
        start: First column of each run, shape (runs,).
        stop: Column after the last of each run, shape (runs,).
        offsets: Shape (n + 1,).
        stated_center: Centers (x, y) that were given, NaN where none was, shape (n, 2).
        stated_radius: Radii that were given, NaN where none was, shape (n,).
    """

    row: IntArray
    start: IntArray
    stop: IntArray
    offsets: IntArray
    stated_center: FloatArray
    stated_radius: FloatArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def region(self) -> IntArray:
        """The region of each run, shape (runs,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def area(self) -> IntArray:
        """Pixels of each region, shape (n,)."""
        return np.diff(np.concatenate([[0], np.cumsum(self.stop - self.start)])[self.offsets])

    @cached_property
    def box(self) -> IntArray:
        """First and last row, first and last column of each region, shape (4, n); an empty one has 0, -1, 0, -1."""
        found = np.repeat(np.array([[0], [-1], [0], [-1]], dtype=np.int64), len(self), axis=1)
        full = np.flatnonzero(np.diff(self.offsets))
        if len(full):
            first, last = self.offsets[full], self.offsets[full + 1] - 1
            found[0, full], found[1, full] = self.row[first], self.row[last]
            found[2, full] = np.minimum.reduceat(self.start, first)
            found[3, full] = np.maximum.reduceat(self.stop, first) - 1
        return found

    @cached_property
    def center(self) -> FloatArray:
        """Center (x, y) of each region: the stated one, else the mean of its pixels; NaN without pixels; (n, 2)."""
        length = self.stop - self.start
        sums = [(self.start + self.stop - 1) / 2 * length, self.row * length]
        total = np.stack([np.bincount(self.region, weights=part, minlength=len(self)) for part in sums], axis=1)
        with np.errstate(invalid="ignore"):
            mean = total / self.area[:, None]
        return np.where(np.isnan(self.stated_center), mean, self.stated_center)

    @cached_property
    def radius(self) -> FloatArray:
        """Radius of each region in pixels: the stated one, else that of the disc of equal area, shape (n,)."""
        return np.where(np.isnan(self.stated_radius), np.sqrt(self.area / np.pi), self.stated_radius)

    @cached_property
    def rows_of(self) -> tuple[IntArray, IntArray]:
        """Where each row of each region begins among the runs: entry ``first[i] + row - top[i]`` of ``begin``."""
        height = self.box[1] - self.box[0] + 2
        first = np.cumsum(height) - height
        runs = np.bincount(first[self.region] + self.row - self.box[0][self.region], minlength=int(height.sum()))
        return first, np.concatenate([[0], np.cumsum(runs)])

    def take(self, index: npt.ArrayLike) -> RegionTable:
        """Keeps the regions at ``index`` (numbers), in that order."""
        kept = np.asarray(index, dtype=np.int64)
        counts = np.diff(self.offsets)[kept]
        _, runs = expand(self.offsets[kept], counts)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        stated = self.stated_center[kept], self.stated_radius[kept]
        return RegionTable(self.row[runs], self.start[runs], self.stop[runs], offsets, *stated)

    def cut(self, mask: BoolArray) -> RegionTable:
        """Keeps the pixels inside a mask of shape (H, W); a region may become empty, and keeps what was stated of it."""
        runs, start, stop = cut_runs(self.row, self.start, self.stop, mask)
        counts = np.bincount(self.region[runs], minlength=len(self))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return RegionTable(self.row[runs], start, stop, offsets, self.stated_center, self.stated_radius)

    def regions(self) -> tuple[Region, ...]:
        """The regions one by one, each cropped to its box."""
        result = []
        for number, (top, bottom, left, right) in enumerate(self.box.T.tolist()):
            mask = np.zeros((bottom - top + 1, right - left + 1), dtype=bool)
            for run in range(self.offsets[number], self.offsets[number + 1]):
                mask[self.row[run] - top, self.start[run] - left : self.stop[run] - left] = True
            center, radius = self.stated_center[number], self.stated_radius[number]
            stated = None if np.isnan(center[0]) else (float(center[0]), float(center[1]))
            result.append(Region(top, left, mask, stated, None if np.isnan(radius) else float(radius)))
        return tuple(result)

    def paint(self, shape: tuple[int, int]) -> IntArray:
        """Numbers 1 .. n in the regions, 0 elsewhere, shape (H, W); of overlapping regions the later one shows."""
        canvas = np.zeros(shape, dtype=np.int64)
        run, column = expand(self.start, self.stop - self.start)
        canvas[self.row[run], column] = self.region[run] + 1
        return canvas

    @classmethod
    def of_runs(cls, row: IntArray, start: IntArray, stop: IntArray, region: IntArray, size: int) -> RegionTable:
        """Makes a table of runs in any order of regions, each region's runs already by row and column.

        Args:
            row: Shape (runs,).
            start: First columns, shape (runs,).
            stop: Columns after the last, shape (runs,).
            region: Number of the region of each run, 0 .. size - 1, shape (runs,).
            size: Number of regions.
        """
        order = np.argsort(region, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(region, minlength=size))])
        return cls(row[order], start[order], stop[order], offsets, np.full((size, 2), np.nan), np.full(size, np.nan))

    @classmethod
    def empty(cls) -> RegionTable:
        """No regions."""
        nothing = np.empty(0, dtype=np.int64)
        return cls.of_runs(nothing, nothing, nothing, nothing, 0)

    @classmethod
    def of_mask(cls, mask: BoolArray) -> RegionTable:
        """A mask of shape (H, W) as one region."""
        row, start, stop = mask_runs(mask)
        return cls.of_runs(row, start, stop, np.zeros(len(row), dtype=np.int64), 1)

    @classmethod
    def of_components(cls, mask: BoolArray) -> RegionTable:
        """The 8-connected components of a mask of shape (H, W), numbered by their first pixel in reading order."""
        row, start, stop = mask_runs(mask)
        number = joined_runs(row, start, stop)
        return cls.of_runs(row, start, stop, number, int(number.max(initial=-1)) + 1)

    @classmethod
    def of_labels(cls, labels: npt.NDArray[np.integer]) -> RegionTable:
        """An image of numbers (H, W) as one region a number, by rising number; 0 is none."""
        row, start, stop, label = label_runs(labels)
        names, number = np.unique(label, return_inverse=True)
        return cls.of_runs(row, start, stop, number.astype(np.int64), len(names))

    @classmethod
    def of_regions(cls, regions: Sequence[Region]) -> RegionTable:
        """A table of regions, with their stated centers and radii."""
        size = len(regions)
        if size > _BLOCK:
            blocks = [cls.of_regions(regions[place : place + _BLOCK]) for place in range(0, size, _BLOCK)]
            return cls.concatenated(blocks)
        if not size:
            return cls.empty()
        row, start, stop, region = crop_runs(regions)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(region, minlength=size))])
        nothing = (np.nan, np.nan)
        center = np.array([nothing if one.center is None else one.center for one in regions], dtype=np.float64)
        radius = np.array([np.nan if one.radius is None else one.radius for one in regions], dtype=np.float64)
        return cls(row, start, stop, offsets, center, radius)

    @classmethod
    def concatenated(cls, tables: Sequence[RegionTable]) -> RegionTable:
        """The regions of several tables, one table after the other."""
        if not tables:
            return cls.empty()
        row, start, stop = (np.concatenate([getattr(one, name) for one in tables]) for name in ("row", "start", "stop"))
        counts = np.concatenate([np.diff(one.offsets) for one in tables])
        center = np.concatenate([one.stated_center for one in tables])
        radius = np.concatenate([one.stated_radius for one in tables])
        return cls(row, start, stop, np.concatenate([[0], np.cumsum(counts)]), center, radius)
