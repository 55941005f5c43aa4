"""Figures from one row a sample: weighted ones equal those of scikit-learn with the samples repeated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, cohen_kappa_score, roc_auc_score

from medmtl.evaluation.samplewise import replicates, sample_statistic


def repeated(weights: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    return [np.repeat(column, weights.astype(int)) for column in columns]


def one(metric: str, columns: dict[str, np.ndarray], weights: np.ndarray) -> float:
    statistic = sample_statistic(metric, columns)
    assert statistic is not None
    return float(statistic(weights[None].astype(float))[0])


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_yes_no_classes(seed: int):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 12).astype(float)
    scores = rng.integers(0, 6, 12) / 6  # with ties
    labels[rng.integers(12)] = np.nan
    weights = rng.integers(0, 3, 12)
    columns = {"label.dr": labels, "score.dr": scores}
    known, told = repeated(np.where(np.isfinite(labels), weights, 0), labels, scores)
    if len(set(known)) < 2:
        assert math.isnan(one("auc.dr", columns, weights))
        return
    assert one("auc.dr", columns, weights) == pytest.approx(roc_auc_score(known, told))
    assert one("average_precision.dr", columns, weights) == pytest.approx(average_precision_score(known, told))
    assert one("brier.dr", columns, weights) == pytest.approx(float(np.mean((known - told) ** 2)))


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_grades(seed: int):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), 15)
    labels, predicted = rng.integers(0, 3, 15).astype(float), probabilities.argmax(1).astype(float)
    weights = rng.integers(0, 3, 15)
    columns = {"label": labels, "predicted": predicted}
    columns |= {f"probability.{n}": probabilities[:, n] for n in range(3)}
    known, guessed = repeated(weights, labels, predicted)
    assert one("accuracy.grade", columns, weights) == pytest.approx(float((known == guessed).mean()))
    if len(set(known) | set(guessed)) > 1:
        options = {"labels": [0, 1, 2]}
        quadratic = cohen_kappa_score(known, guessed, weights="quadratic", **options)
        assert one("quadratic_kappa.grade", columns, weights) == pytest.approx(quadratic)
        assert one("kappa.grade", columns, weights) == pytest.approx(cohen_kappa_score(known, guessed, **options))
    reached, above = repeated(weights, labels >= 1, probabilities[:, 1:].sum(1))
    if len(set(reached)) == 2:
        assert one("auc.grade>=1", columns, weights) == pytest.approx(roc_auc_score(reached, above))
    this, of = repeated(weights, labels == 2, probabilities[:, 2])
    if len(set(this)) == 2:
        assert one("auc.grade=2", columns, weights) == pytest.approx(roc_auc_score(this, of))


def test_means_of_images_leave_unknown_ones_out():
    columns = {"dice.vessel": np.array([0.5, np.nan, 0.8])}
    assert one("dice.vessel", columns, np.array([1, 9, 2])) == pytest.approx((0.5 + 1.6) / 3)
    assert math.isnan(one("dice.vessel", columns, np.array([0, 9, 0])))


@pytest.mark.parametrize("metric", ["ece.dr", "cpm.dr", "sensitivity_at_1.dr", "auc.other", "auc", "dice.x", ""])
def test_what_single_samples_do_not_give(metric: str):
    assert sample_statistic(metric, {"label.dr": np.zeros(2), "score.dr": np.zeros(2)}) is None


def test_nothing_labelled():
    columns = {"label.dr": np.full(3, np.nan), "score.dr": np.zeros(3)}
    assert math.isnan(one("auc.dr", columns, np.ones(3)))
    assert math.isnan(one("average_precision.dr", columns, np.ones(3)))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    columns = {"label.a": rng.integers(0, 2, 20).astype(float), "score.a": rng.random(20)}
    weights = rng.integers(0, 3, (50, 20))
    statistic = sample_statistic("auc.a", columns)
    whole = replicates(statistic, weights)
    monkeypatch.setattr("medmtl.evaluation.samplewise._BLOCK", 60)
    np.testing.assert_array_equal(replicates(statistic, weights), whole)
