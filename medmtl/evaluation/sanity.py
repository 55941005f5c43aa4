"""Detectors that know nothing of lesions, and tricks that some rules reward: rows that any report of lesions needs.

A method that does not beat the blobs of the green channel has not shown that it knows lesions. Every function gives
candidates of one image; any other candidates (an untrained network's) can stand beside them as a row of comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.transform import resize

from medmtl.errors import EvaluationError
from medmtl.evaluation.candidates import Candidates, peaks, random_candidates
from medmtl.evaluation.intervals import BoolArray, FloatArray
from medmtl.evaluation.regions import Region

RANDOM, CONSTANT, CENTER = "random points", "constant map", "center of the field"
DARK, BRIGHT = "dark blobs (LoG, green)", "bright blobs (LoG, green)"
"""What reports call the rows."""

BLOB_SIGMAS = (2.0, 4.0, 8.0)
"""Scales of blobs in pixels of an image whose longer side is 1024: lesions of about 6 to 22 pixels across."""

_WORK_SIZE = 1024
TRICK_SHARE = 0.02
"""Share of the field of view of the discs that any-overlap without a guard rewards."""


def constant_candidates(field: npt.ArrayLike) -> Candidates:
    """What a map of one value gives: one candidate as large as the field, at its middle.

    Args:
        field: The field of view, shape (H, W).

    Raises:
        EvaluationError: The field is empty.
    """
    inside = _field(field)
    x, y = _middle(inside)
    return Candidates.points([x], [y], [1.0], regions=(Region.of_mask(inside),))


def center_candidates(field: npt.ArrayLike, radius: float | None = None) -> Candidates:
    """One point in the middle of the field of view, where the macula often is.

    Args:
        field: The field of view, shape (H, W).
        radius: Of a disc around it in pixels, for rules that compare areas; None: a point.

    Raises:
        EvaluationError: The field is empty.
    """
    x, y = _middle(_field(field))
    return Candidates.points([x], [y], [1.0], radius=radius)


def blob_candidates(image: npt.ArrayLike, field: npt.ArrayLike, *, bright: bool, limit: int = 100) -> Candidates:
    """Blobs of the green channel: extrema of the scale-normalized Laplacian of Gaussian (Lindeberg 1998).

    Worked out on the image reduced to 1024 pixels; the surround is filled with the field's own mean so that its edge is
    no blob, and a rim of the largest scale is left out.

    Args:
        image: RGB of shape (H, W, 3), or one channel of shape (H, W).
        field: The field of view, shape (H, W).
        bright: Bright blobs (exudates, reflexes), else dark ones (red lesions, vessels).
        limit: Most candidates.

    Returns:
        Candidates in the image's pixels, each a disc of radius sigma * sqrt(2), which is the blob's size.

    Raises:
        EvaluationError: Image and field differ in shape, or the field is empty.
    """
    pixels, inside = np.asarray(image, dtype=np.float64), _field(field)
    green = pixels[..., 1] if pixels.ndim == 3 else pixels
    if green.shape != inside.shape:
        raise EvaluationError("image and field of view differ in shape", found=f"{green.shape} and {inside.shape}")
    scale = min(1.0, _WORK_SIZE / max(inside.shape))
    if scale < 1:
        size = tuple(max(1, round(length * scale)) for length in inside.shape)
        green = resize(green, size, order=1, anti_aliasing=True, preserve_range=True)
        inside = resize(inside.astype(np.float64), size, order=0) > 0.5
    found, sigma = _blobs(green, inside, -1.0 if bright else 1.0, limit)
    steps = np.asarray(field).shape[1] / green.shape[1], np.asarray(field).shape[0] / green.shape[0]
    x, y = ((part + 0.5) * step - 0.5 for part, step in zip((found.x, found.y), steps, strict=True))
    return Candidates.points(x, y, found.score, radius=sigma * math.sqrt(2) * steps[0])


def field_discs(candidates: Candidates, field: npt.ArrayLike, share: float = TRICK_SHARE) -> Candidates:
    """The trick: the same points and scores as discs of a share of the field of view, which touch whatever is near.

    Args:
        candidates: A model's.
        field: The field of view, shape (H, W).
        share: Area of each disc / area of the field.

    Raises:
        EvaluationError: The field is empty, or the share is not in (0, 1].
    """
    return Candidates.points(candidates.x, candidates.y, candidates.score, radius=_disc_radius(_field(field), share))


def random_discs(
    field: npt.ArrayLike, image_score: float, n: int, rng: np.random.Generator, share: float = TRICK_SHARE
) -> Candidates:
    """The trick without a model of lesions: random discs, ordered by the image's score alone.

    The n-th disc of an image scores ``image_score`` less a vanishing step, so that among images the score decides and
    within an image chance does.

    Args:
        field: The field of view, shape (H, W).
        image_score: Of the image, such as its probability of disease.
        n: How many discs.
        rng: Source of the draws.
        share: Area of each disc / area of the field.

    Raises:
        EvaluationError: The field is empty, or the share is not in (0, 1].
    """
    inside = _field(field)
    drawn = random_candidates(inside, n, rng)
    steps = np.arange(len(drawn)) * (max(abs(image_score), 1.0) * 1e-12)
    # Of a score at the end of the range of float64 the steps would lead out of it: the discs begin a little higher then.
    scores = max(image_score, -float(np.finfo(np.float64).max) + float(steps.max(initial=0.0))) - steps
    return Candidates.points(drawn.x, drawn.y, scores, radius=_disc_radius(inside, share))


def covered_share(candidates: Sequence[Candidates], fields: Sequence[npt.ArrayLike]) -> float:
    """Share of the fields of view that candidates with regions or radii cover, all images together.

    Without it a high sensitivity by any overlap says little: who covers everything touches everything.

    Args:
        candidates: Image by image; bare points cover nothing.
        fields: The field of view of each image, shape (H, W).

    Raises:
        EvaluationError: A field is empty, or the lists differ in length.
    """
    if len(candidates) != len(fields):
        raise EvaluationError("candidates and fields differ in number", found=f"{len(candidates)} and {len(fields)}")
    covered = total = 0
    for one, field in zip(candidates, fields, strict=True):
        inside = _field(field)
        covered += int(np.count_nonzero(_cover(one, inside.shape) & inside))
        total += int(np.count_nonzero(inside))
    return covered / total if total else math.nan


def _cover(candidates: Candidates, shape: tuple[int, ...]) -> BoolArray:
    size = (shape[0], shape[1])
    canvas = np.zeros(size, dtype=bool)
    regions = candidates.regions
    if regions is None and candidates.radius is not None:
        discs = zip(candidates.x.tolist(), candidates.y.tolist(), candidates.radius.tolist(), strict=True)
        regions = tuple(Region.circle(*disc, size) for disc in discs)
    for one in regions or ():
        height, width = one.mask.shape
        canvas[one.top : one.top + height, one.left : one.left + width] |= one.mask
    return canvas


def _blobs(green: FloatArray, inside: BoolArray, sign: float, limit: int) -> tuple[Candidates, FloatArray]:
    filled = np.where(inside, green, green[inside].mean())
    rim = ndimage.binary_erosion(inside, iterations=round(BLOB_SIGMAS[-1]), border_value=1)
    responses = np.stack([sign * sigma**2 * ndimage.gaussian_laplace(filled, sigma) for sigma in BLOB_SIGMAS])
    found = peaks(responses.max(axis=0), 0.0, 2 * BLOB_SIGMAS[0], limit, rim if rim.any() else inside)
    best = responses.argmax(axis=0)[found.y.astype(np.int64), found.x.astype(np.int64)]
    return found, np.asarray(BLOB_SIGMAS)[best]


def _disc_radius(field: BoolArray, share: float) -> float:
    if not 0 < share <= 1:
        raise EvaluationError("a disc is a share of the field of view above 0, at most 1", found=share)
    return math.sqrt(share * np.count_nonzero(field) / math.pi)


def _field(field: npt.ArrayLike) -> BoolArray:
    inside = np.asarray(field).astype(bool)
    if inside.ndim != 2 or not inside.any():
        raise EvaluationError("a field of view is a mask (H, W) that holds a pixel", found=f"shape {inside.shape}")
    return inside


def _middle(field: BoolArray) -> tuple[float, float]:
    """The pixel of the field nearest to its center, (x, y)."""
    rows, columns = np.nonzero(field)
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    return float(columns[nearest]), float(rows[nearest])
