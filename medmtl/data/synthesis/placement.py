"""Where lesions may lie: probability maps on a coarse grid, from which occupied ground is taken away."""

from __future__ import annotations

import cv2
import numpy as np

from medmtl.data.synthesis.anatomy import Eye
from medmtl.data.synthesis.drawing import Frame, Mask, Points

_CELLS = 96


class Ground:
    """The free retina of one eye in unit coordinates.

    Args:
        frame: Where the eye lies in the image.
        eye: Its geometry; the disc is no ground.
        fov: Field of view (size, size); a margin of 4 % inside its rim is no ground.
        vessels: Vessel pixels (size, size), avoided but not forbidden.
        rng: Source of the places.
    """

    def __init__(self, frame: Frame, eye: Eye, fov: Mask, vessels: Mask, rng: np.random.Generator) -> None:
        self.rng = rng
        axis = (np.arange(_CELLS) + 0.5) / _CELLS - 0.5
        self.x, self.y = np.meshgrid(axis, axis)
        self.free = _allowed(self.x, self.y, eye, _coarse(fov, frame) > 0.99)
        self.free *= 1 - 0.97 * np.minimum(3 * _coarse(vessels, frame), 1)
        to_fovea = np.hypot(self.x - eye.fovea[0], self.y - eye.fovea[1])
        to_disc = np.hypot(self.x - eye.disc[0], self.y - eye.disc[1])
        self.maps = {
            "posterior": np.exp(-((to_fovea / 0.3) ** 2)) + 0.15,
            "macula": np.exp(-((to_fovea / 0.17) ** 2)) * (to_fovea > 0.02) + 0.02,
            "arcades": np.exp(-((to_disc / 0.35) ** 2)) * np.clip(to_fovea / 0.2, 0.02, 1) ** 2 + 0.02,
        }

    def take(self, where: str, radius: float, claim: float = 1.0) -> Points:
        """Draws a free place by the map of this name, and takes the ground within `claim` times `radius`.

        Returns:
            Unit coordinates (2,).
        """
        weights = self.maps[where] * self.free
        total = np.cumsum(weights)
        cell = int(np.searchsorted(total, self.rng.random() * total[-1]))
        row, column = divmod(min(cell, weights.size - 1), _CELLS)
        place = np.array([self.x[row, column], self.y[row, column]]) + self.rng.uniform(-0.5, 0.5, 2) / _CELLS
        near = (self.x - place[0]) ** 2 + (self.y - place[1]) ** 2 < (claim * radius + 0.5 / _CELLS) ** 2
        self.free[near] *= 1e-4  # never quite zero, so that a crowded eye still finds a place
        return place

    def inside(self, place: Points) -> Points:
        """The place itself where it is on allowed ground, else a place nearby that is."""
        row, column = np.clip((place[::-1] + 0.5) * _CELLS, 0, _CELLS - 1).astype(int)
        if self.free[row, column] > 0:
            return place
        distance = (self.x - place[0]) ** 2 + (self.y - place[1]) ** 2
        row, column = np.unravel_index(np.argmin(np.where(self.free > 0, distance, 9)), distance.shape)
        return np.array([self.x[row, column], self.y[row, column]]) + self.rng.uniform(-1, 1, 2) / _CELLS


def _allowed(x: np.ndarray, y: np.ndarray, eye: Eye, fov: Mask) -> np.ndarray:
    margin = cv2.erode(np.pad(fov, 1).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=3)[1:-1, 1:-1] > 0
    disc = np.hypot((x - eye.disc[0]) / eye.disc_axes[0], (y - eye.disc[1]) / eye.disc_axes[1]) < 1.35
    return np.asarray(margin & ~disc & (np.hypot(x, y) < 0.46), float)


def _coarse(mask: Mask, frame: Frame) -> np.ndarray:
    """Share of mask pixels in each cell of the grid, which spans the field's diameter in the eye's own orientation."""
    step, origin = frame.diameter / _CELLS, (frame.size - 1 - frame.diameter) / 2
    soft = cv2.blur(mask.astype(np.float32), (max(1, round(step)),) * 2)
    zoom = np.array([[step, 0, origin + step / 2], [0, step, origin + step / 2]], np.float32)
    grid = cv2.warpAffine(soft, zoom, (_CELLS, _CELLS), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(grid[:, ::-1] if frame.mirrored else grid)
