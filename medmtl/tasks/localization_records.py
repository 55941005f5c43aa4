"""What localization says of a sample, what is known of it, and what evaluation keeps of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medmtl.data.targets import MaskTarget
from medmtl.data.transforms import sample_masks
from medmtl.evaluation import Candidates, Matches, Targets
from medmtl.geometry import Geometry
from medmtl.tasks.pictures import caption_picture, point_picture
from medmtl.tasks.scenes import ClassEvidence, Origin

if TYPE_CHECKING:
    from medmtl.data.samples import Sample


@dataclass(frozen=True)
class LocalizationPrediction:
    """Evidence of one sample.

    Attributes:
        maps: (C, s, s) logits, in the pixels of the view.
        logits: (C,) of the image.
        candidates: Per class, in the pixels of the view or, once restored, of the original image.
        scores: Per class, scores of the map's peaks without a threshold; None where the candidates have none either.
    """

    maps: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    candidates: tuple[Candidates, ...]
    scores: tuple[npt.NDArray[np.float64], ...] | None = None


@dataclass(frozen=True)
class LocalizationTruth:
    """What is known of one sample: labels and readings with NaN for unknown, lesions or None.

    ``kept`` asks for a record even where nothing is known: the scale of a heat map looks at such images, too.
    """

    labels: npt.NDArray[np.float32]
    readings: npt.NDArray[np.float32]
    lesions: Mapping[str, Targets | None]
    lesion_mask: npt.NDArray[np.bool_] | None = None
    kept: bool = False


@dataclass(frozen=True)
class LocalizationRecord:
    """Scores and labels of one image, and its candidates: scores of peaks by class, matches by (lesion, map, tolerance).

    ``random`` are the matches of random points, by (lesion, tolerance), ``rivals`` those of other things that know nothing
    of lesions, by (name, lesion, map, tolerance). ``candidates`` are the network's by class, ``untrained`` those of the
    network before training; they are in the pixels that the matches were made in.
    """

    origin: Origin
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    readings: npt.NDArray[np.float32]
    scores: tuple[npt.NDArray[np.float64], ...]
    matches: Mapping[tuple[str, str, float], Matches | None]
    random: Mapping[tuple[str, float], Matches | None]
    rivals: Mapping[tuple[str, str, str, float], Matches] = field(default_factory=dict)
    candidates: Mapping[str, Candidates] = field(default_factory=dict)
    untrained: Mapping[str, Candidates] = field(default_factory=dict)


def stack_scores(records: Sequence[LocalizationRecord], classes: int) -> npt.NDArray[np.float64]:
    """Probabilities of the images, shape (records, classes)."""
    logits = np.array([record.logits for record in records], dtype=np.float64).reshape(-1, classes)
    return np.asarray(1 / (1 + np.exp(-logits)))


def stack_labels(records: Sequence[LocalizationRecord], classes: int) -> npt.NDArray[np.float64]:
    """Labels of the images, NaN for unknown, shape (records, classes)."""
    return np.array([record.labels for record in records], dtype=np.float64).reshape(-1, classes)


def class_evidence(records: Sequence[LocalizationRecord], index: int) -> ClassEvidence:
    """Candidate scores of one class, by what is known of the image."""
    absent, present = ([one.scores[index] for one in records if one.labels[index] == side] for side in (0, 1))
    unknown = [one.scores[index] for one in records if np.isnan(one.labels[index])]
    return ClassEvidence(absent, present, unknown)


def lesion_mask(sample: Sample, target: MaskTarget, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """The union of a lesion's columns, (H, W); None where one of them says nothing of the sample."""
    if not all(column in sample.masks for column in target.columns):
        return None
    union: npt.NDArray[np.bool_] = np.any(list(sample_masks(sample, target, shape).values()), axis=0)
    return union


def probability_of_truth(record: LocalizationRecord) -> float:
    """Probability given to the truth, averaged over known classes; NaN where none is known."""
    known = np.isfinite(record.labels)
    if not known.any():
        return float("nan")
    probability = 1 / (1 + np.exp(-record.logits.astype(np.float64)))
    return float(np.where(record.labels == 1, probability, 1 - probability)[known].mean())


def restored(candidates: Candidates, geometry: Geometry) -> Candidates:
    """From candidates in the pixels of a view to the same in those of its original image."""
    points = geometry.to_original(np.stack([candidates.x, candidates.y], axis=1))
    radius = None if candidates.radius is None else candidates.radius / geometry.scale
    return Candidates(points[:, 0], points[:, 1], candidates.score, candidates.area / geometry.scale**2, radius)


def evidence_picture(
    image: npt.NDArray[np.uint8],
    prediction: LocalizationPrediction,
    lesions: npt.NDArray[np.bool_] | None,
    classes: Sequence[str],
) -> npt.NDArray[np.uint8]:
    """Candidates more likely than not as rings, true lesions as outlines, probabilities beneath.

    Args:
        image: (H, W, 3).
        prediction: In the pixels of the image.
        lesions: (H, W), or None.
        classes: Names of the classes.
    """
    points = [
        (x, y)
        for item in prediction.candidates
        for x, y, score in zip(item.x, item.y, item.score, strict=True)
        if score > 0
    ]
    drawn = point_picture(image, np.array(points, dtype=float), lesions)
    pairs = zip(classes, prediction.logits, strict=True)
    return caption_picture(drawn, ", ".join(f"{label} p {1 / (1 + np.exp(-value)):.2f}" for label, value in pairs))
