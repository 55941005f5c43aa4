"""Synthetic lesions on real photographs of eyes without any: the background is real, place and kind of each lesion are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from medmtl.data.synthesis.anatomy import Eye, Layer
from medmtl.data.synthesis.camera import shoulder
from medmtl.data.synthesis.domain import Domain, draw, resolve
from medmtl.data.synthesis.drawing import Frame, Mask, blurred
from medmtl.data.synthesis.grading import LesionCounts, draw_counts, grade_of
from medmtl.data.synthesis.lesions import LESIONS, paint_lesions
from medmtl.data.synthesis.placement import Ground

Image = NDArray[np.uint8]

_DISC = (0.073, 0.08)  # semi-axes of a usual disc, as shares of the field's diameter
_TO_FOVEA = (0.355, 0.03)  # from its center to the fovea: so far temporally, and so far down


@dataclass(frozen=True)
class Painted:
    """A photograph with lesions painted on it.

    Attributes:
        image: RGB (size, size, 3); the photograph itself, to the byte, beyond the soft outlines of lesions.
        lesions: A mask (size, size) for each name of `LESIONS`; all-zero where the class is absent.
        counts: How many lesions were drawn.
        grade: The grade that follows from them by the rule of `grade_of`.
    """

    image: Image
    lesions: Mapping[str, Mask]
    counts: LesionCounts
    grade: int


def paint(
    image: Image, field: Mask, seed: int | Sequence[int], *, grade: int, domain: Domain | str = "varied"
) -> Painted:
    """Paints lesions on a photograph.

    They change the light as in a synthetic photograph (factors of red, green and blue, softened by the optics), so that
    vessels, grain and shadows of the photograph stay visible through them. The disc, which no lesion is painted on, is
    taken to be the brightest spot, and the fovea to lie at its usual distance: good enough to place lesions by.

    Args:
        image: RGB (size, size, 3), a square about its field of view.
        field: Field of view (size, size), in the middle.
        seed: The same seed gives the same bytes.
        grade: Grade of retinopathy 0-4 that the lesions are drawn for; 0 leaves the photograph as it is.
        domain: Sizes, contrasts and blur of lesions, or the name of a preset; drawn anew for each photograph.
    """
    of_light, of_lesions = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    camera = draw(resolve(domain), of_light)
    counts = draw_counts(grade, of_lesions)
    columns = np.flatnonzero(field.any(axis=0))
    frame = Frame(field.shape[0], float(columns[-1] - columns[0] + 1), mirrored=False)
    eye = likely_eye(image, field, frame)
    ground = Ground(frame, eye, field, np.zeros_like(field), of_lesions)
    painters = paint_lesions(frame, eye, counts, ground, of_lesions, camera)
    layers = [painter.layer() for painter in painters.values()]
    blank = np.zeros_like(field)
    return Painted(
        image=_lit(image, layers, camera.blur * frame.diameter),
        lesions={name: painters[name].mask(field) if name in painters else blank.copy() for name in LESIONS},
        counts=counts,
        grade=grade_of(counts),
    )


def likely_eye(image: Image, field: Mask, frame: Frame) -> Eye:
    """Where disc and fovea are likely to be: the brightest spot as large as a disc, and a usual distance from it.

    Args:
        image: RGB (size, size, 3).
        field: Field of view (size, size).
        frame: Where the field lies.
    """
    inner = blurred(field.astype(np.float32), 0.03 * frame.diameter) > 0.98
    light = blurred(image[..., :2].astype(np.float32).mean(axis=2), 0.03 * frame.diameter)
    slow = blurred(light, 0.12 * frame.diameter)
    row, column = np.unravel_index(np.argmax(np.where(inner, light - slow, -np.inf)), light.shape)
    disc = (np.array([column, row]) - (frame.size - 1) / 2) / frame.diameter
    fovea = disc[0] - math.copysign(_TO_FOVEA[0], disc[0]), disc[1] + _TO_FOVEA[1]
    center = float(disc[0]), float(disc[1])
    return Eye(center, _DISC, center, 0.4, (float(fovea[0]), float(fovea[1])))


def _lit(image: Image, layers: Sequence[Layer], blur: float) -> Image:
    """The photograph seen through layers of log-reflectance; unchanged, to the byte, where they are 0."""
    if not layers:
        return image.copy()
    before = image.astype(np.float32)
    planes = []
    for channel in range(3):
        total = np.zeros(image.shape[:2], np.float32)
        for plane, weights in layers:
            total = cv2.scaleAdd(plane, weights[channel], total)
        total = blurred(total, blur)
        total[np.abs(total) < 1e-3] = 0
        light = before[..., channel]
        planes.append(light + shoulder(light * cv2.exp(total)) - shoulder(light))
    return np.asarray(np.clip(np.rint(np.stack(planes, axis=2)), 0, 255), np.uint8)
