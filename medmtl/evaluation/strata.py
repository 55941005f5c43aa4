"""Matches by size of lesion and by site: the same assignment, counted for a part of the lesions or of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import BoolArray, Groups, IntArray
from medmtl.evaluation.lesions import Matches, Outcome


def size_edges(images: Sequence[Matches], parts: int = 3) -> tuple[float, ...]:
    """Areas that cut the lesions into parts of about equal number, from what is true only.

    Args:
        images: The matches of every evaluated image.
        parts: How many; fewer come out where many lesions have one area.

    Returns:
        Rising edges in pixels, the first 0, the last infinite.

    Raises:
        EvaluationError: The matches do not know the areas.
    """
    area = np.concatenate([np.empty(0, np.int64), *(_area(image) for image in images)])
    if not len(area):
        return 0.0, float("inf")
    inner = np.unique(np.ceil(np.quantile(area, np.arange(1, parts) / parts)))
    return 0.0, *(float(edge) for edge in inner if area.min() < edge <= area.max()), float("inf")


def by_size(images: Sequence[Matches], low: float, high: float) -> tuple[Matches, ...]:
    """Counts only lesions of ``low`` <= area < ``high``; what found another lesion counts neither way.

    False positives and further hits stay what they are, whatever lesion was hit again, so the rates of false positives
    are those of all lesions together by every counting.

    Args:
        images: The matches of every evaluated image.
        low: Least area in pixels.
        high: Area from which on a lesion is too large.

    Raises:
        EvaluationError: The matches do not know the areas.
    """
    return tuple(_of_size(image, (_area(image) >= low) & (_area(image) < high)) for image in images)


def _of_size(image: Matches, kept: BoolArray) -> Matches:
    number = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)])
    target: IntArray = number[image.target]
    lost: BoolArray = (image.outcome == Outcome.TRUE_POSITIVE) & (target == 0)
    outcome = np.where(lost, Outcome.IGNORED, image.outcome)
    return replace(
        image,
        outcome=outcome,
        target=target,
        lesions=int(kept.sum()),
        first=None if image.first is None else image.first[kept],
        area=_area(image)[kept],
        elsewhere=_first_of(image, ~kept, lost),
        taken=lost if image.taken is None else lost | image.taken,
        uncounted=image.uncounted + int((~kept).sum()),
    )


def _first_of(image: Matches, dropped: BoolArray, lost: BoolArray) -> BoolArray:
    """Which candidates are the first to hit a lesion that is dropped now or was before."""
    found = np.zeros(len(image.score), dtype=bool) if image.elsewhere is None else image.elsewhere.copy()
    if image.first is None:
        found |= lost  # as strict counting has it
    else:
        found[image.first[dropped & (image.first >= 0)]] = True
    return found


def by_site(images: Sequence[Matches], sites: Groups) -> dict[str, list[int]]:
    """The numbers of the images of each site (or device, or any other group), by name.

    Args:
        images: The matches of every evaluated image.
        sites: The site of each.

    Raises:
        EvaluationError: There are not as many names as images.
    """
    if len(sites) != len(images):
        raise EvaluationError("sites and images differ in number", found=f"{len(sites)} and {len(images)}")
    found: dict[str, list[int]] = {}
    for number, site in enumerate(sites):
        found.setdefault(str(site), []).append(number)
    return dict(sorted(found.items()))


def _area(image: Matches) -> IntArray:
    if image.area is None:
        raise EvaluationError(
            "these matches do not know the areas of lesions", remedy="make them by match or match_images"
        )
    return image.area
