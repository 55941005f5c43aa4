"""Retinal vessels: four arcades of arteries and veins that branch by Murray's law and fill the retina.

At a branching, the widths obey w0^3 = w1^3 + w2^3 (Murray, PNAS 12:207, 1926). A branch wanders smoothly, turns to the
fovea inside the arcades and away from the disc outside, and ends before it meets another vessel of its own kind: an
artery crosses veins, never arteries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medmtl.data.synthesis.anatomy import Eye
from medmtl.data.synthesis.drawing import Points

ARTERY, VEIN = 1, 2

_STEP = 0.011  # share of the field's diameter
_THINNEST = 0.004
_CELLS = 110  # of the occupancy grid, across 1.1 field diameters
_AVASCULAR = 0.035  # radius of the foveal zone without vessels


@dataclass(frozen=True)
class Segment:
    """A piece of vessel between two branchings, in unit coordinates.

    Attributes:
        points: Centre line (n, 2).
        width: Full width along it (n,).
        kind: `ARTERY` or `VEIN`.
    """

    points: Points
    width: NDArray[np.float64]
    kind: int


@dataclass
class _Tip:
    """The growing end of a branch; `guide` holds the points that a main vessel still has to pass."""

    x: float
    y: float
    heading: float
    width: float
    left: float
    side: int
    guide: list[tuple[float, float]] = field(default_factory=list)


class _Tree:
    """All vessels of one kind, grown tip by tip."""

    def __init__(self, eye: Eye, kind: int, tortuosity: float, rng: np.random.Generator) -> None:
        self.eye, self.kind, self.rng = eye, kind, rng
        self.tortuosity = tortuosity
        self.taken = np.zeros((_CELLS, _CELLS), np.int32)
        self.segments: list[Segment] = []
        self.tips: list[_Tip] = []
        self.number = 0

    def grow(self) -> list[Segment]:
        """Grows every tip, the wide ones first, until none is left."""
        while self.tips and self.number < 400:
            self.tips.sort(key=lambda tip: tip.width)
            self._branch(self.tips.pop())
        return self.segments

    def _branch(self, tip: _Tip) -> None:
        """Follows one branch to its end, cutting it into segments where side branches leave."""
        self.number += 1
        noise = self.rng.normal(0, self.tortuosity * (1 if tip.guide else 1.5), 250).tolist()
        points, bend, next_split, walked = [(tip.x, tip.y)], 0.0, float(self.rng.uniform(0.03, 0.07)), 0
        cells: list[tuple[int, int]] = []
        while walked < 250 and tip.left > 0 and self._free(tip, walked):
            bend = 0.88 * bend + noise[walked]  # wanders about the heading and comes back: no loops
            tip.heading += self._steer(tip)
            tip.x += _STEP * math.cos(tip.heading + bend)
            tip.y += _STEP * math.sin(tip.heading + bend)
            points.append((tip.x, tip.y))
            cells.append(_cell(tip.x, tip.y))
            tip.left -= _STEP
            next_split -= _STEP
            walked += 1
            if next_split <= 0 and not self._inside_disc(tip):
                self._emit(points, tip.width)
                points, next_split = [points[-1]], self._split(tip)
                if tip.width < _THINNEST:
                    break
        self._emit(points, tip.width, end=tip.width if tip.guide else max(0.7 * tip.width, 0.0024))
        for row, column in cells:
            self.taken[row, column] = self.number

    def _emit(self, points: list[tuple[float, float]], width: float, end: float | None = None) -> None:
        if len(points) > 1:
            line = np.array(points)
            self.segments.append(Segment(line, _taper(width, end, len(line)), self.kind))

    def _split(self, tip: _Tip) -> float:
        """Sends off a side branch, thins the tip by Murray's law, and says how far the next one is."""
        share = float(self.rng.uniform(0.12, 0.6) if tip.guide else self.rng.uniform(0.25, 0.5))
        child = tip.width * share ** (1 / 3)
        if tip.guide:  # side branches of a main vessel are much thinner than it
            child = min(child, 0.62 * tip.width)
        cubed = tip.width**3 - child**3
        angle = float(self.rng.uniform(0.55, 1.15))
        tip.side = -tip.side if self.rng.random() < 0.75 else tip.side
        if child >= _THINNEST:
            length = child * float(self.rng.uniform(30, 62))
            self.tips.append(_Tip(tip.x, tip.y, tip.heading + tip.side * angle, child, length, -tip.side))
        # The main vessel keeps more than Murray's share: many of its twigs are too thin to be drawn.
        tip.width = cubed ** (1 / 3) if not tip.guide else 0.5 * (cubed ** (1 / 3) + tip.width)
        if not tip.guide:
            tip.heading -= tip.side * 0.25 * angle * share
        return float(self.rng.uniform(0.065, 0.18))

    def _steer(self, tip: _Tip) -> float:
        """The turn of this step: to the next guide point, or to the fovea inside and outwards outside the arcades."""
        while len(tip.guide) > 1 and _passed(tip, *tip.guide[0]):
            tip.guide.pop(0)
        fovea_x, fovea_y = self.eye.fovea[0] - tip.x, self.eye.fovea[1] - tip.y
        if tip.guide:
            target, gain = math.atan2(tip.guide[0][1] - tip.y, tip.guide[0][0] - tip.x), 0.2
        elif math.hypot(fovea_x, fovea_y) < 0.26:
            target, gain = math.atan2(fovea_y, fovea_x), 0.05
        else:
            target, gain = math.atan2(tip.y - self.eye.disc[1], tip.x - self.eye.disc[0]), 0.04
        return gain * math.sin(target - tip.heading)

    def _free(self, tip: _Tip, walked: int) -> bool:
        """Whether the tip may go on: within the field, outside the avascular zone, not into its own kind."""
        if math.hypot(tip.x, tip.y) > 0.52:
            return False
        if math.hypot(tip.x - self.eye.fovea[0], tip.y - self.eye.fovea[1]) < _AVASCULAR:
            return False
        if tip.guide or walked < 4:
            return True
        ahead = tip.x + 1.6 * _STEP * math.cos(tip.heading), tip.y + 1.6 * _STEP * math.sin(tip.heading)
        return self.taken[_cell(*ahead)] in (0, self.number)

    def _inside_disc(self, tip: _Tip) -> bool:
        return math.hypot(tip.x - self.eye.disc[0], tip.y - self.eye.disc[1]) < 1.15 * self.eye.disc_axes[1]


def _taper(start: float, end: float | None, count: int) -> NDArray[np.float64]:
    return np.full(count, start) if end is None else start + (end - start) * np.arange(count) / (count - 1)


def _passed(tip: _Tip, x: float, y: float) -> bool:
    """Whether a guide point is near or behind."""
    dx, dy = x - tip.x, y - tip.y
    return math.hypot(dx, dy) < 0.05 or dx * math.cos(tip.heading) + dy * math.sin(tip.heading) < 0


def _cell(x: float, y: float) -> tuple[int, int]:
    row, column = int((y + 0.55) / 1.1 * _CELLS), int((x + 0.55) / 1.1 * _CELLS)
    return min(max(row, 0), _CELLS - 1), min(max(column, 0), _CELLS - 1)


def _arcade(eye: Eye, up: int, wide: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Guide points of a temporal arcade: out of the disc, round the macula, towards the raphe."""
    (dx, dy), (fx, fy) = eye.disc, eye.fovea
    points = [
        (dx + 0.3 * (wide - 0.26), dy + up * 0.09),
        (dx - 0.09, dy + up * (0.13 + 0.35 * wide)),
        (fx + 0.12, fy + up * wide),
        (fx - 0.05, fy + up * wide * 1.03),
        (fx - 0.2, fy + up * wide * 0.86),
        (fx - 0.34, fy + up * wide * 0.6),
        (fx - 0.55, fy + up * wide * 0.45),
    ]
    return [(x + rng.normal(0, 0.012), y + rng.normal(0, 0.009)) for x, y in points]


def _nasal(eye: Eye, up: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Guide points of a nasal vessel: out of the disc and away."""
    (dx, dy), tilt = eye.disc, rng.uniform(0.5, 1.1)
    return [(dx + 0.03 + r * math.cos(tilt), dy + up * (0.05 + r * math.sin(tilt))) for r in (0.06, 0.2, 0.5)]


def _plant(tree: _Tree, calibre: float, spread: float) -> None:
    """Sets the tips at the disc: two temporal and two nasal main vessels, and small macular ones."""
    rng, eye = tree.rng, tree.eye
    root_x, root_y = eye.disc[0] + rng.uniform(0.0, 0.25) * eye.disc_axes[0], eye.disc[1] + rng.normal(0, 0.006)
    for up in (-1, 1):
        y = root_y + up * rng.uniform(0.004, 0.012)
        lift = up * rng.uniform(1.3, 1.8)
        wide = spread + rng.uniform(-0.01, 0.02)
        width = calibre * rng.uniform(0.9, 1.1)
        tree.tips.append(_Tip(root_x, y, lift, width, 9.0, up, _arcade(eye, up, wide, rng)))
        width = calibre * rng.uniform(0.55, 0.75)
        tree.tips.append(_Tip(root_x + 0.004, y, up * rng.uniform(0.7, 1.3), width, 9.0, up, _nasal(eye, up, rng)))
        if rng.random() < 0.5:
            heading = math.pi - up * rng.uniform(0.3, 0.8)
            width = calibre * rng.uniform(0.28, 0.4)
            tree.tips.append(_Tip(root_x, y, heading, width, rng.uniform(0.2, 0.34), up))
    if rng.random() < 0.7:
        tree.tips.append(_Tip(root_x, root_y, rng.normal(0, 0.3), calibre * 0.4, 0.4, 1))


def grow_vessels(eye: Eye, rng: np.random.Generator) -> list[Segment]:
    """Grows the arteries (thinner) and veins (wider) of an eye.

    Returns:
        Segments in unit coordinates, the thin ones first, so that drawing in this order keeps the wide ones whole.
    """
    tortuosity = rng.uniform(0.05, 0.11)
    spread = rng.uniform(0.205, 0.255)  # of the arcades about the fovea; veins run outside the arteries
    segments: list[Segment] = []
    for kind, calibre, wiggle in ((ARTERY, rng.uniform(0.0105, 0.0125), 1.0), (VEIN, rng.uniform(0.0135, 0.0165), 1.1)):
        tree = _Tree(eye, kind, tortuosity * wiggle, rng)
        _plant(tree, calibre, spread + (0.02 if kind == VEIN else -0.02))
        segments += tree.grow()
    return sorted(segments, key=lambda segment: float(segment.width[0]))
