"""Intervals over seeds and patients against closed forms and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from medmtl.evaluation.resampling import (
    LEAST_SEEDS,
    mean_and_sd,
    over_patients,
    over_seeds_and_patients,
    patient_draws,
    sign_flip_p,
)

DRAWS = 20_000


def drawn(table: np.ndarray, seed: int = 0) -> np.ndarray:
    """Means of images (seeds, patients) in each draw of patients."""
    _, counts = patient_draws([f"{n}" for n in range(table.shape[1])], draws=DRAWS, seed=seed)
    return table @ counts.T / table.shape[1]


def half_width(interval) -> float:
    return (interval.high - interval.low) / 2


def test_the_same_draws_for_the_same_patients_in_any_order():
    one, first = patient_draws(["b", "a", "b", "c"], draws=50, seed=3)
    two, second = patient_draws(["c", "a", "b"], draws=50, seed=3)
    assert one == two == {"a": 0, "b": 1, "c": 2}
    assert (first == second).all()
    assert (first.sum(axis=1) == 3).all()


def test_over_patients_is_the_standard_error_of_a_mean():
    images = np.random.default_rng(1).normal(0.5, 0.2, (1, 400))
    found = over_patients(images.mean(axis=1), drawn(images))
    assert found.value == pytest.approx(float(images.mean()))
    assert half_width(found) == pytest.approx(1.96 * images.std() / math.sqrt(400), rel=0.05)


def test_a_paired_difference_is_narrower_than_the_figures():
    rng = np.random.default_rng(2)
    hard = rng.normal(0.5, 0.3, (1, 300))  # what is hard for one network is hard for the other
    first, second = hard + rng.normal(0.05, 0.02, (3, 300)), hard + rng.normal(0, 0.02, (3, 300))
    apart = over_patients((first - second).mean(axis=1), drawn(first) - drawn(second))
    exact = 1.96 * (first - second).mean(axis=0).std() / math.sqrt(300)
    assert half_width(apart) == pytest.approx(exact, rel=0.06)
    assert half_width(apart) < half_width(over_patients(first.mean(axis=1), drawn(first))) / 5


def test_over_seeds_and_patients_has_the_variance_of_a_crossed_design():
    """Var = Var(patients, shared by the seeds) + Var(seeds) / S, in closed form of the bootstrap itself."""
    rng = np.random.default_rng(3)
    seeds, patients = 8, 300
    table = 0.5 + rng.normal(0, 0.05, (seeds, 1)) + rng.normal(0, 0.2, (1, patients))
    found = over_seeds_and_patients(table.mean(axis=1), drawn(table))
    of_patients = table.mean(axis=0).var() / patients
    of_seeds = table.mean(axis=1).var() / seeds
    assert half_width(found) == pytest.approx(1.96 * math.sqrt(of_patients + of_seeds), rel=0.06)
    assert half_width(found) > 1.05 * half_width(over_patients(table.mean(axis=1), drawn(table)))
    assert found.method == f"bootstrap over 8 seeds and patients, {DRAWS} draws"


def test_two_seeds_by_brute_force():
    """Without any patients' spread the draws are the four ordered pairs of seeds."""
    values = np.array([0.2, 0.6])
    found = over_seeds_and_patients(values, np.repeat(values[:, None], DRAWS, axis=1))
    pairs = sorted(np.mean(pair) for pair in itertools.product(values, repeat=2))
    assert (found.low, found.high) == (pairs[0], pairs[-1])


def test_seeds_without_a_value_are_left_out_and_one_seed_has_only_patients():
    values = np.array([0.5, np.nan])
    replicates = np.vstack([np.linspace(0, 1, 1001), np.full(1001, np.nan)])
    found = over_seeds_and_patients(values, replicates)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
    assert "over patients" in found.method
    nothing = over_seeds_and_patients([np.nan], np.full((1, 10), np.nan))
    assert math.isnan(nothing.value)
    assert "no seed" in nothing.method
    only = over_patients([0.4], np.full((1, 10), np.nan))
    assert (only.value, math.isnan(only.low)) == (0.4, True)
    assert "single images" in only.method


def test_no_p_value_under_six_seeds_and_an_exact_one_from_six_on():
    rng = np.random.default_rng(5)
    for count in range(LEAST_SEEDS):
        assert math.isnan(sign_flip_p(rng.normal(1, 0.1, count)))
    assert sign_flip_p([1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 64)
    found = rng.normal(0.3, 1, 8)
    flips = [abs(np.mean(found * signs)) for signs in itertools.product((-1, 1), repeat=8)]
    assert sign_flip_p(found) == pytest.approx(np.mean(np.array(flips) >= abs(found.mean()) - 1e-12))
    assert math.isnan(sign_flip_p([1, 2, 3, 4, 5, np.nan]))


def test_mean_and_sd():
    assert mean_and_sd([1.0, 3.0, np.nan]) == pytest.approx((2.0, math.sqrt(2)))
    assert math.isnan(mean_and_sd([1.0])[1])
    assert math.isnan(mean_and_sd([np.nan])[0])
