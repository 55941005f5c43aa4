"""Scales: the threshold against brute force, the top against a sort, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmtl.errors import EvaluationError
from medmtl.explanation.scale import ClassScale, calibrate_scale, threshold_for_rate

SCORES = st.floats(-8, 8, width=32)
TIED = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0])
GROUPS = st.lists(st.lists(SCORES | TIED, max_size=6), min_size=1, max_size=8)


def left(groups, threshold):
    """Candidates an image at a threshold, counted one by one in float32 as a map would be."""
    return sum(np.float32(score) >= np.float32(threshold) for group in groups for score in group) / len(groups)


@given(GROUPS)
def test_threshold_leaves_at_most_one_and_no_lower_value_does(groups):
    threshold = threshold_for_rate([score for group in groups for score in group], len(groups))
    assert left(groups, threshold) <= 1
    if math.isinf(threshold):
        assert sum(map(len, groups)) <= len(groups)
    else:
        lower = np.nextafter(np.float32(threshold), np.float32(-np.inf))
        assert left(groups, lower) > 1


@given(GROUPS)
def test_calibrated_threshold_is_the_lowest_of_all_admissible(groups):
    grid = sorted({np.float32(0)} | {np.nextafter(np.float32(s), np.float32(np.inf)) for g in groups for s in g})
    oracle = next(value for value in grid if value >= 0 and left(groups, value) <= 1)
    assert calibrate_scale("x", groups, [[1.0]]).threshold == float(oracle)


def test_threshold_is_exact_for_a_float32_map():
    scores = np.float32([0.1, 0.2, 0.3])
    threshold = threshold_for_rate(scores, 1)
    assert threshold > float(scores[1])
    assert (scores >= threshold).sum() == 1


def test_ties_above_the_allowance_all_go():
    assert left([[2.0, 2.0, 2.0], []], threshold_for_rate([2.0, 2.0, 2.0], 2)) == 0


def test_images_without_candidates_count():
    few, many = calibrate_scale("x", [[3, 2]], [[9]]), calibrate_scale("x", [[3, 2], []], [[9]])
    assert few.threshold > 2
    assert many.threshold == 0


def test_untrained_network_with_a_rather_not_bias_is_held_at_even_odds():
    assert calibrate_scale("x", [[-4.0], [-4.1]], [[-3.9]]).threshold == 0.0


@given(st.lists(st.floats(-5, 20, width=32), min_size=1, max_size=50))
def test_top_is_the_percentile_and_half_a_logit_above(values):
    scale = calibrate_scale("x", [[1.0, 1.5]], [[value] for value in values])
    ordered = sorted(values)
    position = 0.99 * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    oracle = ordered[low] + (position - low) * (ordered[high] - ordered[low])
    assert scale.top == pytest.approx(max(oracle, scale.threshold + 0.5), abs=1e-5)
    assert scale.top >= scale.threshold + 0.5


def test_origin_counts_the_images():
    origin = calibrate_scale("x", [[], []], [[1.0], [2.0], [3.0]]).origin
    assert "2 lesion-free" in origin
    assert "3 with the lesion" in origin


@pytest.mark.parametrize(
    ("negatives", "positives"),
    [([], [[1]]), ([[1]], []), ([[1]], [[]]), ([[float("nan")]], [[1]]), ([[1]], [[float("inf")]])],
)
def test_calibration_refuses_what_it_cannot_use(negatives, positives):
    with pytest.raises(EvaluationError, match="lesion name"):
        calibrate_scale("lesion name", negatives, positives)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (math.nan, 1), (0, math.inf)])
def test_scale_refuses_impossible_numbers(low, high):
    with pytest.raises(EvaluationError, match=r"^x: a scale"):
        ClassScale("x", low, high)
