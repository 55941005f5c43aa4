"""Where a network's square view lies in an original image, and the way back.

Points are ``(x, y)`` in pixels with 0-based pixel centres: the centre of the first pixel is 0, its left edge -0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True)
class Geometry:
    """A square box of an original image, resized to ``size`` by ``size`` pixels.

    Attributes:
        height: Height of the original image, in pixels.
        width: Width of the original image, in pixels.
        top: First row of the box; may be negative (padding).
        left: First column of the box; may be negative (padding).
        side: Side of the box in original pixels.
        size: Side of the view in network pixels.
    """

    height: int
    width: int
    top: int
    left: int
    side: int
    size: int

    @property
    def scale(self) -> float:
        """Network pixels per original pixel."""
        return self.size / self.side

    def to_view(self, points: FloatArray) -> npt.NDArray[np.float64]:
        """Maps original points, shape (n, 2) as (x, y), to view pixels."""
        origin = np.array([self.left, self.top], dtype=float)
        return np.asarray((np.asarray(points, dtype=float) + 0.5 - origin) * self.scale - 0.5)

    def to_original(self, points: FloatArray) -> npt.NDArray[np.float64]:
        """Maps view points, shape (n, 2) as (x, y), to original pixels."""
        origin = np.array([self.left, self.top], dtype=float)
        return np.asarray((np.asarray(points, dtype=float) + 0.5) / self.scale - 0.5 + origin)

    def as_tuple(self) -> tuple[int, int, int, int, int, int]:
        """The six numbers, in the order of the fields."""
        return (self.height, self.width, self.top, self.left, self.side, self.size)


def centred_square(height: int, width: int, box: tuple[int, int, int, int], size: int) -> Geometry:
    """The smallest square around a box, with the box in its middle.

    Args:
        height: Height of the original image.
        width: Width of the original image.
        box: (top, left, bottom, right), the last two exclusive.
        size: Side of the view in network pixels.
    """
    top, left, bottom, right = box
    side = max(bottom - top, right - left)
    return Geometry(height, width, (top + bottom - side) // 2, (left + right - side) // 2, side, size)


def take_view(image: npt.NDArray[A], geometry: Geometry, *, nearest: bool = False, fill: float = 0) -> npt.NDArray[A]:
    """Cuts the box out of an image, pads what lies outside with ``fill`` and resizes it.

    Args:
        image: (H, W) or (H, W, C).
        geometry: The box and the size of the view.
        nearest: Take the nearest pixel (label maps) instead of area or linear interpolation.
        fill: Value outside the image.

    Returns:
        (size, size) or (size, size, C), of the image's type.
    """
    box = _cut(image, geometry, fill)
    if nearest:
        interpolation = cv2.INTER_NEAREST_EXACT
    else:
        interpolation = cv2.INTER_AREA if geometry.scale < 1 else cv2.INTER_LINEAR
    return _resize(box, geometry.size, interpolation)


def restore_view(view: FloatArray, geometry: Geometry, *, fill: float = 0.0) -> npt.NDArray[np.float32]:
    """Puts a view's map back in the original pixels: the inverse of :func:`take_view`.

    Args:
        view: (h, w) or (h, w, C) of the whole view, at any resolution, C at most 4.
        geometry: The box that the view was taken from.
        fill: Value outside the box.

    Returns:
        (height, width) or (height, width, C), float32.
    """
    source = np.asarray(view, dtype=np.float32)
    interpolation = cv2.INTER_AREA if source.shape[0] > geometry.side else cv2.INTER_LINEAR
    box = _resize(source, geometry.side, interpolation)
    out = np.full((geometry.height, geometry.width, *source.shape[2:]), fill, dtype=np.float32)
    rows, columns, box_rows, box_columns = _overlap(geometry)
    out[rows, columns] = box[box_rows, box_columns]
    return out


def _resize(box: npt.NDArray[A], size: int, interpolation: int) -> npt.NDArray[A]:
    resized: npt.NDArray[A] = np.asarray(cv2.resize(box, (size, size), interpolation=interpolation))
    return resized.reshape(size, size, *box.shape[2:])  # OpenCV drops a single channel


def _overlap(geometry: Geometry) -> tuple[slice, slice, slice, slice]:
    top, left = max(geometry.top, 0), max(geometry.left, 0)
    # A box that lies beyond the border altogether overlaps nowhere: the slices are empty, never backwards.
    top, left = min(top, geometry.height), min(left, geometry.width)
    bottom = max(min(geometry.top + geometry.side, geometry.height), top)
    right = max(min(geometry.left + geometry.side, geometry.width), left)
    box_rows = slice(top - geometry.top, bottom - geometry.top)
    box_columns = slice(left - geometry.left, right - geometry.left)
    return slice(top, bottom), slice(left, right), box_rows, box_columns


def _cut(image: npt.NDArray[A], geometry: Geometry, fill: float) -> npt.NDArray[A]:
    rows, columns, box_rows, box_columns = _overlap(geometry)
    box = np.full((geometry.side, geometry.side, *image.shape[2:]), fill, dtype=image.dtype)
    box[box_rows, box_columns] = image[rows, columns]
    return box
