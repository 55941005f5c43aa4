"""The rule from lesion counts to grade, and counts drawn so that the rule gives a wished grade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medmtl.errors import ConfigError

GRADES = 5
SEVERE_HAEMORRHAGES = 20
"""From this number of haemorrhages on, retinopathy is severe."""


@dataclass(frozen=True)
class LesionCounts:
    """How many lesions of each class an eye has; every preretinal haemorrhage is one of the haemorrhages."""

    microaneurysms: int = 0
    haemorrhages: int = 0
    hard_exudates: int = 0
    soft_exudates: int = 0
    preretinal: int = 0


def grade_of(counts: LesionCounts) -> int:
    """Grades diabetic retinopathy from lesion counts.

    The rule follows the international clinical scale (Wilkinson et al., Ophthalmology 110:1677, 2003), with its signs of
    severe and proliferative disease reduced to what is drawn here:

    - 4: a preretinal haemorrhage;
    - 3: at least `SEVERE_HAEMORRHAGES` haemorrhages;
    - 2: any haemorrhage, hard exudate or soft exudate;
    - 1: microaneurysms only;
    - 0: no lesion.
    """
    if counts.preretinal:
        return 4
    if counts.haemorrhages >= SEVERE_HAEMORRHAGES:
        return 3
    if counts.haemorrhages or counts.hard_exudates or counts.soft_exudates:
        return 2
    return 1 if counts.microaneurysms else 0


def check_grade(grade: int) -> int:
    """Gives the grade back.

    Raises:
        ConfigError: It is not one of 0-4.
    """
    if isinstance(grade, bool) or grade not in range(GRADES):
        raise ConfigError("not a grade of retinopathy", found=repr(grade), remedy="use 0, 1, 2, 3 or 4")
    return int(grade)


def draw_counts(grade: int, rng: np.random.Generator) -> LesionCounts:
    """Draws lesion counts for which `grade_of` gives this grade."""
    if grade == 0:
        return LesionCounts()
    micro = _geometric(rng, (6, 16, 30, 24)[grade - 1], most=90)
    if grade == 1:
        return LesionCounts(microaneurysms=max(micro, 2))
    preretinal = int(rng.integers(1, 3)) if grade == 4 else 0
    if grade == 3:
        haemorrhages = SEVERE_HAEMORRHAGES + _geometric(rng, 12, most=35)
    else:
        haemorrhages = min(_geometric(rng, 8, most=SEVERE_HAEMORRHAGES - 3), SEVERE_HAEMORRHAGES - 3)
        haemorrhages = haemorrhages * bool(rng.random() < 0.8) + preretinal
    hard = _geometric(rng, 70, most=260) * bool(rng.random() < 0.65)
    soft = _geometric(rng, 3, most=8) * bool(rng.random() < (0.3, 0.5, 0.4)[grade - 2])
    if not haemorrhages and not hard and not soft:
        hard = 12
    return LesionCounts(micro, haemorrhages, hard, soft, preretinal)


def _geometric(rng: np.random.Generator, mean: float, most: int) -> int:
    return int(np.clip(round(rng.exponential(mean)) + 1, 1, most))
