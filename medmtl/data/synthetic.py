"""Synthetic fundus photographs with exact truth for every task, from a seed alone.

A photograph is a sum of layers of log-reflectance (retina, disc, vessels, lesions) seen through a camera. Eye, vessels,
lesions and camera draw from separate streams of the seed: the same seed with grade 0 is the same eye without lesions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medmtl.data.synthesis.anatomy import (
    GLAUCOMA_RATIO,
    Layer,
    disc_layers,
    disc_masks,
    draw_eye,
    field_mask,
    retina_layers,
)
from medmtl.data.synthesis.camera import expose, light_layers
from medmtl.data.synthesis.distractors import distractor_layers
from medmtl.data.synthesis.domain import DOMAINS, Domain, draw, resolve
from medmtl.data.synthesis.drawing import Frame, Mask
from medmtl.data.synthesis.grading import LesionCounts, check_grade, draw_counts, grade_of
from medmtl.data.synthesis.lesions import LESIONS, paint_lesions
from medmtl.data.synthesis.placement import Ground
from medmtl.data.synthesis.vessel_drawing import VesselPlanes, draw_vessels
from medmtl.data.synthesis.vessels import grow_vessels
from medmtl.data.synthesis.writing import plan_dataset, write_planned
from medmtl.errors import ConfigError

__all__ = [
    "DOMAINS",
    "GLAUCOMA_RATIO",
    "LESIONS",
    "Domain",
    "Fundus",
    "LesionCounts",
    "grade_of",
    "synthesize",
    "write_dataset",
]

SMALLEST = 64
"""The smallest side of an image, pixels."""

Laterality = Literal["L", "R"]


@dataclass(frozen=True)
class Fundus:
    """A synthetic fundus photograph and everything that is true of it.

    Attributes:
        image: RGB (size, size, 3).
        fov: Field of view (size, size).
        vessels: (size, size): 0 background, 1 artery, 2 vein, 3 crossing of both.
        disc: Optic disc (size, size).
        cup: Cup (size, size), within the disc.
        lesions: A mask (size, size) for each name of `LESIONS`; all-zero where the class is absent.
        fovea: Its centre (x, y), pixels.
        disc_center: The disc's centre (x, y), pixels.
        laterality: Right eyes have the disc on the right of the image, left eyes on the left.
        counts: How many lesions were drawn; ones that touch are one blob in the mask.
        grade: Diabetic retinopathy 0-4, by the rule of `grade_of` from `counts`.
        cup_disc_ratio: Of the vertical diameters.
        glaucoma: Whether that ratio is at least `GLAUCOMA_RATIO`.
    """

    image: NDArray[np.uint8]
    fov: Mask
    vessels: NDArray[np.uint8]
    disc: Mask
    cup: Mask
    lesions: Mapping[str, Mask]
    fovea: tuple[float, float]
    disc_center: tuple[float, float]
    laterality: Laterality
    counts: LesionCounts
    grade: int
    cup_disc_ratio: float
    glaucoma: bool

    @property
    def referable(self) -> bool:
        """Whether retinopathy is more than mild: grade 2 and above."""
        return self.grade >= 2


def synthesize(
    size: int,
    seed: int | Sequence[int],
    *,
    domain: Domain | str = "standard",
    grade: int | None = None,
    laterality: Laterality | None = None,
) -> Fundus:
    """Makes one fundus photograph.

    Args:
        size: Side of the square image, pixels, at least 64. Structures scale with it.
        seed: Non-negative integer, or several; the same seed gives the same bytes.
        domain: A camera and population, or the name of a preset in `DOMAINS`.
        grade: Wished grade of retinopathy 0-4; drawn evenly if None. Lesions alone depend on it.
        laterality: ``"L"`` or ``"R"``; drawn if None.

    Raises:
        ConfigError: A size below 64, a negative seed, an unknown domain, grade or laterality.
    """
    _check(size, seed, laterality)
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(6)]
    of_eye, of_vessels, of_lesions, of_light, of_noise, of_choice = streams
    camera = draw(resolve(domain), of_light)
    chosen_side: Laterality = "R" if of_choice.random() < 0.5 else "L"
    chosen_grade = int(of_choice.integers(0, 5))
    side = laterality or chosen_side
    counts = draw_counts(chosen_grade if grade is None else check_grade(grade), of_lesions)

    frame = Frame(size, size * float(of_light.uniform(0.94, 0.985)), mirrored=side == "L")
    eye, fov = draw_eye(of_eye), field_mask(frame, camera.cut)
    vessels = draw_vessels(frame, grow_vessels(eye, of_vessels), fov)
    layers = light_layers(frame, camera, of_light) + retina_layers(frame, eye, camera, of_eye)
    layers += disc_layers(frame, eye, of_eye) + distractor_layers(frame, eye, of_eye)
    layers += _vessel_layers(vessels, camera.vessel_contrast)
    ground = Ground(frame, eye, fov, vessels.labels > 0, of_lesions)
    painters = paint_lesions(frame, eye, counts, ground, of_lesions, camera)
    layers += [painter.layer() for painter in painters.values()]
    disc, cup = disc_masks(frame, eye)
    blank = np.zeros_like(fov)
    return Fundus(
        image=expose(layers, frame, camera, fov, of_noise),
        fov=fov,
        vessels=vessels.labels,
        disc=disc & fov,
        cup=cup & fov,
        lesions={name: painters[name].mask(fov) if name in painters else blank.copy() for name in LESIONS},
        fovea=_point(frame, eye.fovea),
        disc_center=_point(frame, eye.disc),
        laterality=side,
        counts=counts,
        grade=grade_of(counts),
        cup_disc_ratio=eye.ratio,
        glaucoma=eye.glaucoma,
    )


def _check(size: int, seed: int | Sequence[int], laterality: str | None) -> None:
    if size < SMALLEST:
        raise ConfigError("synthetic image too small", found=f"{size} px", remedy=f"use at least {SMALLEST}")
    if min([seed] if isinstance(seed, int) else seed) < 0:
        raise ConfigError("negative seed", found=seed, remedy="use 0 or above")
    if laterality not in (None, "L", "R"):
        raise ConfigError("unknown laterality", found=repr(laterality), remedy="use L or R")


def _vessel_layers(planes: VesselPlanes, contrast: float) -> list[Layer]:
    """Blood absorbs green most; arteries hold more oxygen and look redder and brighter, with a central reflex."""
    factor = np.float32(contrast)
    return [
        (planes.artery * factor, (-0.04, -0.31, -0.19)),
        (planes.vein * factor, (-0.14, -0.42, -0.28)),
        (planes.reflex * factor, (0.05, 0.15, 0.1)),
    ]


def _point(frame: Frame, place: tuple[float, float]) -> tuple[float, float]:
    x, y = frame.pixels(np.array(place))
    return float(x), float(y)


def write_dataset(
    n: int,
    seed: int,
    out: Path | str,
    *,
    size: int = 512,
    grades: Sequence[float] = (0.35, 0.15, 0.2, 0.15, 0.15),
    splits: tuple[float, float, float] = (0.6, 0.2, 0.2),
    domain: Domain | str = "standard",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes a data set with its manifest; the folder appears when it is complete, or not at all.

    Images 2k and 2k+1 are the two eyes of patient k and share a split. Image, grade and split of each index follow from
    (seed, index) alone, so that a smaller data set is the beginning of a larger one.

    Args:
        n: Number of images.
        seed: Seed of the data set.
        out: The folder to make; must not exist, or be empty.
        size: Side of the images, pixels.
        grades: Weights of the grades 0-4 of a patient's worse eye.
        splits: Weights of train, val and test among patients, met within each grade.
        domain: Camera and population, or the name of a preset.
        progress: Called with (written, n) after each image.

    Returns:
        The path of ``manifest.csv``.

    Raises:
        ConfigError: Weights or numbers that make no data set.
        OutputError: The folder holds something already, or cannot be written.
    """
    camera = resolve(domain)
    plan = plan_dataset(n, seed, grades, splits)
    _check(size, seed, None)

    def make(index: int) -> Fundus:
        row = plan[index]
        return synthesize(size, (seed, index), domain=camera, grade=row.grade, laterality=row.laterality)

    return write_planned(plan, make, Path(out), progress or (lambda written, total: None))
