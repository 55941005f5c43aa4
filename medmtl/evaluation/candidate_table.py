"""Candidates of one image and class: points with a score, and, where a rule asks for it, a radius or a region.

Points are (x, y) in the image's pixels, 0-based pixel centers. Candidates are ordered by falling score, then by row and
column, so that nothing depends on chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import FloatArray
from medmtl.evaluation.regions import Region

_COLUMNS = ("x", "y", "score", "area")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates of one image and class as arrays of shape (n,), by falling score.

    Attributes:
        x: Column, 0-based pixel centers.
        y: Row, 0-based pixel centers.
        score: Value of the map, never of a map scaled per image.
        area: Pixels of the region at or above the threshold that holds the candidate (without a threshold that is the
            whole field); 1 for points without a map. For information: rules measure ``regions`` or ``radius``.
        radius: The candidate is a disc of this many pixels around (x, y); None: it is not.
        regions: The pixels of each candidate; None: unknown. Where both are given the regions count.

    Raises:
        EvaluationError: A number is not finite, a radius is negative, or lengths differ.
    """

    x: FloatArray
    y: FloatArray
    score: FloatArray
    area: FloatArray
    radius: FloatArray | None = None
    regions: tuple[Region, ...] | None = None

    def __post_init__(self) -> None:
        names = _COLUMNS if self.radius is None else (*_COLUMNS, "radius")
        columns = [np.asarray(getattr(self, name), dtype=np.float64).reshape(-1) for name in names]
        regions = None if self.regions is None else tuple(self.regions)
        lengths = {len(column) for column in columns} | (set() if regions is None else {len(regions)})
        if len(lengths) != 1 or not all(np.isfinite(column).all() for column in columns):
            raise EvaluationError("candidates need finite x, y, score and area (and radius, region) of one length")
        if self.radius is not None and (columns[-1] < 0).any():
            raise EvaluationError("a candidate's radius is 0 or more", found=columns[-1].min())
        order = np.lexsort((columns[0], columns[1], -columns[2]))
        for name, column in zip(names, columns, strict=True):
            object.__setattr__(self, name, column[order])
        object.__setattr__(self, "regions", None if regions is None else tuple(regions[i] for i in order.tolist()))

    def __len__(self) -> int:
        return len(self.score)

    def take(self, index: npt.ArrayLike) -> Candidates:
        """Keeps the candidates at ``index`` (numbers or a mask)."""
        kept = np.asarray(index)
        kept = np.flatnonzero(kept) if kept.dtype == bool else kept.astype(np.int64)
        return Candidates(
            self.x[kept],
            self.y[kept],
            self.score[kept],
            self.area[kept],
            radius=None if self.radius is None else self.radius[kept],
            regions=None if self.regions is None else tuple(self.regions[i] for i in kept.tolist()),
        )

    @classmethod
    def none(cls) -> Candidates:
        """No candidates."""
        return cls(np.empty(0), np.empty(0), np.empty(0), np.empty(0))

    @classmethod
    def points(
        cls,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        score: npt.ArrayLike,
        *,
        radius: npt.ArrayLike | None = None,
        regions: tuple[Region, ...] | None = None,
    ) -> Candidates:
        """Candidates from a table: points, and a radius or region each where these are known.

        Args:
            x: Columns, in pixels, shape (n,).
            y: Rows, in pixels, shape (n,).
            score: Rising with the evidence, shape (n,).
            radius: Pixels, shape (n,), or one for all.
            regions: The pixels of each, n of them.

        Returns:
            Candidates whose area is that of their region or disc, and 1 for bare points.
        """
        score = np.asarray(score, dtype=np.float64).reshape(-1)
        radii = None if radius is None else np.broadcast_to(np.asarray(radius, dtype=np.float64), score.shape)
        area = np.ones(len(score))
        if regions is not None:
            area = np.array([one.area for one in regions], dtype=np.float64)
        elif radii is not None:
            area = np.maximum(np.pi * radii**2, 1.0)
        return cls(np.asarray(x), np.asarray(y), score, area, radii, regions)
