"""Calibration against a loop over the bins, and on probabilities that are right by construction."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve as sklearn_curve

from medmtl.evaluation.calibration import brier, calibration_curve, expected_calibration_error


def some(n=500, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.random(n)
    return (rng.random(n) < probabilities).astype(float), probabilities


def test_error_equals_a_loop_over_the_bins():
    labels, probabilities = some()
    labels[:100] = 1
    expected = 0.0
    for low in np.arange(10):
        inside = (probabilities >= low / 10) & (probabilities < (low + 1) / 10)
        expected += inside.mean() * abs(labels[inside].mean() - probabilities[inside].mean())
    found = expected_calibration_error(labels, probabilities, draws=50)
    assert found.value == pytest.approx(expected)
    assert found.low < found.high


def test_curve_equals_scikit_learn():
    labels, probabilities = some()
    found = calibration_curve(labels, probabilities, "t")
    observed, predicted = sklearn_curve(labels, probabilities, n_bins=10)
    assert found.x == pytest.approx(tuple(predicted))
    assert found.y == pytest.approx(tuple(observed))
    assert all(low <= y <= high for low, y, high in zip(found.low, found.y, found.high, strict=True))


def test_right_probabilities_are_calibrated_and_certain_wrong_ones_are_not():
    assert expected_calibration_error(*some(20_000), draws=2).value < 0.02
    wrong = expected_calibration_error(np.zeros(9), np.ones(9), draws=2)
    assert wrong.value == 1.0
    assert brier(np.zeros(9), np.ones(9), draws=2).value == 1.0


def test_empty_bins_are_left_out():
    found = calibration_curve([0, 1], [0.05, 1.0], "t")
    assert found.x == (0.05, 1.0)
