"""The pixel-based curve against scikit-learn's curve of all pixels; images read one at a time; bounded memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from medmtl.errors import EvaluationError
from medmtl.evaluation.diaretdb1 import WEIGHTS
from medmtl.evaluation.pixelroc import pixel_roc

seeds = st.integers(0, 2**31)


def levels(rng, shape):
    return rng.integers(0, 5, shape) / 4


def logits(rng, shape):
    return rng.normal(size=shape).astype(np.float32)


def around_zero(rng, shape):
    """Signs, both zeros, the smallest numbers, and neighbors that no sum tells apart."""
    values = np.array([-1e300, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, np.nextafter(1.0, 2.0), 1e300])
    return rng.choice(values, shape)


def steep(rng, shape):
    return np.exp(40 * rng.normal(size=shape))


KINDS = (levels, logits, around_zero, steep)


def scene(seed: int, kind: Callable, images: int = 4, shape: tuple[int, int] = (6, 7)):
    rng = np.random.default_rng(seed)
    return [
        (rng.random(shape) < 0.3, kind(rng, shape) + 0.5 * rng.integers(2), rng.random(shape) < 0.8)
        for _ in range(images)
    ]


def pooled(rows):
    return (np.concatenate([row[k][row[2]] for row in rows]) for k in (0, 1))


def errors(rows):
    """Equal error rate and least weighted errors from all pixels, by scikit-learn."""
    false, true, _ = roc_curve(*pooled(rows), drop_intermediate=False)
    misses = 1 - true
    gap = (misses - false)[::-1]
    assert (np.diff(gap) > 0).all()
    # The last point calls everything ill, which is no threshold of the protocol.
    weighted = [((misses + ratio * false) / (1 + ratio))[:-1].min() for ratio in WEIGHTS]
    return np.interp(0, gap, misses[::-1]), weighted


@settings(deadline=None)
@given(seeds, st.sampled_from(KINDS), st.sampled_from([1, 2, 3, 10, 2**18]))
def test_errors_equal_those_of_all_pixels_whatever_the_intervals(seed, kind, intervals):
    rows = scene(seed, kind)
    found = pixel_roc(rows, intervals=intervals)
    ill, _ = pooled(rows)
    assert (found.positives, found.negatives) == (int(ill.sum()), int((~ill).sum()))
    equal, weighted = errors(rows)
    assert found.equal_error_rate == pytest.approx(equal, abs=1e-12)
    assert [found.weighted_error(ratio) for ratio in WEIGHTS] == pytest.approx(weighted, abs=1e-12)


@settings(deadline=None)
@given(seeds, st.sampled_from(KINDS), st.sampled_from([1, 3, 2**18]))
def test_every_point_is_one_of_the_curve(seed, kind, intervals):
    rows = scene(seed, kind)
    found = pixel_roc(rows, intervals=intervals)
    ill, values = pooled(rows)
    assert set(found.thresholds.tolist()) <= set(values.tolist())
    assert found.thresholds[-1] == values.max()
    for t, sensitivity, specificity in zip(found.thresholds, found.sensitivity, found.specificity, strict=True):
        assert sensitivity == pytest.approx(np.mean(values[ill] > t))
        assert specificity == pytest.approx(np.mean(values[~ill] <= t))
    if found.ratios is None:
        assert found.thresholds.tolist() == np.unique(values).tolist()
        assert found.weighted_error(0.37) >= 0
    else:
        with pytest.raises(EvaluationError, match="weight of false alarms"):
            found.weighted_error(0.37)


def test_float_maps_of_many_scores_leave_points_out_and_stay_exact():
    rows = scene(3, logits, 5, (96, 96))
    found = pixel_roc(rows, intervals=512)
    assert len(found.thresholds) < 6_000 < len(np.unique(np.concatenate([row[1][row[2]] for row in rows])))
    equal, weighted = errors(rows)
    assert found.equal_error_rate == pytest.approx(equal, abs=1e-12)
    assert [found.weighted_error(ratio) for ratio in WEIGHTS] == pytest.approx(weighted, abs=1e-12)


class Lazy:
    """Images that are made whenever they are asked for; counts how often."""

    def __init__(self, images: int, kind: Callable = logits) -> None:
        self.images, self.kind, self.readings = images, kind, 0

    def __iter__(self):
        self.readings += 1
        for number in range(self.images):
            yield from scene(number, self.kind, 1, (64, 64))


def peak(images: int) -> int:
    tracemalloc.start()
    pixel_roc(Lazy(images), intervals=1024)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_ten_times_the_images_take_the_same_memory():
    assert peak(100) < 1.3 * peak(10)


def test_readings():
    few, many = Lazy(6, levels), Lazy(6)
    assert pixel_roc(few).ratios is None
    pixel_roc(many)
    assert few.readings == 2  # the second one begins with the first image, for its scores
    assert many.readings <= 4


@pytest.mark.parametrize("truth", [np.zeros((2, 3)), np.ones((2, 3))])
def test_one_kind_of_pixel_or_none_gives_no_error_rate(truth):
    rows = [(truth, np.arange(6.0).reshape(2, 3), np.ones((2, 3)))]
    for found in (pixel_roc(rows), pixel_roc(rows, intervals=1), pixel_roc([])):
        assert math.isnan(found.equal_error_rate)
        assert math.isnan(found.weighted_error(1.0))


@pytest.mark.parametrize(
    "images",
    [
        [(np.ones((2, 2)), np.ones((2, 3)), np.ones((2, 2)))],
        [(np.ones((2, 2)), np.ones((2, 2)), np.ones((3, 2)))],
        [(np.ones((2, 2)), np.full((2, 2), np.nan), np.ones((2, 2)))],
        [(np.ones((2, 2)), np.full((2, 2), np.inf), np.ones((2, 2)))],
        ((np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2))) for _ in range(2)),
    ],
)
def test_bad_input_is_refused(images):
    with pytest.raises(EvaluationError):
        pixel_roc(images)
