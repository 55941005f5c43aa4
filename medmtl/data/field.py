"""The field of view of a fundus image: where the retina is, and where the black surround begins."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

_WORK_SIZE = 512
_SMALLEST_SHARE = 0.15
_LEAST_CONVEX = 0.97
"""A field is a disc, cut by straight edges at most: one that fills less of its convex hull has lost a part in a shadow."""


@dataclass(frozen=True)
class FieldOfView:
    """Where the retina lies in an image.

    Attributes:
        mask: (H, W) bool, true inside the field.
        box: (top, left, bottom, right) of the field, the last two exclusive.
        found: False where no field was found and the whole image stands in for it.
    """

    mask: npt.NDArray[np.bool_]
    box: tuple[int, int, int, int]
    found: bool


def find_field(image: npt.NDArray[np.floating]) -> FieldOfView:
    """Finds the field of view as the largest bright region, closed, without holes, and without bites cut by shadows.

    The surround of a fundus image is black up to sensor noise and compression; the threshold lies between the level of
    the image's border and that of its bright part, so that dark images keep their field.

    Args:
        image: (H, W, 3), values in [0, 1].

    Returns:
        The field; the whole image, with ``found=False``, where less than 15 % of it is brighter than the surround.
    """
    height, width = image.shape[:2]
    factor = min(1.0, _WORK_SIZE / max(height, width))
    small_size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(image.astype(np.float32), small_size, interpolation=cv2.INTER_AREA)
    mask = _largest_bright_region(small.max(axis=2))
    if mask.mean() < _SMALLEST_SHARE:
        return FieldOfView(np.ones((height, width), dtype=bool), (0, 0, height, width), found=False)
    full = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
    return FieldOfView(full, bounding_box(full), found=True)


def bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) around the true pixels of a mask that has some, the last two exclusive."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _largest_bright_region(brightness: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    bright = brightness > _surround_threshold(brightness)
    labels, count = ndimage.label(ndimage.binary_opening(bright, iterations=2))
    if count == 0:
        return np.zeros_like(bright)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    region = labels == sizes.argmax()
    radius = max(3, round(0.03 * max(region.shape)))
    closed = _close(region, radius)
    filled = np.asarray(ndimage.binary_fill_holes(closed))
    hull = _convex_hull(filled)
    return filled if filled.sum() >= _LEAST_CONVEX * hull.sum() else hull


def _convex_hull(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(outlines)), 1)
    return hull > 0


def _surround_threshold(brightness: npt.NDArray[np.float32]) -> float:
    bright = float(np.percentile(brightness, 90))
    corners = np.concatenate(
        [
            brightness[:8, :8].ravel(),
            brightness[:8, -8:].ravel(),
            brightness[-8:, :8].ravel(),
            brightness[-8:, -8:].ravel(),
        ]
    )
    surround = min(float(np.median(corners)), 0.12)
    return surround + max(0.02, 0.12 * (bright - surround))


def _close(mask: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    # Closing at the image border would erode a field that touches it, so the mask is padded by its own edge.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = np.pad(mask.astype(np.uint8), 2 * radius, mode="edge")
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)
    inner = slice(2 * radius, -2 * radius)
    return np.asarray(closed[inner, inner] > 0)
