"""Counts by probability give those of ``probability >= threshold`` at every threshold, and the best one by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.errors import EvaluationError
from medmtl.evaluation.levels import GRID, PixelLevels, dice_thresholds, pixel_levels
from medmtl.evaluation.pixels import channel_counts, image_scores

Picture = tuple[np.ndarray, np.ndarray, np.ndarray]


def picture(seed: int, classes: int = 2) -> Picture:
    """Truth with unknown pixels, probabilities of which many lie on the grid itself, and a field."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 255], p=[0.6, 0.3, 0.1], size=(classes, 7, 9)).astype(np.uint8)
    probability = rng.random(truth.shape, np.float32)
    on_grid = rng.random(truth.shape) < 0.4
    probability[on_grid] = rng.choice(GRID, on_grid.sum())
    probability.flat[:2] = 0, 1
    return truth, probability, rng.random((7, 9)) < 0.8


@given(seed=st.integers(0, 10_000), step=st.integers(0, 100))
def test_any_threshold_gives_the_counts_of_the_masks_themselves(seed: int, step: int):
    truth, probability, field = picture(seed)
    other = (step * 7) % 101
    got = pixel_levels(truth, probability, field).counts([step / 100, other / 100])
    limits = np.array([step / 100, other / 100], np.float32)[:, None, None]
    want = channel_counts(truth, probability >= limits, field)
    for name in ("tp", "fp", "fn", "tn"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2_000), images=st.integers(1, 4))
def test_the_chosen_threshold_is_the_best_by_brute_force(seed: int, images: int):
    pictures = [picture(seed + 7 * index) for index in range(images)]
    chosen = dice_thresholds([pixel_levels(*item) for item in pictures], ["a", "b"])

    def mean_dice(threshold: float, label: int) -> float:
        scores = [
            image_scores(channel_counts(truth, probability >= np.float32(threshold), field))["dice"][label]
            for truth, probability, field in pictures
        ]
        return float(np.nanmean(scores))

    for label, name in enumerate(("a", "b")):
        best = max(mean_dice(step / 100, label) for step in range(5, 96))
        assert mean_dice(chosen[name], label) == pytest.approx(best, abs=1e-12)


def test_of_equally_good_thresholds_the_nearest_to_one_half():
    truth = np.array([[[0, 0, 1, 1]]], np.uint8)
    probability = np.array([[[0.1, 0.2, 0.8, 0.9]]], np.float32)  # anything above 0.2 and up to 0.8 is perfect
    levels = pixel_levels(truth, probability, np.ones((1, 4), bool))
    assert dice_thresholds([levels], ["a"]) == {"a": 0.5}
    low = pixel_levels(truth, probability / 2, np.ones((1, 4), bool))  # above 0.1 and up to 0.4
    assert dice_thresholds([low], ["a"]) == {"a": 0.4}


def test_a_class_that_no_image_shows_has_no_threshold():
    field = np.ones((1, 3), bool)
    truth = np.array([[[1, 0, 0]], [[0, 0, 255]], [[255, 255, 255]]], np.uint8)
    levels = pixel_levels(truth, np.full((3, 1, 3), 0.3, np.float32), field)
    assert dice_thresholds([levels], ["shown", "absent", "unlabelled"]).keys() == {"shown"}
    assert dice_thresholds([], ["shown"]) == {}


@pytest.mark.parametrize("thresholds", [[0.505, 0.5], [0.5], [0.5, 0.5, 0.5]])
def test_a_threshold_between_steps_or_of_no_class_is_refused(thresholds: list[float]):
    with pytest.raises(EvaluationError, match="hundredths"):
        pixel_levels(*picture(0)).counts(thresholds)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_what_is_no_probability_is_refused(value: float):
    truth, probability, field = picture(1)
    probability[0, 0, 0] = value
    with pytest.raises(EvaluationError, match=r"outside 0\.\.1"):
        pixel_levels(truth, probability, field)
    with pytest.raises(EvaluationError, match="shape"):
        pixel_levels(truth, np.clip(probability, 0, 1)[:1], field)


def test_the_default_is_one_half():
    truth, probability, field = picture(2)
    levels: PixelLevels = pixel_levels(truth, probability, field)
    np.testing.assert_array_equal(levels.counts().tp, channel_counts(truth, probability >= 0.5, field).tp)
