"""What localization says of a sample, what is known of it, and what evaluation keeps of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medmtl.evaluation import Candidates, Matches, Targets
from medmtl.tasks.base import Origin


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
    """What is known of one sample: labels and readings with NaN for unknown, lesions or None."""

    labels: npt.NDArray[np.float32]
    readings: npt.NDArray[np.float32]
    lesions: Mapping[str, Targets | None]
    lesion_mask: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class LocalizationRecord:
    """Scores and labels of one image, and its candidates: scores of peaks by class, matches by (lesion, map, tolerance).

    ``random`` are the matches of random points, by (lesion, tolerance).
    """

    origin: Origin
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    readings: npt.NDArray[np.float32]
    scores: tuple[npt.NDArray[np.float64], ...]
    matches: Mapping[tuple[str, str, float], Matches | None]
    random: Mapping[tuple[str, float], Matches | None]


def stack_scores(records: Sequence[LocalizationRecord], classes: int) -> npt.NDArray[np.float64]:
    """Probabilities of the images, shape (records, classes)."""
    logits = np.array([record.logits for record in records], dtype=np.float64).reshape(-1, classes)
    return np.asarray(1 / (1 + np.exp(-logits)))


def stack_labels(records: Sequence[LocalizationRecord], classes: int) -> npt.NDArray[np.float64]:
    """Labels of the images, NaN for unknown, shape (records, classes)."""
    return np.array([record.labels for record in records], dtype=np.float64).reshape(-1, classes)
