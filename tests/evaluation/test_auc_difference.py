"""DeLong's paired test against the covariance matrix of the paper, scikit-learn's areas and repeated sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medmtl.errors import EvaluationError
from medmtl.evaluation.auc_difference import delong_test


def paper_variance(labels, one, other):
    """L S L' with S = S10 / m + S01 / n of DeLong, DeLong and Clarke-Pearson 1988, by double loops."""
    x, y = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    v10 = np.array([[np.mean([(s[i] > s[j]) + 0.5 * (s[i] == s[j]) for j in y]) for i in x] for s in (one, other)])
    v01 = np.array([[np.mean([(s[i] > s[j]) + 0.5 * (s[i] == s[j]) for i in x]) for j in y] for s in (one, other)])
    matrix = np.cov(v10) / len(x) + np.cov(v01) / len(y)
    contrast = np.array([1, -1])
    return contrast @ matrix @ contrast


@given(st.integers(0, 2**31))
def test_it_is_the_test_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    labels = np.array([0, 0, 1, 1, *rng.integers(0, 2, 12)])
    one, other = rng.integers(0, 6, (2, 16)).astype(float)
    found, variance = delong_test(labels, one, other), paper_variance(labels, one, other)
    difference = roc_auc_score(labels, one) - roc_auc_score(labels, other)
    assert found.difference.value == pytest.approx(difference)
    if variance > 1e-12:
        assert found.z == pytest.approx(difference / math.sqrt(variance))
        assert found.difference.low == pytest.approx(max(-1, difference - 1.959964 * math.sqrt(variance)), abs=1e-6)
        assert found.p == pytest.approx(math.erfc(abs(found.z) / math.sqrt(2)))
    mirror = delong_test(labels, other, one)
    assert mirror.difference.value == pytest.approx(-found.difference.value)
    assert (found.positives, found.negatives) == (int(labels.sum()), int((1 - labels).sum()))


def test_p_values_are_uniform_where_nothing_differs_and_small_where_it_does():
    rng, same, apart = np.random.default_rng(0), [], []
    labels = np.repeat([1, 0], [60, 80])
    for _ in range(400):
        shared = labels + rng.normal(size=140)
        same.append(delong_test(labels, shared + rng.normal(size=140), shared + rng.normal(size=140)).p)
        apart.append(delong_test(labels, shared + 2 * labels, shared).p)
    assert 0.02 <= np.mean(np.array(same) < 0.05) <= 0.085
    assert np.mean(np.array(same) < 0.5) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.array(apart) < 0.05) > 0.99


def test_doubling_every_sample_within_its_patient_changes_nothing():
    rng = np.random.default_rng(1)
    labels, one, other = rng.integers(0, 2, 40), *rng.normal(size=(2, 40))
    plain = delong_test(labels, one, other)
    doubled = delong_test(*(np.repeat(part, 2) for part in (labels, one, other)), groups=np.repeat(np.arange(40), 2))
    assert doubled.z == pytest.approx(plain.z)
    assert abs(delong_test(*(np.repeat(part, 2) for part in (labels, one, other))).z) > abs(plain.z)


def test_unknown_labels_are_left_out_with_their_patients():
    rng = np.random.default_rng(2)
    labels, one, other = rng.integers(0, 2, 30).astype(float), *rng.normal(size=(2, 30))
    holes = np.append(labels, [np.nan, np.nan])
    found = delong_test(holes, np.append(one, [np.nan, 3]), np.append(other, [1, 2]), [*range(30), "a", "b"])
    assert found == delong_test(labels, one, other, list(range(30)))


def test_a_score_and_itself_and_one_class_only_have_no_p_value():
    labels, score = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    alike = delong_test(labels, score, score)
    assert alike.difference.value == 0
    assert math.isnan(alike.p)
    assert "alike" in alike.difference.method
    assert math.isnan(delong_test([1, 1], [1, 2], [2, 1]).difference.value)


@pytest.mark.parametrize(
    ("labels", "one", "other"), [([0, 1], [1, 2], [1]), ([0, 2], [1, 2], [1, 2]), ([0, 1], [1, math.nan], [1, 2])]
)
def test_bad_input_is_refused(labels, one, other):
    with pytest.raises(EvaluationError, match="paired test"):
        delong_test(labels, one, other)
