"""Which samples are worth a picture: the best, the middle one and the worst."""

from __future__ import annotations

import math
from collections.abc import Mapping

from medmtl.evaluation.results import Example, Role


def pick_examples(task: str, scores: Mapping[str, float], score_name: str) -> tuple[Example, ...]:
    """Picks best, median and worst sample by a score of which more is better.

    Args:
        task: Name of the task.
        scores: Score by sample id; NaN (nothing to show) is passed over.
        score_name: What the score is, for the caption.

    Returns:
        Up to three examples of different samples; equal scores are ordered by sample id.
    """
    ranked = sorted((-score, name) for name, score in scores.items() if not math.isnan(score))
    places: dict[int, Role] = {}
    for place, role in ((0, "best"), (len(ranked) // 2, "median"), (len(ranked) - 1, "worst")):
        if ranked and (place not in places):
            places[place] = role  # type: ignore[assignment]
    return tuple(Example(task, ranked[place][1], role, -ranked[place][0], score_name) for place, role in places.items())
