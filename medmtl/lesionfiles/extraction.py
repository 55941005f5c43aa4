"""How heat maps are cut into candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from medmtl.errors import ConfigError
from medmtl.evaluation import Candidates, components, peaks
from medmtl.lesionfiles.kinds import check_number

Field = npt.NDArray[np.bool_]
Method = Literal["peaks", "components"]
Score = Literal["max", "mean"]
Position = Literal["peak", "centroid"]


@dataclass(frozen=True)
class Extraction:
    """How heat maps become candidates.

    Attributes:
        method: ``peaks``: local maxima; ``components``: 8-connected regions at or above the threshold.
        threshold: Least score of a candidate; needed for components.
        min_distance: Least distance of two peaks in pixels; needed for peaks.
        limit: Most peaks of an image and class, the highest first; None: all.
        missing_values: NaN in a map means that nothing is known there; otherwise it is refused.
        score: A component's score: its highest value, or the mean of its pixels; None: the highest.
        position: A component's point: its highest pixel, or its centroid weighted by the excess over the threshold; None:
            the highest pixel.
    """

    method: Method | None = None
    threshold: float | None = None
    min_distance: float | None = None
    limit: int | None = None
    missing_values: bool = False
    score: Score | None = None
    position: Position | None = None

    def check(self, folder: bool) -> None:
        """Refuses options that are missing, impossible, or mean nothing here.

        Args:
            folder: Candidates come from a folder of heat maps.

        Raises:
            ConfigError: With the option.
        """
        given = {
            "--extract": self.method,
            "--threshold": self.threshold,
            "--min-distance": self.min_distance,
            "--limit": self.limit,
            "--score": self.score,
            "--position": self.position,
            "--missing-values": self.missing_values or None,
        }
        asked = [name for name, value in given.items() if value is not None]
        if not folder:
            if asked:
                remedy = "leave it: a table holds candidates already"
                raise ConfigError("this option is for a folder of heat maps", where=asked[0], remedy=remedy)
            return
        self._check_numbers()
        if self.method is None:
            remedy = "say --extract peaks --min-distance PIXELS, or --extract components --threshold SCORE"
            raise ConfigError("heat maps must be cut into candidates", where="--extract", remedy=remedy)
        needed, value = (
            ("--min-distance", self.min_distance) if self.method == "peaks" else ("--threshold", self.threshold)
        )
        if value is None:
            raise ConfigError(f"{self.method} need {needed}", where=needed, remedy=f"add {needed} NUMBER")
        self._check_others()

    def _check_others(self) -> None:
        """Refuses options of the other method."""
        others: dict[str, float | str | None] = {"--min-distance": self.min_distance, "--limit": self.limit}
        what, remedy = "components know no such option", "leave it, or use peaks"
        if self.method == "peaks":
            others = {"--score": self.score, "--position": self.position}
            what, remedy = "peaks are points with the score of their pixel", "leave it, or use --extract components"
        for name, value in others.items():
            if value is not None:
                raise ConfigError(what, where=name, found=value, remedy=remedy)

    def _check_numbers(self) -> None:
        if self.threshold is not None:
            check_number("--threshold", self.threshold)
        if self.min_distance is not None:
            check_number("--min-distance", self.min_distance, least=0)
        if self.limit is not None:
            check_number("--limit", self.limit, least=1, whole=True)

    @property
    def caption(self) -> str:
        """The extraction in words."""
        if self.method == "components":
            scored = "the mean of their pixels" if self.score == "mean" else "their highest pixel"
            placed = (
                ", placed at their centroid weighted by the excess over that" if self.position == "centroid" else ""
            )
            return f"8-connected regions of the map at or above {self.threshold:g}, scored by {scored}{placed}"
        least = "" if self.threshold is None else f" at or above {self.threshold:g}"
        most = "" if self.limit is None else f", at most {self.limit} an image and class"
        return f"local maxima of the map{least}, at least {self.min_distance:g} pixels apart{most}"

    def extract(self, values: npt.NDArray[np.float64], field: Field | None) -> Candidates:
        """Cuts a map into candidates.

        Args:
            values: Shape (H, W); NaN where nothing is known.
            field: Where candidates may lie, shape (H, W); None: everywhere.
        """
        known = np.isfinite(values)
        inside = known if field is None else known & field
        if not inside.any():
            return Candidates.none()
        shown = np.where(known, values, 0.0)
        if self.method == "components":
            score, position = self.score or "max", self.position or "peak"
            return components(shown, self.threshold or 0.0, inside, score=score, position=position)
        threshold = -math.inf if self.threshold is None else self.threshold
        return peaks(shown, threshold, self.min_distance or 0.0, self.limit, inside)
