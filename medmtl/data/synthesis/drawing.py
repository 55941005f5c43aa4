"""Drawing with sub-pixel precision: unit coordinates, polygons on a finer canvas, smooth random fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (n, 2): x, y in units of the field's diameter, origin at its centre, nasal = +x
Plane = NDArray[np.float32]  # (size, size)
Mask = NDArray[np.bool_]  # (size, size)

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


@dataclass(frozen=True)
class Frame:
    """Where the eye lies in the image: from unit coordinates (field diameter = 1, nasal = +x) to pixels.

    Attributes:
        size: Side of the square image, pixels.
        diameter: Diameter of the field of view, pixels.
        mirrored: True for a left eye, whose nasal side is on the left of the image.
    """

    size: int
    diameter: float
    mirrored: bool

    def pixels(self, points: Points) -> Points:
        """Unit coordinates (..., 2) to pixels (x, y), 0-based pixel centres."""
        flip = np.array([-1.0 if self.mirrored else 1.0, 1.0])
        return np.asarray(points * flip * self.diameter + (self.size - 1) / 2)

    def grid(self) -> tuple[Plane, Plane]:
        """Unit coordinates of the pixel centres: x as a row (1, size), y as a column (size, 1)."""
        axis = ((np.arange(self.size) - (self.size - 1) / 2) / self.diameter).astype(np.float32)
        return (-axis if self.mirrored else axis)[None, :], axis[:, None]


class Canvas:
    """A plane finer than the image, on which polygons are filled; `coverage` brings it back to the image's pixels."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.factor = 2 if frame.size >= 400 else 4
        side = frame.size * self.factor
        self.values: NDArray[np.uint8] = np.zeros((side, side), np.uint8)
        fixed = self.factor * 2.0**_SHIFT
        self._scale = frame.diameter * fixed * np.array([-1.0 if frame.mirrored else 1.0, 1.0])
        self._origin = frame.size / 2 * fixed - 0.5 * 2.0**_SHIFT

    def fill(self, polygon: Points, value: float = 1.0) -> None:
        """Fills a polygon (n, 2) in unit coordinates with a value in [0, 1]."""
        fine = np.rint(polygon * self._scale + self._origin).astype(np.int32)
        cv2.fillPoly(self.values, [fine], max(1, round(255 * value)), shift=_SHIFT)

    def coverage(self, blur: float = 0.0) -> Plane:
        """Mean value under each pixel (size, size) in [0, 1], blurred by `blur` units (standard deviation)."""
        return self._reduced(self.values, blur)

    def covered(self, blur: float = 0.0) -> Plane:
        """Share of each pixel that any polygon covers, whatever its value, blurred alike."""
        return self._reduced(cv2.compare(self.values, 0, cv2.CMP_GT), blur)

    def _reduced(self, values: NDArray[np.uint8], blur: float) -> Plane:
        plane = cv2.resize(values, (self.frame.size,) * 2, interpolation=cv2.INTER_AREA).astype(np.float32)
        return blurred(plane * np.float32(1 / 255), blur * self.frame.diameter)

    @property
    def rim(self) -> float:
        """Half a fine pixel in unit coordinates: by so much OpenCV's fill exceeds the polygon on each side."""
        return 0.5 / (self.factor * self.frame.diameter)


def blurred(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur; less than a fifth of a pixel is no blur."""
    if sigma < 0.2:
        return plane
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def ribbon(points: Points, half_width: NDArray[np.float64]) -> Points:
    """The outline of a line (n, 2) of varying half width (n,)."""
    tangent = np.empty_like(points)
    tangent[1:-1] = points[2:] - points[:-2]
    tangent[0], tangent[-1] = points[1] - points[0], points[-1] - points[-2]
    offset = tangent[:, ::-1] * np.array([-1.0, 1.0])
    offset *= (half_width / np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9))[:, None]
    return np.concatenate([points + offset, (points - offset)[::-1]])


def blob(
    rng: np.random.Generator,
    center: Points,
    radius: float,
    *,
    aspect: float = 1.0,
    angle: float = 0.0,
    roughness: float = 0.1,
) -> Points:
    """An irregular round outline of the area of a circle of `radius`, `aspect` times longer along `angle`."""
    t = np.linspace(0, 2 * np.pi, 8 if radius < 0.004 else 20, endpoint=False)
    k = np.arange(2, 6)[:, None]
    waves = rng.normal(0, 1, (4, 1)) / k * np.cos(k * t + rng.uniform(0, 2 * np.pi, (4, 1)))
    r = radius * np.clip(1 + 2 * roughness * waves.sum(0), 0.5, 1.6)
    x, y = r * np.cos(t) * np.sqrt(aspect), r * np.sin(t) / np.sqrt(aspect)
    return np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], 1) + center


def smooth_field(rng: np.random.Generator, size: int, cells: int) -> Plane:
    """A smooth random field (size, size) of about unit variance whose features are 1/cells of the image."""
    coarse = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    middle = min(size, 6 * cells)  # the slow cubic step need not be finer than this
    step = cells / middle
    zoom = np.array([[step, 0, 1], [0, step, 1]], np.float32)
    field = cv2.warpAffine(coarse, zoom, (middle, middle), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def ellipse(frame: Frame, center: Iterable[float], axes: tuple[float, float]) -> Plane:
    """Elliptic distance (size, size): 1 on the ellipse of semi-axes (x, y), 0 at its centre."""
    x, y = frame.grid()
    cx, cy = center
    return np.sqrt(((x - np.float32(cx)) / axes[0]) ** 2 + ((y - np.float32(cy)) / axes[1]) ** 2).astype(np.float32)
