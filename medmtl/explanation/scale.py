"""The fixed scale of a class's evidence: where it becomes visible and where its colors end, the same in every image.

Evidence is in logits: 0 means that presence and absence are equally likely, and up means more evidence. A scale is
chosen once, on validation images, and kept in the run. A map is never stretched to its own range, because that shows
"lesions" in every healthy eye.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError

LOGIT = "logit"
OWN = "class maps of the localization head"
EVEN_ODDS = 0.0
LEAST_SPAN = 0.5
TOP_PERCENTILE = 99.0


@dataclass(frozen=True)
class ClassScale:
    """Where one class's evidence becomes visible, and where its colors end.

    Attributes:
        name: The class.
        threshold: Evidence below it (logits) is blank; evidence at or above it is colored.
        top: Evidence at or above it (logits) has the last color; above ``threshold``.
        origin: Where the two numbers were chosen, for the reader.
        method: What made the maps that are shown on it; empty: the head's own maps.
        unit: What their values are. Only logits have a probability.
    """

    name: str
    threshold: float
    top: float
    origin: str = ""
    method: str = ""
    unit: str = LOGIT

    def __post_init__(self) -> None:
        numbers = (self.threshold, self.top)
        if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            raise EvaluationError("a scale needs two finite numbers", where=self.name, found=str(numbers))
        if self.top <= self.threshold:
            raise EvaluationError("a scale's top must lie above its threshold", where=self.name, found=str(numbers))

    @property
    def in_logits(self) -> bool:
        """Whether the values are logits."""
        return self.unit == LOGIT

    @property
    def made_by(self) -> str:
        """What made the maps, for files."""
        return self.method or OWN


def calibrate_scale(
    name: str,
    negatives: Sequence[npt.ArrayLike],
    positives: Sequence[npt.ArrayLike],
    *,
    floor: float = EVEN_ODDS,
    origin: str | None = None,
) -> ClassScale:
    """Chooses a class's scale on validation images.

    The threshold is the lowest value that leaves at most one candidate an image, on average, on lesion-free images, and
    at least ``floor``: evidence must be more likely than not, so that an untrained network with a "rather not" bias
    gives blank maps. The top is the 99th percentile of the positives' evidence, and at least half a logit higher.

    Args:
        name: The class.
        negatives: For each lesion-free image the scores of its candidates (logits), none for an image without any.
            The candidates must not depend on a threshold: take local maxima, not components.
        positives: For each image that has the lesion its evidence (logits): the map's maximum, or scores of pixels.
        floor: The lowest threshold allowed, in logits.
        origin: Where the images come from, for the reader; counts them as validation images unless given.

    Raises:
        EvaluationError: There are no negatives or no positives, or a score is not finite.
    """
    noise = _pooled(name, "lesion-free", negatives)
    evidence = _pooled(name, "positive", positives)
    if not evidence.size:
        raise EvaluationError("no evidence from positive validation images", where=name, remedy="label some as present")
    threshold = max(threshold_for_rate(noise, len(negatives)), floor)
    top = max(float(np.percentile(evidence.astype(float), TOP_PERCENTILE)), threshold + LEAST_SPAN)
    counted = f"validation: {len(negatives)} lesion-free images, {len(positives)} with the lesion"
    return ClassScale(name, float(threshold), top, counted if origin is None else origin)


def threshold_for_rate(scores: npt.ArrayLike, images: int, *, per_image: float = 1.0) -> float:
    """The lowest threshold that leaves at most ``per_image`` candidates an image on average.

    A candidate is left when its score is at or above the threshold. The value is one that float32 can hold, so that
    comparing a float32 map with it gives the same answer.

    Args:
        scores: Scores of all candidates of all images.
        images: Number of images, those without candidates included.
        per_image: Candidates allowed an image.

    Returns:
        The threshold, or minus infinity where all candidates may stay.
    """
    ranked = np.sort(np.asarray(scores, dtype=np.float32).ravel())[::-1]
    allowed = math.floor(per_image * images)
    if ranked.size <= allowed:
        return -math.inf
    return float(np.nextafter(ranked[allowed], np.float32(np.inf)))


def _pooled(name: str, kind: str, groups: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float32]:
    if not len(groups):
        raise EvaluationError(f"no {kind} validation images to choose a scale on", where=name, remedy="label some")
    scores = np.concatenate([np.asarray(group, dtype=np.float32).ravel() for group in groups])
    if not np.isfinite(scores).all():
        raise EvaluationError(f"scores of {kind} images are not finite", where=name, remedy="did training diverge?")
    return scores
