"""DeLong against a double loop, scikit-learn, the pairwise definition and repeated sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medmtl.evaluation.delong import auc_interval, delong_variance, newcombe_area, placement_values

scores = st.lists(st.integers(0, 6).map(float), min_size=2, max_size=15)


def kernel(a, b):
    return 1.0 if a > b else 0.5 if a == b else 0.0


def brute_delong(x, y):
    v10 = [sum(kernel(a, b) for b in y) / len(y) for a in x]
    v01 = [sum(kernel(a, b) for a in x) / len(x) for b in y]
    area = sum(v10) / len(x)
    s10 = sum((v - area) ** 2 for v in v10) / (len(x) - 1)
    s01 = sum((v - area) ** 2 for v in v01) / (len(y) - 1)
    return area, s10 / len(x) + s01 / len(y), v10, v01


@given(scores, scores)
def test_fast_delong_equals_the_double_loop(x, y):
    area, variance, v10, v01 = brute_delong(x, y)
    below, above = placement_values(x, y)
    assert below.tolist() == pytest.approx(v10)
    assert above.tolist() == pytest.approx(v01)
    assert delong_variance(x, y) == pytest.approx((area, variance))


@given(scores, scores)
def test_area_equals_scikit_learn_and_mirrors(x, y):
    found = auc_interval(x, y)
    assert found.value == pytest.approx(roc_auc_score([1] * len(x) + [0] * len(y), x + y))
    mirror = auc_interval([-a for a in x], [-b for b in y])
    assert (mirror.value, mirror.low, mirror.high) == pytest.approx((1 - found.value, 1 - found.high, 1 - found.low))
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_groups_of_one_equal_delong():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 1, 20), rng.normal(0, 1, 30)
    assert delong_variance(x, y, list(range(50))) == pytest.approx(delong_variance(x, y))


def test_doubling_every_sample_within_its_patient_changes_no_clustered_variance():
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 1, 20), rng.normal(0, 1, 30)
    twice = delong_variance(np.repeat(x, 2), np.repeat(y, 2), np.repeat(np.arange(50), 2))
    assert twice == pytest.approx(delong_variance(x, y))
    assert delong_variance(np.repeat(x, 2), np.repeat(y, 2))[1] < 0.6 * twice[1]


def test_obuchowski_variance_is_the_variance_over_repeated_sampling_of_patients():
    rng = np.random.default_rng(2)
    areas, variances = [], []
    for _ in range(400):
        shared = rng.normal(size=60)
        left, right = shared + rng.normal(1.0, 0.5, 60), shared + rng.normal(0.0, 0.5, 60)
        area, variance = delong_variance(left, right, list(range(60)) * 2)
        areas.append(area)
        variances.append(variance)
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.2)
    assert delong_variance(left, right)[1] > 1.5 * np.mean(variances)


def test_newcombe_solves_its_own_equation():
    found = newcombe_area(0.8, 30, 20)
    for theta in (found.low, found.high):
        extra = 24
        variance = theta * (1 - theta) * (1 + extra * (1 - theta) / (2 - theta) + extra * theta / (1 + theta)) / 600
        assert (0.8 - theta) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-5)
    assert found.low < 0.8 < found.high


def test_a_perfect_separation_is_not_certain():
    few, many = auc_interval([0.9] * 5, [0.1] * 5), auc_interval([0.9] * 84, [0.1] * 50)
    assert few.value == few.high == 1.0
    assert 0.6 < few.low < 0.7
    assert few.low < many.low < 1.0
    none = auc_interval([0.1] * 5, [0.9] * 5)
    assert none.value == 0.0
    assert none.high == pytest.approx(1 - few.low)


def test_near_one_the_logit_scale_keeps_the_interval_inside():
    x, y = [0.9, 0.8, 0.7, 0.6, 0.35], [0.1, 0.2, 0.3, 0.4]
    found = auc_interval(x, y)
    area, variance = delong_variance(x, y)
    half = 1.959964 * math.sqrt(variance) / (area * (1 - area))
    assert "logit" in found.method
    assert math.log(found.low / (1 - found.low)) == pytest.approx(math.log(area / (1 - area)) - half, rel=1e-5)
    assert found.high < 1


@pytest.mark.parametrize(("x", "y", "word"), [([], [1.0], "positive"), ([1.0], [], "negative"), ([], [], "positive")])
def test_one_class_only_is_undefined_with_its_reason(x, y, word):
    found = auc_interval(x, y)
    assert math.isnan(found.value)
    assert word in found.method


def test_one_positive_still_has_an_interval():
    found = auc_interval([0.5], [0.1, 0.9, 0.2])
    assert found.value == pytest.approx(2 / 3)
    assert 0 <= found.low < found.value < found.high <= 1


def test_coverage_is_near_its_level():
    rng, true = np.random.default_rng(3), 0.9213503964748575  # Phi(2 / sqrt 2)
    inside = [
        found.low <= true <= found.high
        for found in (auc_interval(rng.normal(2, 1, 30), rng.normal(0, 1, 20)) for _ in range(400))
    ]
    assert 0.91 <= np.mean(inside) <= 0.99
