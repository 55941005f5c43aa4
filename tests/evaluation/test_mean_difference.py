"""Differences of means over seeds against a bootstrap that draws the images themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.errors import EvaluationError
from medmtl.evaluation import Matches, mean_froc_difference, paired_froc_difference, pooled_froc
from medmtl.evaluation.intervals import draw_weights, group_codes

RATES = (0.5, 1.0, 2.0)


def network(seed: int, lesions: np.ndarray) -> list[Matches]:
    """Random outcomes that an assignment could have given: each lesion is found at most once."""
    rng = np.random.default_rng(seed)
    images = []
    for count in lesions.tolist():
        found = int(rng.integers(0, count + 1))
        false = int(rng.integers(0, 4))
        target = np.concatenate([rng.permutation(count)[:found] + 1, np.zeros(false, int)]).astype(np.int64)
        order = rng.permutation(len(target))
        score = -np.sort(-rng.integers(0, 6, len(target)).astype(float))
        images.append(Matches(score, (target[order] > 0).astype(np.int64), target[order], count))
    return images


def read(images: list[Matches], rate: float) -> float:
    return pooled_froc(images).sensitivity_at(rate).sensitivity


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_each_draw_takes_one_set_of_patients_for_all(seed: int, models: int, others: int):
    rng = np.random.default_rng(seed)
    lesions = rng.integers(0, 4, 9)
    lesions[0] = 2
    patients = rng.integers(0, 6, 9)
    patients[:2] = 0, 1
    codes = group_codes(patients.tolist(), 9)
    sides = [[network(seed + 10 * k + j, lesions) for j in range(n)] for k, n in enumerate((models, others))]
    found = mean_froc_difference(*sides, RATES, patients.tolist(), draws=40, seed=3)
    weights = np.concatenate(list(draw_weights(int(codes.max()) + 1, draws=40, seed=3)))
    for rate, one in zip(RATES, found, strict=True):
        means = [np.mean([read(images, rate) for images in side]) for side in sides]
        assert one.value == pytest.approx(means[0] - means[1])
        drawn = []
        for row in weights:
            chosen = [index for index in range(9) for _ in range(int(row[codes[index]]))]
            if not lesions[chosen].sum():
                continue
            means = [np.mean([read([images[i] for i in chosen], rate) for images in side]) for side in sides]
            drawn.append(means[0] - means[1])
        assert (one.low, one.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))


def test_one_of_each_is_the_paired_difference():
    lesions = np.array([1, 2, 0, 3])
    one, other = network(1, lesions), network(2, lesions)
    assert mean_froc_difference([one], [other], RATES, draws=50) == paired_froc_difference(one, other, RATES, draws=50)


def test_a_model_against_itself_is_no_difference():
    one = network(1, np.array([1, 2, 0, 3]))
    for found in mean_froc_difference([one, one], [one], RATES, draws=50):
        assert (found.value, found.low, found.high) == (0, 0, 0)


def test_what_cannot_be_compared_is_refused():
    one, other = network(1, np.array([1, 2])), network(1, np.array([1, 1]))
    with pytest.raises(EvaluationError, match="a model on both sides"):
        mean_froc_difference([one], [], RATES)
    with pytest.raises(EvaluationError, match="same lesions"):
        mean_froc_difference([one, one], [one, other], RATES)
