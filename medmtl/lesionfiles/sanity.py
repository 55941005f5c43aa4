"""Detectors that know nothing of lesions: what any heat map must beat, on the same images under the same rule."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medmtl.evaluation import Candidates, Region, peaks, random_candidates
from medmtl.lesionfiles.images import Shape
from medmtl.randomness import derive_seed

Field = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

RANDOM, CONSTANT, CENTER = "random points", "constant map", "center of the field"
DARK, BRIGHT = "dark blobs (LoG, green)", "bright blobs (LoG, green)"
POINTS = 100
"""Candidates of the random and the blob rows in an image."""

_WORK_SIZE = 1024
_SIGMAS = (2.0, 4.0, 8.0)
"""Blob scales in pixels of an image whose longer side is 1024: lesions of about 6 to 22 pixels across."""


def blind_rows(field: Field, seed: int, image: str) -> dict[str, Candidates]:
    """Rows that do not look at the image.

    Args:
        field: Where candidates may lie, shape (H, W).
        seed: Seed of the evaluation.
        image: Name of the image; random points depend on it and on the seed only.

    Returns:
        Random points with random scores; a map of one value, which is one candidate as large as the field; and one point
        at the center of the field. The last two differ only under rules that look at areas.
    """
    rng = np.random.default_rng(derive_seed(seed, "random candidates", image))
    rows, columns = np.nonzero(field)
    away = (rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2
    middle = int(np.argmin(away))
    point = np.array([float(columns[middle])]), np.array([float(rows[middle])]), np.ones(1)
    whole = Region.of_mask(field)
    return {
        RANDOM: random_candidates(field, POINTS, rng),
        CONSTANT: Candidates.points(*point, regions=(whole,)),
        CENTER: Candidates.points(*point),
    }


def blob_rows(picture: Bytes, field: Field) -> dict[str, Candidates]:
    """Blobs of the green channel: extrema of the scale-normalized Laplacian of Gaussian (Lindeberg 1998).

    Args:
        picture: RGB (H, W, 3).
        field: Where candidates may lie, shape (H, W).

    Returns:
        Dark blobs (red lesions, vessels) and bright ones (exudates, reflexes), in original pixels.
    """
    factor = min(1.0, _WORK_SIZE / max(field.shape))
    size = (max(1, round(field.shape[1] * factor)), max(1, round(field.shape[0] * factor)))
    green = cv2.resize(picture[..., 1], size, interpolation=cv2.INTER_AREA).astype(np.float64)
    inside = cv2.resize(field.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    # The surround is filled with the field's own mean, so that its edge is no blob; and the rim is left out.
    filled = np.where(inside, green, green[inside].mean() if inside.any() else 0.0)
    rim = ndimage.binary_erosion(inside, iterations=round(_SIGMAS[-1]), border_value=1)
    responses = np.stack([sigma**2 * ndimage.gaussian_laplace(filled, sigma) for sigma in _SIGMAS])
    found = {DARK: responses.max(axis=0), BRIGHT: (-responses).max(axis=0)}
    return {name: _original(values, rim if rim.any() else inside, field.shape) for name, values in found.items()}


def _original(values: npt.NDArray[np.float64], inside: Field, shape: Shape) -> Candidates:
    found = peaks(values, min_distance=2 * _SIGMAS[0], limit=POINTS, valid=inside)
    scale = shape[1] / values.shape[1], shape[0] / values.shape[0]
    return Candidates.points((found.x + 0.5) * scale[0] - 0.5, (found.y + 0.5) * scale[1] - 0.5, found.score)
