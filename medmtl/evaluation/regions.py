"""A region of an image: a lesion's or a candidate's pixels as a crop and its place, made from a mask, box, circle or point.

Coordinates are (x, y) in the image's pixels, 0-based pixel centers: the pixel in row r and column c has its center at
x = c, y = r and covers x from c - 0.5 to c + 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import BoolArray

_BLOCK = 2**22
"""Pixels of a disc that are measured at a time."""


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of one image.

    Attributes:
        top: Row of the crop's first row.
        left: Column of the crop's first column.
        mask: The crop, shape (h, w).
        center: Stated center (x, y) where one was given (circle, point); else None and the centroid counts.
        radius: Stated radius in pixels where one was given (circle); else None and the area counts.
    """

    top: int
    left: int
    mask: BoolArray
    center: tuple[float, float] | None = None
    radius: float | None = None

    def __post_init__(self) -> None:
        mask = np.asarray(self.mask)
        if mask.ndim != 2 or self.top < 0 or self.left < 0:
            raise EvaluationError(
                "a region needs a mask (h, w) and a place in the image, 0 or more",
                found=f"shape {mask.shape} at row {self.top}, column {self.left}",
            )
        object.__setattr__(self, "mask", mask.astype(bool, copy=False))

    @property
    def area(self) -> int:
        """Pixels of the region; 0 where it lies outside the image."""
        return int(np.count_nonzero(self.mask))

    @property
    def centroid(self) -> tuple[float, float]:
        """Center (x, y): the stated one, else the mean of the pixels; NaN without pixels."""
        if self.center is not None:
            return self.center
        rows, columns = np.nonzero(self.mask)
        if not len(rows):
            return math.nan, math.nan
        return float(columns.mean()) + self.left, float(rows.mean()) + self.top

    @property
    def equivalent_radius(self) -> float:
        """Radius in pixels: the stated one, else that of the disc of equal area, sqrt(area / pi)."""
        return self.radius if self.radius is not None else math.sqrt(self.area / math.pi)

    @classmethod
    def of_mask(cls, full_mask: npt.ArrayLike) -> Region:
        """The pixels of a mask of the whole image that are not 0, cropped to their bounding box; none: an empty region.

        Raises:
            EvaluationError: The mask is not 2-D.
        """
        mask = np.asarray(full_mask) != 0
        if mask.ndim != 2:
            raise EvaluationError("a region's mask has shape (H, W)", found=mask.shape)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return cls(0, 0, np.zeros((0, 0), dtype=bool))
        top, left = int(rows[0]), int(columns[0])
        return cls(top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1].copy())

    @classmethod
    def box(cls, x0: float, y0: float, x1: float, y1: float, shape: tuple[int, int]) -> Region:
        """The pixels whose centers lie in the closed box, clipped to the image.

        Corners that are pixels belong to it: (2, 2, 4, 4) is 3 x 3 pixels. (A box given by pixel *edges*, such as
        COCO's x, y, width, height, is (x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5) here, which is the same
        pixels for whole numbers.) Where no center lies in it along an axis, it takes the pixel under its middle.

        Args:
            x0: Left end in pixels.
            y0: Upper end.
            x1: Right end, at least ``x0``.
            y1: Lower end, at least ``y0``.
            shape: Of the image, (H, W).

        Raises:
            EvaluationError: A number is not finite, or an end comes before its start.
        """
        if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 < x0 or y1 < y0:
            raise EvaluationError(
                "a box is x0, y0, x1, y1 with x0 <= x1 and y0 <= y1",
                found=f"{x0:g}, {y0:g}, {x1:g}, {y1:g}",
                remedy="give two corners in pixels, not a corner and a width",
            )
        (top, bottom), (left, right) = (_span(*ends) for ends in ((y0, y1, shape[0]), (x0, x1, shape[1])))
        return cls(top, left, np.ones((bottom - top, right - left), dtype=bool))

    @classmethod
    def circle(cls, x: float, y: float, radius: float, shape: tuple[int, int]) -> Region:
        """The pixels whose centers are at most ``radius`` from (x, y), and the pixel under (x, y); clipped to the image.

        The stated center and radius are kept, also where the image cuts the circle.

        Args:
            x: Column of the center, in pixels.
            y: Row of the center.
            radius: In pixels, 0 or more.
            shape: Of the image, (H, W).

        Raises:
            EvaluationError: A number is not finite, or the radius is negative.
        """
        if not all(map(math.isfinite, (x, y, radius))) or radius < 0:
            raise EvaluationError(
                "a circle is finite x, y and a radius of 0 or more", found=f"{x:g}, {y:g}, {radius:g}"
            )
        (top, bottom), (left, right) = (
            _span(c - radius, c + radius, size) for c, size in ((y, shape[0]), (x, shape[1]))
        )
        columns, middle = np.arange(left, right)[None, :], math.floor(x + 0.5)
        mask = np.empty((bottom - top, right - left), dtype=bool)
        step = max(
            1, _BLOCK // max(right - left, 1)
        )  # distances of a whole large disc would take eight times its memory
        for start in range(top, bottom, step):
            rows = np.arange(start, min(start + step, bottom))[:, None]
            under = (rows == math.floor(y + 0.5)) & (columns == middle)
            mask[rows[:, 0] - top] = ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2) | under
        return cls(top, left, mask, (x, y), radius)

    @classmethod
    def point(cls, x: float, y: float, shape: tuple[int, int]) -> Region:
        """The pixel under (x, y); none where that is outside the image. The stated center is kept.

        Args:
            x: Column, in pixels.
            y: Row.
            shape: Of the image, (H, W).

        Raises:
            EvaluationError: A number is not finite.
        """
        found = cls.circle(x, y, 0.0, shape)
        return cls(found.top, found.left, found.mask, found.center)


def clipped_pixels(ends: tuple[float, float, float, float], shape: tuple[int, int]) -> int:
    """How many pixels the crop of a box or circle takes in memory.

    Args:
        ends: Of the box: x0, y0, x1, y1.
        shape: Of the image, (H, W).
    """
    (top, bottom), (left, right) = _span(ends[1], ends[3], shape[0]), _span(ends[0], ends[2], shape[1])
    return (bottom - top) * (right - left)


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """Gives the first pixel with its center in [low, high] and the one after the last, within the image."""
    first, last = math.ceil(low), math.floor(high)
    if last < first:
        first = last = math.floor((low + high) / 2 + 0.5)
    first, stop = max(first, 0), min(last + 1, size)
    return (first, stop) if first < stop else (0, 0)
