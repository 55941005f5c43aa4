"""Figures at a fixed threshold: counts by hand, and what the FROC curve says at the same score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.evaluation import Candidates, lesion_targets, match, pooled_froc
from medmtl.evaluation.lesionpoint import FALSE_POSITIVES, SENSITIVITY, lesion_point


def case(seed, lesions=3, candidates=6):
    """One image: square lesions on a grid, candidates anywhere, scores of half logits."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((20, 20), np.uint8)
    for place in rng.choice(9, size=lesions, replace=False):
        row, column = divmod(int(place), 3)
        mask[6 * row + 1 : 6 * row + 4, 6 * column + 1 : 6 * column + 4] = 1
    points = Candidates.points(
        rng.uniform(0, 19, candidates), rng.uniform(0, 19, candidates), rng.integers(-4, 5, candidates) / 2
    )
    return match(points, lesion_targets(mask))


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), min_size=1, max_size=6), st.integers(-5, 5))
def test_it_is_the_point_of_the_froc_curve_at_that_score(seeds, halves):
    images, threshold = [case(seed, lesions=seed % 4) for seed in seeds], halves / 2
    found, wrong = lesion_point(images, threshold, draws=100)
    curve = pooled_froc(images)
    at = np.flatnonzero(curve.thresholds >= threshold)[-1]
    assert found.n == curve.lesions
    assert wrong.n == len(images)
    assert wrong.interval.value == pytest.approx(curve.fppi[at])
    if curve.lesions:
        assert found.interval.value == pytest.approx(curve.sensitivity[at])


def test_the_threshold_itself_counts_and_unknown_images_do_not():
    mask = np.zeros((9, 9), np.uint8)
    mask[1:3, 1:3] = mask[6:8, 6:8] = 1
    points = Candidates.points([1, 7, 4, 1], [1, 7, 4, 2], [1.0, 0.999, 1.0, 3.0])
    found, wrong = lesion_point([match(points, lesion_targets(mask)), None], 1.0, name="x", draws=100)
    assert (found.name, wrong.name) == (f"{SENSITIVITY}.x", f"{FALSE_POSITIVES}.x")
    assert (found.interval.value, found.n) == (0.5, 2)
    assert (wrong.interval.value, wrong.n) == (1.0, 1)
    assert not wrong.higher_is_better
    assert "threshold 1 (logit)" in found.unit_note


def test_intervals_are_over_patients_and_hold_the_value():
    images = [case(seed) for seed in range(30)]
    by_eye, by_person = (
        lesion_point(images, 0.0, groups=groups, draws=500)[0].interval
        for groups in (None, [n // 15 for n in range(30)])
    )
    assert by_eye.low < by_eye.value < by_eye.high
    assert (by_person.low, by_person.high) != (by_eye.low, by_eye.high)


def test_what_does_not_exist_says_why():
    empty = match(Candidates.none(), lesion_targets(np.zeros((4, 4), np.uint8)))
    found, wrong = lesion_point([empty, empty], 0.0, draws=100)
    assert math.isnan(found.interval.value)
    assert "no lesion" in found.interval.method
    assert wrong.interval.value == 0
    found, wrong = lesion_point([None], 0.0)
    assert "no image with known lesions" in wrong.interval.method
