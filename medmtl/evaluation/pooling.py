"""The candidates and lesions of one class in many images side by side, so that rules work on all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from medmtl.errors import EvaluationError, suggestion
from medmtl.evaluation.candidate_table import Candidates
from medmtl.evaluation.encounters import CandidatePool, Encounters
from medmtl.evaluation.intervals import FloatArray, IntArray
from medmtl.evaluation.region_table import RegionTable
from medmtl.evaluation.targets import Targets

_FAR = 1e9
"""Points further out than this many pixels are as far as this."""


@dataclass(frozen=True, eq=False)
class MatchPool:
    """Candidates against lesions, other classes' lesions, irrelevant findings and pixels of unknown truth.

    Made once, it serves every rule: what costs (runs of pixels, overlaps) is kept.

    Attributes:
        score: Scores of all candidates, image by image, shape (n,).
        image: The image of each candidate, shape (n,).
        ends: Where each image's candidates begin, and the end, shape (images + 1,).
        lesion_ends: The same of lesions, shape (images + 1,).
        uncounted: Lesions and findings of each image that count neither way, shape (images,).
        lesions: Candidates against the lesions.
        irrelevant: Candidates against irrelevant findings.
        hidden: Candidates against pixels of unknown truth.
        others: Candidates against the lesions of each other class.
    """

    score: FloatArray
    image: IntArray
    ends: IntArray
    lesion_ends: IntArray
    uncounted: IntArray
    lesions: Encounters
    irrelevant: Encounters
    hidden: Encounters
    others: tuple[Encounters, ...]

    @classmethod
    def of(
        cls,
        candidates: Sequence[Candidates],
        targets: Sequence[Targets],
        others: Sequence[Sequence[Targets]] | Mapping[Any, Sequence[Targets]] = (),
    ) -> MatchPool:
        """Puts images side by side.

        Args:
            candidates: Of one class, image by image.
            targets: The lesions of that class, image by image.
            others: The lesions of every other class, image by image.

        Raises:
            EvaluationError: The sequences are of different length, or classes of one image differ in shape.
        """
        classes = list(others.values() if isinstance(others, Mapping) else others)
        for one in (candidates, *classes):
            if len(one) != len(targets):
                raise EvaluationError(
                    "candidates and lesions are of different numbers of images", found=f"{len(one)} and {len(targets)}"
                )
        for one in classes:
            wrong = [(a.shape, b.shape) for a, b in zip(one, targets, strict=True) if a.shape != b.shape]
            if wrong:
                raise EvaluationError(
                    "classes of one image differ in shape (H, W)", found=f"{wrong[0][0]}, {wrong[0][1]}"
                )
        counts = np.array([len(one) for one in candidates], dtype=np.int64)
        pool = _candidate_pool(candidates, targets, np.repeat(np.arange(len(counts)), counts))
        return cls(
            score=_joined(candidates, "score"),
            image=pool.image,
            ends=_ends(counts),
            lesion_ends=_ends(np.array([one.count for one in targets], dtype=np.int64)),
            uncounted=np.array([one.dropped + one.ignored for one in targets], dtype=np.int64),
            lesions=_encounters(pool, [one.lesions for one in targets]),
            irrelevant=_encounters(pool, [one.irrelevant for one in targets]),
            hidden=_encounters(pool, [one.hidden for one in targets]),
            others=tuple(_encounters(pool, [target.lesions for target in one]) for one in classes),
        )

    @staticmethod
    def check_option(other_class: str) -> None:
        """Makes sure the option for hits on other classes exists.

        Raises:
            EvaluationError: It does not.
        """
        options = ("false_positive", "ignored")
        if other_class not in options:
            raise EvaluationError(
                "a hit on another class is a false positive or ignored",
                found=other_class,
                remedy=suggestion(other_class, options),
            )


def disc_runs(x: FloatArray, y: FloatArray, radius: FloatArray, shapes: IntArray) -> RegionTable:
    """Discs as a table of regions: the pixels of ``Region.circle``, without their masks.

    Args:
        x: Columns of the centers, shape (n,).
        y: Rows of the centers, shape (n,).
        radius: In pixels, shape (n,).
        shapes: Height and width of the image of each, shape (n, 2).
    """
    under = [np.floor(part + 0.5).astype(np.int64) for part in (y, x)]
    top = np.maximum(np.minimum(np.ceil(y - radius).astype(np.int64), under[0]), 0)
    bottom = np.minimum(np.maximum(np.floor(y + radius).astype(np.int64), under[0]), shapes[:, 0] - 1)
    height = np.maximum(bottom - top + 1, 0)
    disc = np.repeat(np.arange(len(x)), height)
    row = np.arange(len(disc)) - np.repeat(np.cumsum(height) - height, height) + top[disc]
    cx, square, down = x[disc], radius[disc] ** 2, (row - y[disc]) ** 2
    half = np.sqrt(np.maximum(square - down, 0.0))
    start, stop = np.ceil(cx - half).astype(np.int64), np.floor(cx + half).astype(np.int64)
    # The square root rounds: the ends are checked by the definition itself.
    start = np.where((start - 1 - cx) ** 2 + down <= square, start - 1, start)
    start = np.where((start - cx) ** 2 + down > square, start + 1, start)
    stop = np.where((stop + 1 - cx) ** 2 + down <= square, stop + 1, stop)
    stop = np.where((stop - cx) ** 2 + down > square, stop - 1, stop)
    middle = under[1][disc]
    lone = (start > stop) & (row == under[0][disc])
    start, stop = np.where(lone, middle, start), np.where(lone, middle, stop)
    start, stop = np.maximum(start, 0), np.minimum(stop, shapes[disc, 1] - 1)
    kept = start <= stop
    return RegionTable.of_runs(row[kept], start[kept], stop[kept] + 1, disc[kept], len(x))


def _candidate_pool(candidates: Sequence[Candidates], targets: Sequence[Targets], image: IntArray) -> CandidatePool:
    x, y = (np.clip(_joined(candidates, name), -_FAR, _FAR) for name in ("x", "y"))
    some = [one for one in candidates if len(one)]
    if all(one.regions is not None for one in some):
        table = RegionTable.of_regions(list(chain.from_iterable(one.regions or () for one in some)))
        return CandidatePool(x, y, image, table)
    if all(one.regions is not None or one.radius is not None for one in some):
        return CandidatePool(x, y, image, _mixed(candidates, targets))
    return CandidatePool(x, y, image, None)


def _mixed(candidates: Sequence[Candidates], targets: Sequence[Targets]) -> RegionTable:
    """The pixels of candidates of which some are discs."""
    tables = []
    for one, target in zip(candidates, targets, strict=True):
        if one.regions is not None:
            tables.append(RegionTable.of_regions(one.regions))
        elif one.radius is not None:
            shapes = np.tile(np.array(target.shape, dtype=np.int64), (len(one), 1))
            tables.append(disc_runs(one.x, one.y, one.radius, shapes))
    return RegionTable.concatenated(tables)


def _encounters(pool: CandidatePool, tables: Sequence[RegionTable]) -> Encounters:
    """Faces candidates with the regions of each image, without the empty ones."""
    table = RegionTable.concatenated(tables)
    image = np.repeat(np.arange(len(tables)), [len(one) for one in tables])
    full = np.flatnonzero(table.area)
    if len(full) < len(table):
        table, image = table.take(full), image[full]
    return Encounters(pool, table, image)


def _joined(candidates: Sequence[Candidates], name: str) -> FloatArray:
    return np.concatenate([getattr(one, name) for one in candidates] or [np.empty(0)])


def _ends(counts: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(counts)])
