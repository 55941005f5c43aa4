"""The curve against counting anew at each threshold, the counter-examples of other packages, and a slow bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmtl.evaluation.candidates import Candidates
from medmtl.evaluation.froc import CPM_RATES, pooled_froc
from medmtl.evaluation.froc_intervals import froc_intervals, froc_replicates
from medmtl.evaluation.intervals import draw_weights
from medmtl.evaluation.lesions import Matches, Outcome, lesion_targets, match

FP, TP, DUP = int(Outcome.FALSE_POSITIVE), int(Outcome.TRUE_POSITIVE), int(Outcome.DUPLICATE)


def image(lesions, *found):
    """Matches from (score, outcome) pairs."""
    found = sorted(found, reverse=True)
    score, outcome = (np.array([pair[i] for pair in found]) for i in (0, 1))
    return Matches(score.astype(float), outcome.astype(int), np.zeros(len(found), int), lesions)


@pytest.mark.parametrize(
    ("case", "rate", "sensitivity"),
    [
        (image(2, (0.9, TP), (0.8, TP)), 0.0, 1.0),  # other packages say 0.5
        (image(2, (0.9, TP), (0.9, TP)), 0.0, 1.0),  # other packages say 0.0
        (image(2, (0.9, TP), (0.3, TP), (0.5, FP)), 1.0, 1.0),  # other packages say 0.5
        (image(2, (0.9, TP), (0.3, TP), (0.5, FP)), 0.99, 0.5),
        (image(3, (0.9, TP), (0.8, TP)), 0.0, 2 / 3),
        (image(1, (0.5, TP), (0.5, FP)), 0.5, 0.0),  # a tie enters together
        (image(1, (0.5, TP), (0.5, FP)), 1.0, 1.0),
        (image(2), 4.0, 0.0),
    ],
)
def test_counter_examples(case, rate, sensitivity):
    assert pooled_froc([case]).sensitivity_at(rate).sensitivity == pytest.approx(sensitivity)


def test_fifty_detections_in_one_lesion_are_one_found_and_49_duplicates():
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 1
    rng = np.random.default_rng(0)
    candidates = Candidates.points(rng.uniform(5, 14, 50), rng.uniform(5, 14, 50), rng.random(50))
    curve = pooled_froc([match(candidates, lesion_targets(mask))])
    assert (curve.sensitivity[-1], curve.fppi[-1], curve.duplicates) == (1.0, 0.0, 49)


def scene(seed):
    """Candidates and lesions of a few images, with ties, empty images and images without candidates."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(int(rng.integers(1, 5))):
        targets = lesion_targets((rng.random((12, 12)) < rng.choice([0.0, 0.15])).astype(np.uint8))
        n = int(rng.choice([0, 5, 15]))
        images.append(
            (Candidates.points(rng.integers(0, 12, n), rng.integers(0, 12, n), rng.integers(0, 6, n) / 6), targets)
        )
    return images


@given(st.integers(0, 2**31), st.sampled_from([0.0, 1.5]))
def test_curve_equals_matching_anew_at_each_threshold(seed, tolerance):
    images = scene(seed)
    curve = pooled_froc([match(c, t, tolerance=tolerance) for c, t in images])
    scores = sorted({s for c, _ in images for s in c.score}, reverse=True)
    assert curve.thresholds.tolist() == [math.inf, *scores]
    lesions = sum(t.count for _, t in images)
    for place, threshold in enumerate(curve.thresholds):
        anew = [match(c.take(c.score >= threshold), t, tolerance=tolerance) for c, t in images]
        assert curve.fppi[place] == pytest.approx(sum(m.count(FP) for m in anew) / len(images))
        if lesions:
            assert curve.sensitivity[place] == pytest.approx(sum(m.count(TP) for m in anew) / lesions)
    assert np.isnan(curve.sensitivity).all() == (lesions == 0)


@given(st.integers(0, 2**31), st.floats(0, 12))
def test_reading_is_the_best_point_within_the_rate(seed, rate):
    curve = pooled_froc([match(c, t) for c, t in scene(seed)])
    reading = curve.sensitivity_at(rate)
    if not curve.lesions:
        assert math.isnan(reading.sensitivity)
        return
    assert reading.sensitivity == max(s for s, f in zip(curve.sensitivity, curve.fppi, strict=True) if f <= rate + 1e-9)
    assert reading.reached == (curve.fppi.max() >= rate - 1e-9)


@given(st.integers(0, 2**31))
def test_order_of_images_changes_nothing(seed):
    matches = [match(c, t) for c, t in scene(seed)]
    one, other = pooled_froc(matches), pooled_froc(matches[::-1])
    np.testing.assert_array_equal(one.sensitivity, other.sensitivity)
    np.testing.assert_array_equal(one.fppi, other.fppi)


def test_images_without_lesions_count_in_the_rate_of_false_positives():
    curve = pooled_froc([image(1, (0.9, TP), (0.5, FP)), image(0, (0.7, FP)), image(0), image(0)])
    assert curve.fppi[-1] == 0.5
    assert (curve.images, curve.positive_images, curve.lesions) == (4, 1, 1)


def test_beyond_its_end_the_curve_is_flagged_not_extrapolated():
    reading = pooled_froc([image(4, (0.9, TP), (0.5, FP))]).sensitivity_at(2.0)
    assert (reading.sensitivity, reading.reached, reading.threshold) == (0.25, False, 0.5)
    assert pooled_froc([image(4, (0.9, TP), (0.5, FP))]).sensitivity_at(1.0).reached


def test_cpm_is_the_mean_of_seven_readings():
    case = image(2, (0.9, TP), (0.8, FP), (0.7, FP), (0.6, TP))
    assert pooled_froc([case]).cpm() == pytest.approx((4 * 0.5 + 3 * 1.0) / 7)
    assert len(CPM_RATES) == 7


def test_no_image_and_no_lesion_are_nan():
    assert math.isnan(pooled_froc([]).sensitivity_at(1).sensitivity)
    assert math.isnan(pooled_froc([image(0, (0.5, FP))]).cpm())


@pytest.mark.parametrize(("rate", "threshold"), [(0.0, 0.9), (0.5, 0.7), (0.9, 0.7), (1.0, 0.5), (9.0, 0.2)])
def test_without_lesions_a_rate_has_its_threshold_and_no_sensitivity(rate, threshold):
    """Two images: one false positive down to .7, two down to .5, three down to .2; the best score counts neither way."""
    images = [image(0, (0.9, Outcome.IGNORED), (0.7, FP)), image(0, (0.5, FP), (0.2, FP))]
    reading = pooled_froc(images).sensitivity_at(rate)
    assert reading.threshold == threshold
    assert math.isnan(reading.sensitivity)
    assert not reading.reached
    assert math.isnan(pooled_froc([]).sensitivity_at(rate).threshold)


def test_replicates_equal_curves_of_the_drawn_images():
    matches = [match(c, t) for seed in range(9) for c, t in scene(seed)]
    patients = np.arange(len(matches)) // 2
    rates = (0.0, 0.3, 1.0, 3.0, 50.0)
    found = froc_replicates(matches, rates, patients, draws=60, seed=2)
    for row, weights in zip(
        found, np.concatenate(list(draw_weights(patients.max() + 1, draws=60, seed=2))), strict=True
    ):
        drawn = pooled_froc([m for m, p in zip(matches, patients, strict=True) for _ in range(weights[p])])
        expected = [drawn.sensitivity_at(rate).sensitivity for rate in rates]
        np.testing.assert_allclose(row, expected)


def test_intervals_hold_the_value_and_need_two_patients():
    matches = [match(c, t) for seed in range(20) for c, t in scene(seed)]
    each, cpm = froc_intervals(matches, (1.0, 4.0), draws=300)
    curve = pooled_froc(matches)
    for interval, rate in zip(each, (1.0, 4.0), strict=True):
        assert interval.value == curve.sensitivity_at(rate).sensitivity
        assert interval.low <= interval.value <= interval.high
        assert interval.low < interval.high
    assert cpm.value == pytest.approx(np.mean([i.value for i in each]))
    (alone,), _ = froc_intervals(matches, (1.0,), ["a"] * len(matches))
    assert math.isnan(alone.low)


def test_random_scores_follow_the_share_of_the_field_that_is_lesion():
    rng, images = np.random.default_rng(0), []
    mask = np.zeros((50, 50), np.uint8)
    mask[:5, :50] = 1
    targets = lesion_targets(mask)
    for _ in range(400):
        place = rng.integers(0, 50, (2, 1))
        images.append(match(Candidates.points(place[0], place[1], rng.random(1)), targets))
    curve = pooled_froc(images)
    assert curve.sensitivity[-1] == pytest.approx(0.1, abs=0.05)
    assert curve.fppi[-1] == pytest.approx(0.9, abs=0.05)
