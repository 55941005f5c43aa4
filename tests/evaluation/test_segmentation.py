"""Pixel counts and means against scikit-learn and small images counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from medmtl.errors import EvaluationError
from medmtl.evaluation.pixels import PixelCounts, channel_counts, class_counts, image_scores
from medmtl.evaluation.segmentation import segmentation_findings

grids = st.integers(0, 2**31).map(lambda seed: np.random.default_rng(seed).integers(0, 3, (2, 6, 7)))


def metric(findings, name):
    (found,) = [m for m in findings.metrics if m.name == name]
    return found


@given(grids)
def test_scores_equal_scikit_learn_per_class(pair):
    truth, predicted = pair
    scores = image_scores(class_counts(truth, predicted, 3))
    oracles = {"dice": f1_score, "iou": jaccard_score, "sensitivity": recall_score, "precision": precision_score}
    for name, oracle in oracles.items():
        expected = oracle(truth.ravel(), predicted.ravel(), labels=[0, 1, 2], average=None, zero_division=0)
        np.testing.assert_allclose(np.nan_to_num(scores[name]), expected)


@given(grids)
def test_channels_and_class_numbers_agree(pair):
    one_hot = [np.stack([image == c for c in range(3)]).astype(np.uint8) for image in pair]
    for a, b in zip(vars(class_counts(*pair, 3)).values(), vars(channel_counts(*one_hot)).values(), strict=True):
        assert a.tolist() == b.tolist()


@given(grids, st.integers(0, 2**31))
def test_unknown_and_invalid_pixels_count_nowhere(pair, seed):
    rng = np.random.default_rng(seed)
    truth, predicted = pair[0].copy(), pair[1].copy()
    valid, unknown = rng.random(truth.shape) < 0.7, rng.random(truth.shape) < 0.2
    truth[unknown] = 255
    found = class_counts(truth, predicted, 3, valid)
    predicted[unknown | ~valid] = rng.integers(0, 3)
    again = class_counts(truth, predicted, 3, valid)
    kept = valid & ~unknown
    expected = class_counts(truth[kept][None], predicted[kept][None], 3)
    for a, b, c in zip(vars(found).values(), vars(again).values(), vars(expected).values(), strict=True):
        assert a.tolist() == b.tolist() == c.tolist()
    assert found.known.tolist() == [kept.sum()] * 3


def one(tp, fp, fn, tn=10):
    return PixelCounts(*(np.array([value]) for value in (tp, fp, fn, tn)))


def test_empty_images_follow_the_stated_rule():
    images = [one(4, 0, 0), one(0, 0, 0), one(0, 3, 0)]
    left_out = segmentation_findings(images, ["lesion"], draws=20)
    assert metric(left_out, "dice.lesion").interval.value == pytest.approx(0.5)
    assert metric(left_out, "dice.lesion").n == 2
    counted = segmentation_findings(images, ["lesion"], empty="one", draws=20)
    assert metric(counted, "dice.lesion").interval.value == pytest.approx(2 / 3)
    assert metric(counted, "sensitivity.lesion").n == 1
    row = left_out.tables[0].frame.iloc[0]
    assert (row["images"], row["with_class"], row["both_empty"]) == (3, 1, 1)
    assert "left out" in left_out.notes[0]
    assert "counts 1" in counted.notes[0]


def test_an_unlabelled_image_is_left_out_and_counted():
    truth = np.full((2, 4, 4), 255, np.uint8)
    truth[0] = 1
    images = [channel_counts(truth, np.ones((2, 4, 4))), one_class_missing()]
    found = segmentation_findings(images, ["a", "b"], draws=20)
    assert metric(found, "dice.a").interval.value == 1.0
    assert metric(found, "dice.a").n == 1
    assert math.isnan(metric(found, "dice.b").interval.value)
    assert (found.labelled, found.unlabelled) == (1, 1)
    assert found.tables[0].frame["unlabelled"].tolist() == [1, 2]


def one_class_missing():
    return channel_counts(np.full((2, 4, 4), 255, np.uint8), np.zeros((2, 4, 4)))


def test_mean_per_image_and_pooled_differ_as_they_should():
    images = [one(1, 0, 1), one(90, 10, 0)]
    found = segmentation_findings(images, ["v"], groups=["a", "b"], draws=50)
    per_image = [2 / 3, 180 / 190]
    assert metric(found, "dice.v").interval.value == pytest.approx(np.mean(per_image))
    assert found.tables[0].frame["pooled_dice"][0] == pytest.approx(182 / 193)
    assert metric(found, "dice.v").interval.low == pytest.approx(per_image[0])


def test_background_is_not_reported_and_no_image_is_no_crash():
    found = segmentation_findings([], ["background", "disc"])
    assert [m.name for m in found.metrics] == ["dice.disc", "iou.disc", "sensitivity.disc", "precision.disc"]
    assert all(math.isnan(m.interval.value) for m in found.metrics)


def test_bad_input_is_refused():
    with pytest.raises(EvaluationError, match="differ in shape"):
        class_counts(np.zeros((2, 2)), np.zeros((2, 3)), 2)
    with pytest.raises(EvaluationError, match=r"outside 0\.\.1"):
        class_counts(np.full((2, 2), 2), np.zeros((2, 2)), 2)
    with pytest.raises(EvaluationError, match="another shape"):
        class_counts(np.zeros((2, 2)), np.zeros((2, 2)), 2, np.ones((3, 3)))
    with pytest.raises(EvaluationError, match="0, 1 or 255"):
        channel_counts(np.full((1, 2, 2), 7), np.zeros((1, 2, 2)))
    with pytest.raises(EvaluationError, match="classes differ in number"):
        segmentation_findings([one(1, 1, 1)], ["a", "b"])
    with pytest.raises(EvaluationError, match="differ in their number"):
        segmentation_findings([one(1, 1, 1), one_class_missing()], ["a"])
