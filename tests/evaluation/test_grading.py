"""Grades against scikit-learn and a slow bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix

from medmtl.errors import EvaluationError
from medmtl.evaluation.grading import grading_findings
from medmtl.evaluation.intervals import draw_weights

GRADES = ("none", "mild", "moderate", "severe")
pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=40)


def metric(findings, name):
    (found,) = [m for m in findings.metrics if m.name == name]
    return found.interval


@given(pairs, st.booleans())
def test_figures_equal_scikit_learn(rows, ordinal):
    truth, predicted = np.array(rows).T
    found = grading_findings(truth, predicted, GRADES, ordinal=ordinal, draws=5)
    matrix = confusion_matrix(truth, predicted, labels=range(4))
    assert found.confusions[0].matrix == tuple(map(tuple, matrix.tolist()))
    assert metric(found, "accuracy").value == pytest.approx(accuracy_score(truth, predicted))
    kappa = metric(found, "quadratic_kappa" if ordinal else "kappa").value
    if len(set(truth) | set(predicted)) == 1:
        assert math.isnan(kappa)
    else:
        oracle = cohen_kappa_score(truth, predicted, labels=range(4), weights="quadratic" if ordinal else None)
        assert kappa == pytest.approx(oracle)


def test_kappa_interval_equals_a_slow_twin():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 40)
    predicted = np.clip(truth + rng.integers(-1, 2, 40), 0, 3)
    patients = np.arange(40) // 2
    found = metric(grading_findings(truth, predicted, GRADES, groups=patients, draws=150, seed=7), "quadratic_kappa")
    twin = []
    for weights in np.concatenate(list(draw_weights(20, draws=150, seed=7))):
        index = np.repeat(np.arange(40), weights[patients])
        twin.append(cohen_kappa_score(truth[index], predicted[index], weights="quadratic"))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(twin, [0.025, 0.975])))


def test_unknown_grades_are_left_out_and_counted():
    found = grading_findings([0, math.nan, 3], [0, 1, 3], GRADES, draws=5)
    assert (found.labelled, found.unlabelled) == (2, 1)
    assert metric(found, "accuracy").value == 1.0
    assert "mild, moderate" in found.notes[0]


def test_no_label_at_all_is_no_crash():
    found = grading_findings([math.nan], [0], GRADES)
    assert all(math.isnan(m.interval.value) for m in found.metrics)
    assert "undefined" in metric(found, "accuracy").method


def test_table_of_classes_is_recall_and_precision():
    frame = grading_findings([0, 0, 1, 1], [0, 1, 1, 1], ("a", "b")).tables[0].frame.set_index("class")
    assert frame.loc["a", "recall"] == 0.5
    assert frame.loc["b", "precision"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("truth", "predicted"), [([4], [0]), ([0], [4]), ([0.5], [0]), ([0], [1.5])])
def test_a_grade_outside_the_classes_is_refused(truth, predicted):
    with pytest.raises(EvaluationError, match="outside its classes"):
        grading_findings(truth, predicted, GRADES)
