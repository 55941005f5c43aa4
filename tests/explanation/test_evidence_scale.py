"""Scales: the threshold against brute force, the top against a sort, files, and refusals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmtl.errors import EvaluationError, RunError
from medmtl.explanation.scale import (
    ClassScale,
    calibrate_scale,
    read_scales,
    scale_of,
    scales_from_json,
    scales_to_json,
    threshold_for_rate,
    write_scales,
)

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


@given(st.dictionaries(st.text(max_size=9), st.tuples(st.floats(0, 9), st.floats(0.5, 9)), min_size=1, max_size=4))
def test_json_round_trip(numbers):
    scales = {name: ClassScale(name, low, low + span, "välidation") for name, (low, span) in numbers.items()}
    assert scales_from_json(scales_to_json(scales.values())) == scales


def test_file_round_trip(tmp_path):
    scale = ClassScale("Exsudat ü", 0.3, 2.0)
    write_scales(tmp_path / "scales.json", [scale])
    assert read_scales(tmp_path / "scales.json") == {"Exsudat ü": scale}


GOOD = {"name": "a", "threshold": 0, "top": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"version": 1, "scales": []}',
        '{"version": 1, "scales": 3}',
        '{"version": 1, "scales": [3]}',
        '{"version": 1, "scales": [{"name": "a"}]}',
        json.dumps({"version": 2, "scales": [GOOD]}),
        json.dumps({"version": 1, "scales": [GOOD | {"extra": 1}]}),
        json.dumps({"version": 1, "scales": [GOOD | {"top": "1"}]}),
        json.dumps({"version": 1, "scales": [GOOD | {"top": None}]}),
        '{"version": 1, "scales": [{"name": "a", "threshold": NaN, "top": 1}]}',
    ],
)
def test_a_run_without_usable_scales_is_refused_in_one_line(text):
    with pytest.raises(RunError, match=r"runs/7/scales\.json") as caught:
        scales_from_json(text, where="runs/7/scales.json")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_missing_file_and_missing_class_are_refused(tmp_path):
    with pytest.raises(RunError, match="no evidence scale"):
        read_scales(tmp_path / "scales.json")
    with pytest.raises(RunError, match=r"'b'.*found a"):
        scale_of({"a": ClassScale("a", 0, 1)}, "b")
