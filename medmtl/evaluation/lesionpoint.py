"""What a fixed threshold does lesion by lesion: the sensitivity and the false positives that a heat map's reader gets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medmtl.evaluation.intervals import DRAWS, Groups, bootstrap_sums, group_codes, group_sums, ratio, undefined
from medmtl.evaluation.lesions import Matches, Outcome
from medmtl.evaluation.results import Interval, Metric

SENSITIVITY = "lesion_sensitivity_at_threshold"
FALSE_POSITIVES = "false_positives_at_threshold"


def lesion_point(
    images: Sequence[Matches | None],
    threshold: float,
    *,
    name: str = "",
    groups: Groups | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Metric, ...]:
    """Lesion sensitivity, and false positives per image, of the candidates at or above a threshold.

    Args:
        images: The matches of each image; None: the image's lesions are unknown (left out).
        threshold: Least score of a candidate.
        name: Class name: ends the metric names and titles.
        groups: The patient of each image; None makes each image its own.
        draws: Bootstrap draws.
        seed: Bootstrap seed.

    Returns:
        The two metrics: of the first ``n`` is the number of lesions, of the second that of images. Without lesions, or
        without images, the value is NaN with the reason.
    """
    kept = [index for index, image in enumerate(images) if image is not None]
    known = [image for image in images if image is not None]
    patients = group_codes(groups, len(images))[kept]
    lesions = sum(image.lesions for image in known)
    hits = [[_count(image, threshold, Outcome.TRUE_POSITIVE), image.lesions] for image in known]
    false = [[_count(image, threshold, Outcome.FALSE_POSITIVE), 1] for image in known]
    found = _ratio(hits, patients, draws, seed) if lesions else undefined("no lesion in the images")
    wrong = _ratio(false, patients, draws, seed) if known else undefined("no image with known lesions")
    end, of = (f".{name}", f", {name}") if name else ("", "")
    note = f"at the heat map's threshold {threshold:g} (logit); {known[0].rule if known else ''}".strip("; ")
    return (
        Metric(SENSITIVITY + end, f"Lesion sensitivity at the map's threshold{of}", found, lesions, note),
        Metric(
            FALSE_POSITIVES + end,
            f"False positives per image at the map's threshold{of}",
            wrong,
            len(known),
            note,
            higher_is_better=False,
        ),
    )


def _count(image: Matches, threshold: float, outcome: Outcome) -> int:
    return int(((image.outcome == outcome) & (image.score >= threshold)).sum())


def _ratio(rows: Sequence[Sequence[int]], patients: Groups, draws: int, seed: int) -> Interval:
    sums = group_sums(np.asarray(rows, dtype=np.float64), group_codes(list(patients), len(rows)))
    return bootstrap_sums(sums, ratio, draws=draws, seed=seed)
