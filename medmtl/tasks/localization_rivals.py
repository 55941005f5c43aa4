"""What knows nothing of lesions, on the same images: rows that any lesion-level figure of a network has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from medmtl.evaluation import Candidates, Matches, center_candidates
from medmtl.evaluation.sanity import BRIGHT, CONSTANT, DARK, blob_candidates
from medmtl.tasks.localization_matching import Lesions, lesion_matches
from medmtl.tasks.localization_records import LocalizationPrediction, LocalizationRecord, restored
from medmtl.tasks.localization_targets import LocalizationTargets
from medmtl.tasks.scenes import Scene

Field = npt.NDArray[np.bool_]
Rivals = dict[str, Mapping[str, Candidates]]
"""Candidates by rival and class of the maps."""

UNTRAINED = "the network before training"


def rival_candidates(
    field: Field, scene: Scene, untrained: LocalizationPrediction, classes: Sequence[str], limit: int
) -> Rivals:
    """Candidates in original pixels of everything that is compared with a network's on one image, but random points.

    Blobs are those of the pixels that the network saw. A constant map has its one peak in the middle of the field.

    Args:
        field: The field of view in original pixels, (H, W).
        scene: The image as the network saw it.
        untrained: What the network said before its training, in original pixels.
        classes: Classes of the maps.
        limit: Most candidates of a class.
    """
    blind = {CONSTANT: center_candidates(field)}
    for name, bright in ((BRIGHT, True), (DARK, False)):
        blobs = blob_candidates(scene.image, scene.field, bright=bright, limit=limit)
        blind[name] = restored(Candidates.points(blobs.x, blobs.y, blobs.score), scene.geometry)
    rivals: Rivals = {name: dict.fromkeys(classes, found) for name, found in blind.items()}
    rivals[UNTRAINED] = dict(zip(classes, untrained.candidates, strict=True))
    return rivals


def with_rivals(
    record: LocalizationRecord,
    rivals: Rivals,
    lesions: Lesions,
    targets: LocalizationTargets,
    tolerances: Sequence[float],
) -> LocalizationRecord:
    """The record with the matches of others beside its own.

    Args:
        record: Of one image.
        rivals: As :func:`rival_candidates` gives them.
        lesions: The image's lesions, where they are known.
        targets: What is scored against what.
        tolerances: Reaches of the hit rule in original pixels.
    """
    found: dict[tuple[str, str, str, float], Matches] = {}
    for (name, candidates), (lesion, label) in product(rivals.items(), targets.pairs):
        matched = lesion_matches(candidates[label], lesion, lesions, targets, tolerances)
        found |= {(name, lesion, label, reach): one for reach, one in matched.items()}
    return replace(record, rivals=found, untrained=rivals[UNTRAINED])
