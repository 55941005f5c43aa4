"""Rows beside the evaluated candidates: detectors that know nothing, and tricks that rules of overlap reward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medmtl.evaluation import Candidates, HitRule, random_candidates
from medmtl.evaluation.rules import AnyOverlap, DiceOverlap, IntersectionOverUnion
from medmtl.evaluation.sanity import (
    BRIGHT,
    CENTER,
    CONSTANT,
    DARK,
    RANDOM,
    blob_candidates,
    center_candidates,
    constant_candidates,
    field_discs,
    random_discs,
)
from medmtl.randomness import derive_seed

Field = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

DISCS, RANDOM_DISCS = "trick: its points as discs of 2 % of the field", "trick: random such discs by image score"
ROWS = (RANDOM, CONSTANT, CENTER, DARK, BRIGHT, DISCS, RANDOM_DISCS)
"""Names of all rows that are made here."""

AS_DISCS = (RANDOM, CENTER)
"""Rows of points, which rules that compare areas see as discs of the evaluated candidates' median radius."""

POINTS = 100
"""Candidates of the random and the blob rows in an image."""


def sanity_rows(field: Field, picture: Bytes | None, seed: int, image: str) -> dict[str, Candidates]:
    """Detectors that know nothing of lesions: what any heat map must beat.

    Args:
        field: Where candidates may lie, shape (H, W).
        picture: RGB (H, W, 3) for the blobs of the green channel; None: no such rows.
        seed: Seed of the evaluation.
        image: Name of the image; random points depend on it and on the seed only.
    """
    rows = {
        RANDOM: random_candidates(field, POINTS, _stream(seed, "random candidates", image)),
        CONSTANT: constant_candidates(field),
        CENTER: center_candidates(field),
    }
    if picture is None:
        return rows
    blobs = {DARK: False, BRIGHT: True}
    return rows | {name: blob_candidates(picture, field, bright=bright, limit=POINTS) for name, bright in blobs.items()}


def trick_rows(candidates: Candidates, field: Field, seed: int, image: str) -> dict[str, Candidates]:
    """What a rule of overlap gives away: discs of 2 % of the field, at the candidates' places or anywhere.

    Args:
        candidates: The evaluated ones of one image and class.
        field: Where candidates may lie, shape (H, W).
        seed: Seed of the evaluation.
        image: Name of the image.
    """
    highest = float(candidates.score[0]) if len(candidates) else None
    rng = _stream(seed, "random discs", image)
    anywhere = Candidates.none() if highest is None else random_discs(field, highest, len(candidates), rng)
    return {DISCS: field_discs(candidates, field), RANDOM_DISCS: anywhere}


def median_radius(candidates: Sequence[Candidates]) -> float | None:
    """Median radius of candidates in their images' pixels, that of a region being that of a disc of its area.

    Args:
        candidates: Image by image.

    Returns:
        None where there is no candidate, or one is a bare point.
    """
    radii = []
    for one in candidates:
        if one.regions is not None:
            radii.append(np.sqrt(np.array([region.area for region in one.regions]) / np.pi))
        elif one.radius is not None:
            radii.append(one.radius)
        elif len(one):
            return None
    every = np.concatenate(radii or [np.empty(0)])
    return float(np.median(every)) if len(every) else None


def as_discs(points: Candidates, radius: float) -> Candidates:
    """The same points and scores as discs: rules of points see no difference.

    Args:
        points: The candidates.
        radius: In pixels.
    """
    return Candidates.points(points.x, points.y, points.score, radius=radius)


def compares_areas(rule: HitRule) -> bool:
    """Whether a rule looks at regions, so that tricks with large ones could pay."""
    return isinstance(rule, AnyOverlap | IntersectionOverUnion | DiceOverlap)


def _stream(seed: int, name: str, image: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, name, image))
