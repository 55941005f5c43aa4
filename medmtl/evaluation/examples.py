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
    if not ranked:
        return ()
    middle, last = len(ranked) // 2, len(ranked) - 1
    wanted: tuple[tuple[int, Role], ...] = ((0, "best"), (middle, "median"), (last, "worst"))
    shown = [
        (place, role) for place, role in wanted if role == "best" or (place > 0 and (place, role) != (last, "median"))
    ]
    return tuple(Example(task, ranked[place][1], role, -ranked[place][0], score_name) for place, role in shown)
