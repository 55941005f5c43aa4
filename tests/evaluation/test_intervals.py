"""Wilson, the bootstrap and its group sums against closed forms, scipy and slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import (
    bootstrap_mean,
    bootstrap_sums,
    draw_weights,
    group_codes,
    group_sums,
    percentile_interval,
    ratio,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"), [(9, 11, 0.52, 0.95), (20, 20, 0.84, 1.00), (5, 5, 0.57, 1.00)]
)
def test_wilson_equals_the_published_figures(successes, total, low, high):
    found = wilson(successes, total)
    assert (round(found.low, 2), round(found.high, 2)) == (low, high)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(case):
    k, n = case
    found, oracle = wilson(k, n), stats.binomtest(k, n).proportion_ci(method="wilson")
    assert found.low == pytest.approx(oracle.low, abs=1e-9)
    assert found.high == pytest.approx(oracle.high, abs=1e-9)
    assert found.low <= found.value <= found.high


def test_wilson_without_cases_is_undefined_and_nonsense_is_refused():
    assert math.isnan(wilson(0, 0).value)
    assert "undefined" in wilson(0, 0).method
    with pytest.raises(EvaluationError, match="successes"):
        wilson(3, 2)


def test_group_codes_and_sums():
    codes = group_codes(["b", "a", "b"], 3)
    assert codes.tolist() == [0, 1, 0]
    assert group_sums([1, 2, 4], codes).tolist() == [[5], [2]]
    assert group_codes(None, 3).tolist() == [0, 1, 2]
    with pytest.raises(EvaluationError, match="differ in number"):
        group_codes(["a"], 2)


def test_draws_are_whole_samples_in_blocks_and_follow_the_seed():
    blocks = list(draw_weights(7, draws=25, seed=3, width=1_000_000))
    assert len(blocks) > 1
    weights = np.concatenate(blocks)
    assert weights.shape == (25, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert (weights == next(draw_weights(7, draws=25, seed=3))).all()
    assert (weights != next(draw_weights(7, draws=25, seed=4))).any()


def test_bootstrap_equals_a_slow_twin_that_draws_the_samples_themselves():
    rng = np.random.default_rng(0)
    values, patients = rng.random(30), np.repeat(np.arange(10), 3)
    found = bootstrap_mean(values, patients, draws=300, seed=5)
    twin = []
    for weights in np.concatenate(list(draw_weights(10, draws=300, seed=5))):
        drawn = np.concatenate([np.tile(values[patients == p], k) for p, k in enumerate(weights)])
        twin.append(drawn.mean())
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(twin, [0.025, 0.975])))


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval():
    values = np.random.default_rng(1).normal(size=400)
    found = bootstrap_mean(values, draws=4000)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.012)
    assert found.high == pytest.approx(values.mean() + half, abs=0.012)


def test_patients_are_wider_than_samples_where_samples_of_a_patient_agree():
    values = np.repeat(np.random.default_rng(2).random(20), 10)
    alone, grouped = bootstrap_mean(values), bootstrap_mean(values, np.repeat(np.arange(20), 10))
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_nan_is_left_out_and_nothing_is_undefined():
    assert bootstrap_mean([1.0, np.nan, 3.0], ["a", "b", "c"]).value == 2.0
    assert math.isnan(bootstrap_mean([np.nan]).value)
    lonely = bootstrap_mean([0.2, 0.4], ["a", "a"])
    assert lonely.value == pytest.approx(0.3)
    assert math.isnan(lonely.low)
    assert "fewer than two" in lonely.method


def test_draws_without_a_denominator_are_left_out():
    found = bootstrap_sums([[1, 1], [0, 0], [1, 2]], ratio, draws=500)
    assert found.value == pytest.approx(2 / 3)
    assert 0.5 <= found.low <= found.high <= 1.0
    mostly = percentile_interval(0.5, np.array([np.nan, np.nan, 0.5]))
    assert math.isnan(mostly.low)
