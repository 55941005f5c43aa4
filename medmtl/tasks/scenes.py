"""What a task is told of an image beside its pixels: whose it is, how the network saw it, and how figures are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medmtl.geometry import Geometry

Place = npt.NDArray[np.bool_]
"""Some pixels of a view, (H, W)."""


@dataclass(frozen=True)
class Settings:
    """How figures are computed.

    Attributes:
        bootstrap: Bootstrap samples of an interval.
        seed: Seed of the bootstrap and of random sanity rows.
        thresholds: Operating points that validation chose, by class.
        evidence: Where a class's heat map becomes visible (logits), as validation chose it, by class.
    """

    bootstrap: int = 2000
    seed: int = 0
    thresholds: Mapping[str, float] | None = None
    evidence: Mapping[str, float] | None = None


@dataclass(frozen=True)
class ClassEvidence:
    """Scores of one class's candidates (logits) in images, sorted by what is known of these: a list for each image.

    Attributes:
        absent: Of images known to lack the class.
        present: Of images known to have it.
        unknown: Of images whose label says nothing.
    """

    absent: Sequence[npt.NDArray[np.floating]]
    present: Sequence[npt.NDArray[np.floating]]
    unknown: Sequence[npt.NDArray[np.floating]] = ()


@dataclass(frozen=True)
class Origin:
    """Where a record comes from: the sample, its patient, and the task's short score for choosing examples."""

    sample_id: str
    patient: str


@dataclass(frozen=True)
class Scene:
    """One image as a network saw it.

    Attributes:
        image: (s, s, 3) uint8.
        field: (s, s) field of view.
        geometry: Where the view lies in the original image.
    """

    image: npt.NDArray[np.uint8]
    field: npt.NDArray[np.bool_]
    geometry: Geometry
