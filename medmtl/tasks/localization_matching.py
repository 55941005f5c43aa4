"""From candidates and lesions of one image to matches: each map against each lesion, at each tolerance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from medmtl.evaluation import Candidates, Matches, MatchPool, Targets, match_images, random_candidates
from medmtl.randomness import derive_seed
from medmtl.tasks.localization_config import LocalizationConfig
from medmtl.tasks.localization_records import LocalizationPrediction, LocalizationRecord, LocalizationTruth
from medmtl.tasks.localization_targets import LocalizationTargets
from medmtl.tasks.scenes import Origin

Lesions = Mapping[str, Targets]
"""The lesions of one image by name, where they are known."""


def matched_record(
    prediction: LocalizationPrediction,
    truth: LocalizationTruth,
    field: npt.NDArray[np.bool_],
    origin: Origin,
    targets: LocalizationTargets,
    config: LocalizationConfig,
    seed: int,
) -> LocalizationRecord | None:
    """Scores, labels, candidates and matches of one image; None where nothing is known of it and nobody asked.

    Args:
        prediction: In the pixels of the truth.
        truth: What is known.
        field: Field of view, (H, W).
        origin: The sample.
        targets: What is scored against what.
        config: The keys of the task.
        seed: Of random points.
    """
    lesions = known_lesions(truth)
    if not (truth.kept or np.isfinite(truth.labels).any() or np.isfinite(truth.readings).any() or lesions):
        return None
    candidates = dict(zip(targets.classes, prediction.candidates, strict=True))
    matches: dict[tuple[str, str, float], Matches | None] = {}
    for lesion, label in targets.pairs:
        found = lesion_matches(candidates[label], lesion, lesions, targets, config.tolerances)
        matches |= {(lesion, label, reach): found.get(reach) for reach in config.tolerances}
    chance = chance_candidates(field, config.candidates.limit, seed, origin) if lesions else Candidates.none()
    return LocalizationRecord(
        origin=origin,
        logits=prediction.logits,
        labels=truth.labels,
        readings=truth.readings,
        scores=prediction.scores or tuple(item.score for item in prediction.candidates),
        matches=matches,
        random={
            (lesion, reach): one
            for lesion in lesions
            for reach, one in lesion_matches(chance, lesion, lesions, targets, config.tolerances).items()
        },
        candidates=candidates,
    )


def chance_candidates(field: npt.NDArray[np.bool_], limit: int, seed: int, origin: Origin) -> Candidates:
    """Random points of an image, which depend on its name and on the seed only.

    Args:
        field: Where they may lie, (H, W).
        limit: How many.
        seed: Seed of the evaluation.
        origin: The sample.
    """
    return random_candidates(
        field, limit, np.random.default_rng(derive_seed(seed, "random candidates", origin.sample_id))
    )


def known_lesions(truth: LocalizationTruth) -> dict[str, Targets]:
    """The lesions of an image that are known."""
    return {name: item for name, item in truth.lesions.items() if item is not None}


def lesion_matches(
    candidates: Candidates, lesion: str, lesions: Lesions, targets: LocalizationTargets, tolerances: Sequence[float]
) -> dict[float, Matches]:
    """The matches at each tolerance; none where the lesion is not known in the image.

    Args:
        candidates: Of one map.
        lesion: What they are held against.
        lesions: All known lesions of the image: a hit on others only is a false positive, and counted.
        targets: Which lesions are others.
        tolerances: Pixels of the truth.
    """
    if lesion not in lesions:
        return {}
    others = [[lesions[name]] for name in targets.others(lesion) if name in lesions]
    pool = MatchPool.of([candidates], [lesions[lesion]], others)
    return {reach: match_images(pool, tolerance=reach)[0] for reach in tolerances}
