"""From a class map to candidates as a localization task asks for them, and the places where none may lie."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from medmtl.config import Block
from medmtl.evaluation import Candidates, components, peaks

Mask = npt.NDArray[np.bool_]


class DiscConfig(Block):
    """Where the optic disc comes from: a segmentation task of the same network, or a mask column of the manifest."""

    task: str | None = Field(None, description="Segmentation task of the same view that finds the disc.")
    label: str | None = Field(None, description="Class of that task; default: disc.")
    column: str | None = Field(
        None, description="Mask column of the manifest without `mask:`; nothing is excluded where a sample has none."
    )
    margin: float = Field(
        0.0, ge=0, le=0.2, description="Excluded around the disc as well, as a share of the field's width."
    )

    @model_validator(mode="after")
    def _one_source(self) -> DiscConfig:
        if (self.task is None) == (self.column is None):
            found = "neither is given" if self.task is None else "both are given"
            raise ValueError(f"the disc comes from a `task` or from a `column`, and {found}; state one of them")
        if self.task is None and self.label is not None:
            raise ValueError("a `label` is the class of a `task`; name the task, or leave it out")
        return self


class CandidateConfig(Block):
    """How candidates are taken from a map; a candidate's score is always a value of the map itself, or a mean of such."""

    kind: Literal["peaks", "components"] = Field(
        "peaks", description="Local maxima, or 8-connected regions at or above `threshold`, each at its highest pixel."
    )
    threshold: float | None = Field(
        None, ge=-100, le=100, description="Least value of the map, a logit; `components` need one; empty = none."
    )
    score: Literal["max", "mean"] = Field(
        "max", description="Score of a region: its highest value, or the mean of its pixels (components)."
    )
    position: Literal["peak", "centroid"] = Field(
        "peak",
        description="Point of a region: its highest pixel, or its centroid weighted by the excess over `threshold` (components).",
    )
    min_distance: float = Field(
        13, ge=1, description="Least distance between two candidates, in pixels of the view (peaks)."
    )
    limit: int = Field(60, ge=1, description="Most candidates per image and class.")
    radius: float | None = Field(
        None,
        gt=0,
        description="Radius of the disc that stands for a peak under hit rules that compare areas, in pixels of the view; empty = as large as a cell of the map.",
    )
    rim: float = Field(
        0.0,
        ge=0,
        le=0.25,
        description="Border of the field of view without candidates, as a share of the field's width.",
    )
    disc: DiscConfig | None = Field(None, description="No candidate on the optic disc; empty = the disc counts.")

    @model_validator(mode="after")
    def _components_have_a_threshold(self) -> CandidateConfig:
        if self.kind == "components" and self.threshold is None:
            raise ValueError("components need a `threshold`; write a logit, such as 0 for even odds")
        if self.kind == "peaks" and (self.score, self.position) != ("max", "peak"):
            raise ValueError("peaks are points: `score` and `position` belong to `kind: components`; leave them out")
        return self

    @property
    def caption(self) -> str:
        """What was asked for beyond peaks anywhere in the field, in words; empty for those."""
        said = []
        if self.kind == "components":
            said.append(f"regions of the map at or above {self.threshold:g}")
            said.extend(["scored by their mean"] if self.score == "mean" else [])
            said.extend(["placed at their weighted centroid"] if self.position == "centroid" else [])
        elif self.threshold is not None:
            said.append(f"peaks of the map at or above {self.threshold:g}")
        if self.rim:
            said.append(f"none within {100 * self.rim:g} % of the field's width from its border")
        if self.disc is not None:
            source = f"task {self.disc.task}" if self.disc.task else f"mask column {self.disc.column}"
            said.append(f"none on the optic disc ({source})")
        return f"Candidates: {', '.join(said)}; lesions there count as missed." if said else ""


def image_candidates(
    maps: npt.NDArray[np.floating], settings: CandidateConfig, stride: float, field: Mask, excluded: Mask | None
) -> tuple[tuple[Candidates, ...], tuple[npt.NDArray[np.float64], ...] | None]:
    """The candidates of each class's map, and the scores of :func:`calibration_scores` where the settings cut by a threshold.

    Args:
        maps: (C, H, W), logits.
        settings: How candidates are taken.
        stride: Pixels between the centres of neighbouring cells.
        field: (H, W), the field of view.
        excluded: (H, W), where none may lie besides the rim; None: nowhere.
    """
    barred = barred_places(field, settings, excluded)
    taken = [as_discs(map_candidates(one, settings, field, barred=barred), settings, stride) for one in maps]
    if settings.threshold is None:
        return tuple(taken), None
    return tuple(taken), tuple(calibration_scores(one, settings, field, barred) for one in maps)


def map_candidates(
    evidence: npt.NDArray[np.floating],
    settings: CandidateConfig,
    field: Mask,
    threshold: float = -math.inf,
    barred: Mask | None = None,
) -> Candidates:
    """The candidates of one map.

    Args:
        evidence: (H, W), logits.
        settings: How they are taken; where its ``rim`` and ``disc`` lie is told by ``barred``.
        field: (H, W), the field of view.
        threshold: Least score of a candidate, on top of the settings' own; regions are not cut anew.
        barred: (H, W), where none may lie, as :func:`barred_places` gives it.
    """
    own = -math.inf if settings.threshold is None else settings.threshold
    if settings.kind == "peaks":
        return peaks(evidence, max(own, threshold), settings.min_distance, settings.limit, field, barred)
    found = components(evidence, own, field, barred=barred, score=settings.score, position=settings.position)
    return found.take(np.flatnonzero(found.score >= threshold)[: settings.limit])


def as_discs(found: Candidates, settings: CandidateConfig, stride: float) -> Candidates:
    """The candidates as discs around their points, for hit rules that compare areas.

    Args:
        found: Of one map.
        settings: How they were taken: a region is a disc of its area, a peak one of the radius that was asked for.
        stride: Pixels of the view per cell of the map; a peak without a radius is a disc as large as a cell.
    """
    if settings.kind == "components":
        radius = np.sqrt(found.area / math.pi)
    else:
        radius = np.full(len(found), settings.radius or stride / math.sqrt(math.pi))
    return replace(found, radius=radius, regions=None)


def calibration_scores(
    evidence: npt.NDArray[np.floating], settings: CandidateConfig, field: Mask, barred: Mask | None = None
) -> npt.NDArray[np.float64]:
    """Scores of the map's peaks without any threshold: what a fixed color scale is chosen on.

    Args:
        evidence: (H, W), logits.
        settings: How far apart they lie, and how many there are at most.
        field: (H, W), the field of view.
        barred: (H, W), where none may lie, as :func:`barred_places` gives it.
    """
    return peaks(evidence, min_distance=settings.min_distance, limit=settings.limit, valid=field, barred=barred).score


def barred_places(field: Mask, settings: CandidateConfig, excluded: Mask | None) -> Mask | None:
    """Where no candidate of an image may lie: on the rim of its field, and where the optic disc was found; None: nowhere.

    Args:
        field: (H, W), the field of view.
        settings: The width of the rim.
        excluded: (H, W), the disc's place; None where it is not known or counts.
    """
    if not settings.rim:
        return excluded
    rim = field & ~without_rim(field, settings.rim)
    return rim if excluded is None else rim | excluded


def without_rim(field: Mask, share: float) -> Mask:
    """The field of view (H, W) without its border; where it is cut off by the picture, that is border too.

    Args:
        field: Boolean.
        share: Width of the border as a share of the field's width (its columns from the first to the last).
    """
    if not share:
        return field
    closed = np.pad(field, 1).astype(np.uint8)
    depth = cv2.distanceTransform(closed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.asarray(depth > share * field_width(field))


def grown(mask: Mask, pixels: float) -> Mask:
    """A mask (H, W) and all that lies at most ``pixels`` from it."""
    if not pixels or not mask.any():
        return mask
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= pixels)


def field_width(field: Mask) -> int:
    """Columns from the first to the last of a field (H, W); 0 where it is empty."""
    columns = np.flatnonzero(field.any(0))
    return int(columns[-1] - columns[0] + 1) if columns.size else 0
