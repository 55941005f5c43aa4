"""The eye: positions and sizes of disc, cup and fovea, and how the bare retina reflects.

Lengths are shares of the field's diameter. A field of 45-50 degrees shows a disc of about 0.15 of it, and the fovea
about 2.4 disc diameters temporal to and a little below the disc's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medmtl.data.synthesis.domain import Domain
from medmtl.data.synthesis.drawing import Frame, Mask, Plane, ellipse, smooth_field

GLAUCOMA_RATIO = 0.6
"""From this vertical cup/disc ratio on, an eye is called glaucomatous."""

Layer = tuple[Plane, tuple[float, float, float]]
"""A map and its weight in the logarithm of red, green and blue: layers add up to the log-reflectance."""


@dataclass(frozen=True)
class Eye:
    """Geometry of one eye in unit coordinates (field diameter = 1, origin at its centre, nasal = +x).

    Attributes:
        disc: Centre of the disc.
        disc_axes: Its semi-axes (horizontal, vertical).
        cup: Centre of the cup, a little temporal in the disc.
        ratio: Cup/disc ratio of the vertical diameters.
        fovea: Centre of the fovea.
    """

    disc: tuple[float, float]
    disc_axes: tuple[float, float]
    cup: tuple[float, float]
    ratio: float
    fovea: tuple[float, float]

    @property
    def cup_axes(self) -> tuple[float, float]:
        """Semi-axes (horizontal, vertical) of the cup."""
        return 0.96 * self.ratio * self.disc_axes[0], self.ratio * self.disc_axes[1]

    @property
    def glaucoma(self) -> bool:
        """The stated rule: vertical cup/disc ratio at or above `GLAUCOMA_RATIO`."""
        return self.ratio >= GLAUCOMA_RATIO


def draw_eye(rng: np.random.Generator) -> Eye:
    """Draws the geometry of an eye; a quarter of the eyes are glaucomatous."""
    disc = rng.uniform(0.29, 0.36), rng.uniform(-0.05, 0.05)
    radius = rng.uniform(0.066, 0.08)
    axes = radius, radius * rng.uniform(1.03, 1.14)
    healthy = float(np.clip(rng.normal(0.4, 0.08), 0.2, 0.54))
    sick = float(rng.uniform(0.65, 0.85))
    ratio = sick if rng.random() < 0.25 else healthy
    distance, drop = radius * rng.uniform(4.5, 5.2), rng.uniform(0.01, 0.05)
    cup = disc[0] - 0.4 * (1 - ratio) * radius, disc[1] + 0.1 * (1 - ratio) * radius * rng.uniform(-1, 1)
    return Eye(disc, axes, cup, ratio, (disc[0] - distance, disc[1] + drop))


def field_mask(frame: Frame, cut: float) -> Mask:
    """The field of view: a disc whose top and bottom the sensor may cut off."""
    x, y = frame.grid()
    return (x * x + y * y <= 0.25) & (np.abs(y) <= 0.5 - cut)


def disc_masks(frame: Frame, eye: Eye) -> tuple[Mask, Mask]:
    """The masks of the disc and of the cup within it."""
    disc = ellipse(frame, eye.disc, eye.disc_axes) <= 1
    return disc, disc & (ellipse(frame, eye.cup, eye.cup_axes) <= 1)


def _edge(distance: Plane, softness: float) -> Plane:
    """1 inside, 0 outside, half on the ellipse; `softness` is the width as a share of the radius."""
    return np.asarray(0.5 - 0.5 * np.clip((distance - 1) / softness, -1, 1), np.float32)


def disc_layers(frame: Frame, eye: Eye, rng: np.random.Generator) -> list[Layer]:
    """The bright disc, the brighter cup, and the paler halo that half of the eyes have around the disc."""
    strength = rng.uniform(0.75, 1.1)
    distance = ellipse(frame, eye.disc, eye.disc_axes)
    cup = _edge(ellipse(frame, eye.cup, eye.cup_axes), 0.35)
    halo = np.exp(-2.0 * np.square(np.maximum(distance - 0.9, 0))) * np.float32(rng.uniform(0, 0.25))
    return [
        (_edge(distance, 0.13) * np.float32(strength), (0.2, 0.62, 0.7)),
        (cup * np.float32(rng.uniform(0.25, 0.45)), (0.2, 0.75, 1.1)),
        (halo, (0.3, 0.9, 0.8)),
    ]


def retina_layers(frame: Frame, eye: Eye, domain: Domain, rng: np.random.Generator) -> list[Layer]:
    """The macula's pigment, slow changes of colour, and the choroid that shines through."""
    squared = np.square(ellipse(frame, eye.fovea, (1.0, 1.0)))
    macula = 0.26 * np.exp(-squared / (2 * 0.075**2)) + 0.26 * np.exp(-squared / (2 * 0.022**2))
    mottle = 0.6 * smooth_field(rng, frame.size, 5) + 0.3 * smooth_field(rng, frame.size, 14)
    mottle += 0.2 * smooth_field(rng, frame.size, 60)
    # Choroidal vessels: the ridges of a random field, hidden by the macula's pigment.
    ridge = 1 - 2.2 * np.abs(smooth_field(rng, frame.size, 24) + 0.3 * smooth_field(rng, frame.size, 50))
    choroid = np.clip(ridge, -1, 1) * np.clip(squared / 0.06, 0.1, 1) * np.float32(domain.pigmentation)
    return [
        (macula.astype(np.float32) * np.float32(rng.uniform(0.6, 1.3)), (-0.7, -1.0, -0.8)),
        (mottle.astype(np.float32), (0.035, 0.05, 0.06)),
        (choroid.astype(np.float32), (0.06, 0.11, 0.08)),
    ]
