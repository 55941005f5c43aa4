"""From vessel segments to planes: the labels of the truth, and what the image needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medmtl.data.synthesis.drawing import Canvas, Frame, Mask, Plane, Points, ribbon
from medmtl.data.synthesis.vessels import ARTERY, VEIN, Segment


@dataclass(frozen=True)
class VesselPlanes:
    """The drawn vessels, each plane (size, size).

    Attributes:
        labels: 0 background, 1 artery, 2 vein, 3 both (a crossing); a pixel counts where half of it is covered.
        artery: Optical depth of the arteries, 0-1.
        vein: Optical depth of the veins, 0-1.
        reflex: The bright line in the middle of wide vessels, 0-1.
    """

    labels: NDArray[np.uint8]
    artery: Plane
    vein: Plane
    reflex: Plane


def draw_vessels(frame: Frame, segments: list[Segment], fov: Mask) -> VesselPlanes:
    """Draws the segments; those thinner than 0.45 pixels are left out, others are at least 0.95 wide."""
    depth = {ARTERY: Canvas(frame), VEIN: Canvas(frame)}
    reflex = Canvas(frame)
    pixel = 1 / frame.diameter
    for segment in segments:
        if segment.width[0] < 0.45 * pixel:
            continue
        half = np.maximum(segment.width, 0.95 * pixel) / 2
        outline = _extended(segment.points, half, reflex.rim)
        depth[segment.kind].fill(outline, min(1.0, 0.35 + 65 * float(segment.width.mean())))
        if segment.width[0] > max(0.006, 3 * pixel):
            line = 0.28 if segment.kind == ARTERY else 0.2
            reflex.fill(ribbon(segment.points, half * line), 1.0 if segment.kind == ARTERY else 0.4)
    labels = sum((np.uint8(k) * (depth[k].covered() >= 0.5) for k in (ARTERY, VEIN)), np.zeros(fov.shape, np.uint8))
    soft = 0.0006
    planes = depth[ARTERY].coverage(soft), depth[VEIN].coverage(soft), reflex.coverage(soft)
    return VesselPlanes(np.where(fov, labels, 0).astype(np.uint8), *planes)


def _extended(points: Points, half: NDArray[np.float64], rim: float) -> Points:
    """The outline of a segment, lengthened a little so that neighbours join without a notch."""
    ends = points.copy()
    for tip, inner in ((0, 1), (-1, -2)):
        direction = points[tip] - points[inner]
        ends[tip] += direction / max(float(np.hypot(*direction)), 1e-9) * half[tip] * 0.5
    return ribbon(ends, np.maximum(half - rim, rim))
