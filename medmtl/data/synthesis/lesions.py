"""The four lesions of diabetic retinopathy: where they lie, their shapes, their planes and exact masks.

Sizes and contrasts follow the medians measured on IDRiD's pixel-level part (benchmarks/synthetic_realism.py), with a
floor in pixels, below which a lesion would vanish in a small image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from medmtl.data.synthesis.anatomy import Eye, Layer
from medmtl.data.synthesis.domain import Domain
from medmtl.data.synthesis.drawing import Canvas, Frame, Mask, Points, blob
from medmtl.data.synthesis.grading import LesionCounts
from medmtl.data.synthesis.placement import Ground

LESIONS = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates")

BLOOD = (-0.28, -1.0, -0.7)
"""Weights of blood outside the vessels in the logarithm of red, green and blue."""


@dataclass(frozen=True)
class Look:
    """How one class of lesions looks.

    Attributes:
        diameter: Median diameter, share of the field's.
        spread: Standard deviation of its logarithm.
        floor: Least diameter, pixels.
        strength: Median absolute change of the logarithm of green.
        softness: Blur of the outline, share of the field's diameter.
        weights: Change of the logarithm of red, green and blue for strength 1.
    """

    diameter: float
    spread: float
    floor: float
    strength: float
    softness: float
    weights: tuple[float, float, float]


LOOKS = {
    "microaneurysms": Look(0.0053, 0.28, 2.6, 0.19, 0.0006, BLOOD),
    "haemorrhages": Look(0.0112, 0.5, 3.8, 0.165, 0.0012, BLOOD),
    "hard_exudates": Look(0.0056, 0.5, 2.2, 0.2, 0.0004, (0.3, 1.0, 0.75)),
    "soft_exudates": Look(0.031, 0.3, 7.0, 0.3, 0.006, (0.25, 1.0, 1.05)),
}

_FULL = 0.8  # the log change that the value 1 on a strength canvas means


class LesionPainter:
    """Draws the lesions of one class: their strength for the image, their shapes for the mask."""

    def __init__(self, name: str, frame: Frame, rng: np.random.Generator, domain: Domain) -> None:
        look = LOOKS[name]
        diameter, strength = look.diameter * domain.lesion_size, look.strength * domain.lesion_contrast
        self.look = replace(look, diameter=diameter, strength=strength)
        self.frame, self.rng = frame, rng
        self.canvas = Canvas(frame)

    def diameter(self, factor: float = 1.0) -> float:
        """Draws a diameter, share of the field's, not below the floor in pixels."""
        drawn = factor * self.look.diameter * math.exp(self.look.spread * float(np.clip(self.rng.normal(), -2, 2.5)))
        return max(drawn, self.look.floor / self.frame.diameter)

    def paint(self, outline: Points, factor: float = 1.0) -> None:
        """Fills an outline with a strength drawn about the class's median."""
        strength = factor * self.look.strength * math.exp(0.35 * float(np.clip(self.rng.normal(), -1.5, 2.5)))
        self.canvas.fill(outline, min(1.0, strength / _FULL))

    def mask(self, fov: Mask) -> Mask:
        """The pixels of which the lesions cover at least half, after the softening of their outlines."""
        return np.asarray((self.canvas.covered(self.look.softness) >= 0.5) & fov)

    def layer(self) -> Layer:
        """The lesions' layer of log-reflectance."""
        return self.canvas.coverage(self.look.softness) * np.float32(_FULL), self.look.weights


def paint_lesions(
    frame: Frame, eye: Eye, counts: LesionCounts, ground: Ground, rng: np.random.Generator, domain: Domain
) -> dict[str, LesionPainter]:
    """Paints all lesions; classes without any are left out.

    Large lesions are placed first, and each takes its ground, so that lesions of two classes rarely overlap.
    """
    painters = {name: LesionPainter(name, frame, rng, domain) for name in LESIONS if getattr(counts, name)}
    if "haemorrhages" in painters:
        _haemorrhages(painters["haemorrhages"], counts, eye, ground)
    if "soft_exudates" in painters:
        _soft_exudates(painters["soft_exudates"], counts.soft_exudates, eye, ground)
    if "hard_exudates" in painters:
        _hard_exudates(painters["hard_exudates"], counts.hard_exudates, ground)
    if "microaneurysms" in painters:
        _microaneurysms(painters["microaneurysms"], counts.microaneurysms, ground)
    return painters


def _microaneurysms(painter: LesionPainter, count: int, ground: Ground) -> None:
    for _ in range(count):
        radius = painter.diameter() / 2
        painter.paint(blob(painter.rng, ground.take("posterior", radius), radius, roughness=0.06))


def _haemorrhages(painter: LesionPainter, counts: LesionCounts, eye: Eye, ground: Ground) -> None:
    """Preretinal pools with a level, then dots and blots (two thirds) and flames along the nerve fibres."""
    rng = painter.rng
    for _ in range(counts.preretinal):
        radius = float(rng.uniform(0.045, 0.08))
        painter.paint(_boat(ground.take("arcades", radius), radius, rng), 2.2)
    for _ in range(counts.haemorrhages - counts.preretinal):
        radius = painter.diameter() / 2
        if rng.random() < 0.67:
            painter.paint(
                blob(rng, ground.take("posterior", radius), radius, aspect=rng.uniform(1, 1.5), roughness=0.2)
            )
        else:
            _flame(painter, ground.take("arcades", 1.5 * radius), 1.3 * radius, eye)


def _flame(painter: LesionPainter, center: Points, radius: float, eye: Eye) -> None:
    """Streaks side by side in the direction of the nerve fibres, which run from the disc round the fovea."""
    rng = painter.rng
    angle = fibre_direction(center, eye)
    across = np.array([-math.sin(angle), math.cos(angle)])
    along = np.array([math.cos(angle), math.sin(angle)])
    painter.paint(blob(rng, center, radius, aspect=rng.uniform(2, 3), angle=angle, roughness=0.2))
    for _ in range(2):
        shift = across * rng.normal(0, 0.35) * radius + along * rng.normal(0, 0.7) * radius
        painter.paint(blob(rng, center + shift, 0.6 * radius, aspect=rng.uniform(3.5, 5), angle=angle, roughness=0.1))


def fibre_direction(point: Points, eye: Eye) -> float:
    """Angle of the nerve fibres at a point: away from the disc, bent round the fovea on its temporal side."""
    away = point - np.array(eye.disc)
    from_fovea = point - np.array(eye.fovea)
    distance = float(np.hypot(*from_fovea))
    weight = math.exp(-((distance / 0.2) ** 2))
    tangent = np.array([-from_fovea[1], from_fovea[0]]) / max(distance, 1e-6)
    tangent *= math.copysign(1.0, float(tangent @ away)) if tangent @ away else 1.0
    direction = (1 - weight) * away / max(float(np.hypot(*away)), 1e-6) + weight * tangent
    return math.atan2(direction[1], direction[0])


def _boat(center: Points, radius: float, rng: np.random.Generator) -> Points:
    """A pool of blood with a level upper side."""
    outline = blob(rng, np.zeros(2), radius, aspect=1.3, roughness=0.05)
    outline[:, 1] = np.maximum(outline[:, 1], -0.25 * radius) - 0.25 * radius
    return outline + center


def _hard_exudates(painter: LesionPainter, count: int, ground: Ground) -> None:
    """Specks in clusters, scattered or in a ring about a leaking spot; a few flow together into plaques."""
    rng = painter.rng
    left = count
    while left:
        members = min(left, 3 + int(rng.exponential(22)))
        extent = float(rng.uniform(0.018, 0.03) * math.sqrt(0.5 + members / 12))
        center = ground.take("macula", extent, claim=0.5)
        ring, plaque = rng.random() < 0.4, 0.35 * bool(rng.random() < 0.5)
        for k in range(members):
            turn, reach = rng.uniform(0, 2 * math.pi), rng.normal(1, 0.15) if ring else abs(rng.normal(0, 0.6))
            place = center + extent * reach * np.array([math.cos(turn), math.sin(turn)])
            size = painter.diameter(0.85 + 2.5 * plaque * (k < members * 0.12))
            place = ground.inside(place)
            boost = 1 + min(1.2, 40 * max(0.0, size - 0.007))
            painter.paint(blob(rng, place, size / 2, aspect=rng.uniform(1, 1.5), angle=turn, roughness=0.2), boost)
        left -= members


def _soft_exudates(painter: LesionPainter, count: int, eye: Eye, ground: Ground) -> None:
    for _ in range(count):
        radius = painter.diameter() / 2
        center = ground.take("arcades", radius)
        angle = fibre_direction(center, eye) + math.pi / 2
        painter.paint(
            blob(painter.rng, center, radius, aspect=painter.rng.uniform(1.1, 1.9), angle=angle, roughness=0.18)
        )
