"""Where a candidate lies in the eye: quadrant and distances in disc diameters, as far as disc, fovea and side are known.

Nothing is estimated that was not given: a place without a fovea has no distance to it, and a quadrant without the side
of the nose says only above or below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medmtl.errors import EvaluationError

Point = tuple[float, float]
Side = Literal["L", "R"]
MAIN_SHARE = 0.8
"""Least share of a mask's pixels in its largest piece; below it the mask shows no one disc."""


@dataclass(frozen=True)
class Anatomy:
    """What is known of one eye, in original pixels (0-based centers).

    Attributes:
        laterality: ``R`` or ``L``.
        disc: Center of the optic disc.
        disc_diameter: Its diameter.
        fovea: Center of the fovea.
        origin: Where this comes from, for the reader.
    """

    laterality: Side | None = None
    disc: Point | None = None
    disc_diameter: float | None = None
    fovea: Point | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        if self.disc_diameter is not None and not (math.isfinite(self.disc_diameter) and self.disc_diameter > 0):
            raise EvaluationError("a disc's diameter is above 0", found=self.disc_diameter)

    @property
    def known(self) -> bool:
        """Whether anything of a place can be said."""
        return self.disc is not None or self.fovea is not None

    @property
    def contradiction(self) -> bool:
        """Whether the side of the disc is not that of the eye, as in a picture that is mirrored."""
        seen, told = self._seen_nasal(), self._told_nasal()
        return seen is not None and told is not None and seen != told

    @property
    def nasal(self) -> int | None:
        """The side of the nose: 1 to the right of the picture, -1 to the left; None where unknown or contradictory."""
        if self.contradiction:
            return None
        return self._seen_nasal() or self._told_nasal()

    def _seen_nasal(self) -> int | None:
        if self.disc is None or self.fovea is None or self.disc[0] == self.fovea[0]:
            return None
        return 1 if self.disc[0] > self.fovea[0] else -1

    def _told_nasal(self) -> int | None:
        return None if self.laterality is None else 1 if self.laterality == "R" else -1


@dataclass(frozen=True)
class Position:
    """Where a point lies.

    Attributes:
        quadrant: ``superior temporal`` and so on, about the center; ``superior`` or ``inferior`` alone where the side of
            the nose is not known; empty where there is no center.
        center: What the quadrant is about: ``fovea``, or ``disc`` where the fovea is not known.
        from_fovea: Distance in disc diameters, NaN where not known.
        from_disc: Distance from the disc's center in disc diameters, NaN where not known.
    """

    quadrant: str = ""
    center: str = ""
    from_fovea: float = math.nan
    from_disc: float = math.nan


def position(x: float, y: float, anatomy: Anatomy) -> Position:
    """Places a point of the picture in the eye.

    Args:
        x: Column, original pixels.
        y: Row, original pixels.
        anatomy: What is known of the eye.
    """
    if not anatomy.known:
        return Position()
    middle = anatomy.fovea or anatomy.disc
    assert middle is not None  # noqa: S101  one of them is known
    return Position(
        _quadrant(x - middle[0], y - middle[1], anatomy.nasal),
        "fovea" if anatomy.fovea is not None else "disc",
        _distance(x, y, anatomy.fovea, anatomy.disc_diameter),
        _distance(x, y, anatomy.disc, anatomy.disc_diameter),
    )


def disc_of_mask(mask: npt.NDArray[np.bool_]) -> tuple[Point, float] | None:
    """Center and diameter of the disc that a mask shows; None where it shows none, or none of one piece.

    Args:
        mask: (H, W).

    Returns:
        The center of gravity (x, y) of the largest piece, and the diameter of the circle of its area, in pixels.
    """
    pieces, count = ndimage.label(mask)
    if not count:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    if sizes.max() < MAIN_SHARE * sizes.sum():
        return None
    row, column = ndimage.center_of_mass(pieces == int(sizes.argmax()) + 1)
    return (float(column), float(row)), 2 * math.sqrt(float(sizes.max()) / math.pi)


def _quadrant(right: float, down: float, nasal: int | None) -> str:
    height = "superior" if down < 0 else "inferior"
    if nasal is None:
        return height
    return f"{height} {'nasal' if right * nasal > 0 else 'temporal'}"


def _distance(x: float, y: float, point: Point | None, unit: float | None) -> float:
    if point is None or unit is None:
        return math.nan
    return math.hypot(x - point[0], y - point[1]) / unit
