"""DIARETDB1's protocol against loops over thresholds, scikit-learn's curve and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from medmtl.errors import EvaluationError
from medmtl.evaluation.diaretdb1 import WEIGHTS, flagged_share, image_roc, image_truth

cases = st.lists(st.tuples(st.booleans(), st.integers(0, 5).map(lambda v: v / 8)), min_size=1, max_size=20)


@given(cases)
def test_image_based_curve_and_errors_equal_a_loop_over_thresholds(rows):
    ill, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found = image_roc(ill, scores)
    assert found.thresholds.tolist() == sorted({0.0, *scores.tolist()})
    both = ill.any() and not ill.all()
    errors = {ratio: [] for ratio in WEIGHTS}
    for place, t in enumerate(found.thresholds):
        sensitivity = np.mean(scores[ill] > t) if ill.any() else math.nan
        specificity = np.mean(scores[~ill] <= t) if not ill.all() else math.nan
        np.testing.assert_allclose([found.sensitivity[place], found.specificity[place]], [sensitivity, specificity])
        for ratio in WEIGHTS:
            errors[ratio].append(((1 - sensitivity) + ratio * (1 - specificity)) / (1 + ratio))
    for ratio in WEIGHTS:
        assert math.isnan(found.weighted_error(ratio)) == (not both)
        if both:
            assert found.weighted_error(ratio) == pytest.approx(min(errors[ratio]))


@given(cases)
def test_equal_error_rate_is_where_scikit_learns_curve_crosses_the_diagonal(rows):
    ill, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    found = image_roc(ill, scores).equal_error_rate
    if ill.all() or not ill.any():
        assert math.isnan(found)
        return
    fpr, tpr, _ = roc_curve(ill, scores, drop_intermediate=False)
    grid = np.linspace(0, 1, 200_001)
    # tpr is a function of fpr but for upright parts: walk along the line itself.
    along = np.linspace(0, len(fpr) - 1, 200_001)
    x, y = np.interp(along, np.arange(len(fpr)), fpr), np.interp(along, np.arange(len(tpr)), tpr)
    assert found == pytest.approx(x[np.argmin(np.abs(x - (1 - y)))], abs=2 * len(fpr) * (grid[1] - grid[0]))


def test_perfect_and_useless_scores_by_hand():
    perfect = image_roc([1, 1, 0, 0], [0.2, 0.1, 0.0, 0.0])
    assert perfect.equal_error_rate == 0
    assert [perfect.weighted_error(ratio) for ratio in WEIGHTS] == [0, 0, 0]
    useless = image_roc([1, 0, 1, 0], [0.0] * 4)
    assert useless.equal_error_rate == 0.5
    assert useless.weighted_error(1.0) == 0.5
    assert useless.weighted_error(10.0) == pytest.approx(1 / 11)
    half = image_roc([1, 1, 0, 0], [0.3, 0.0, 0.1, 0.0])
    assert half.weighted_error(1.0) == pytest.approx(0.25)


def test_scores_and_truth_of_an_image():
    field = np.ones((4, 5), bool)
    field[0] = False
    flagged = np.zeros((4, 5), bool)
    flagged[:2, 0] = True
    assert flagged_share(flagged, field) == 1 / 15
    assert image_truth(np.array([[0, 189 / 252]]))
    assert not image_truth(np.array([[0, 188 / 252]]))
    assert not image_truth(np.zeros((2, 2)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: image_roc([1], [0.1, 0.2]),
        lambda: image_roc([1, 0], [0.1, -0.2]),
        lambda: image_roc([1, 0], [0.1, math.nan]),
        lambda: image_roc([1, 0], [0.1, 0.2]).weighted_error(-1),
        lambda: flagged_share(np.ones((2, 2)), np.zeros((2, 2))),
        lambda: flagged_share(np.ones((2, 2)), np.ones((2, 3))),
        lambda: image_truth(np.array([[189.0]])),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(EvaluationError):
        call()
