"""Grades against scikit-learn and a slow bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    cohen_kappa_score,
    confusion_matrix,
    roc_auc_score,
)

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


def softmax(logits):
    values = np.exp(logits)
    return values / values.sum(axis=1, keepdims=True)


def test_probabilities_give_one_against_the_rest_and_cumulative_areas():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 60).astype(float)
    truth[5] = math.nan
    known = np.isfinite(truth)
    probabilities = softmax(rng.normal(size=(60, 4)) + 1.5 * np.eye(4)[np.nan_to_num(truth).astype(int)])
    found = grading_findings(
        truth, probabilities.argmax(1), GRADES, probabilities=probabilities, name="dr", draws=20, seed=3
    )
    table = found.tables[1].frame.set_index("positive")
    for index, grade in enumerate(GRADES):
        oracle = roc_auc_score(truth[known] == index, probabilities[known, index])
        assert metric(found, f"auc.dr={grade}").value == pytest.approx(oracle)
        assert metric(found, f"auc.dr={grade}").method.startswith("DeLong")
        oracle = average_precision_score(truth[known] == index, probabilities[known, index])
        assert table.loc[f"dr {grade}", "average_precision"] == pytest.approx(oracle)
    for index, grade in list(enumerate(GRADES))[1:]:
        oracle = roc_auc_score(truth[known] >= index, probabilities[known, index:].sum(1))
        assert metric(found, f"auc.dr>={grade}").value == pytest.approx(oracle)
        assert table.loc[f"dr {grade} or higher", "auc"] == pytest.approx(oracle)
    assert "auc.dr>=none" not in [m.name for m in found.metrics]
    assert [curve.title for curve in found.curves if curve.kind == "roc"] == [
        f"ROC: dr {grade} or higher" for grade in GRADES[1:]
    ]


def test_calibration_of_the_predicted_class_by_hand():
    # Four predictions of 0.85, three of them right: the only bin with samples is off by 0.85 - 0.75.
    probabilities = np.array([[0.85, 0.1, 0.05]] * 4)
    found = grading_findings([0, 0, 0, 2], [0] * 4, ("a", "b", "c"), probabilities=probabilities, draws=5)
    assert metric(found, "ece").value == pytest.approx(0.1)
    (curve,) = [curve for curve in found.curves if curve.kind == "calibration"]
    assert (curve.x, curve.y) == (pytest.approx((0.85,)), (0.75,))


def test_unordered_classes_have_no_cumulative_area():
    probabilities = softmax(np.random.default_rng(0).normal(size=(8, 3)))
    found = grading_findings([0, 1, 2, 0] * 2, [0] * 8, "abc", probabilities=probabilities, ordinal=False, draws=5)
    assert [m.name for m in found.metrics if m.name.startswith("auc")] == ["auc.=a", "auc.=b", "auc.=c"]
    assert len([curve for curve in found.curves if curve.kind == "roc"]) == 3


def test_a_class_without_a_sample_has_no_area_and_says_why():
    found = grading_findings([0, 1], [0, 1], "abc", probabilities=np.full((2, 3), 1 / 3), name="t", draws=5)
    assert math.isnan(metric(found, "auc.t=c").value)
    assert "no positive among 2 labelled" in metric(found, "auc.t=c").method
    assert not [m for m in grading_findings([math.nan], [0], "ab", probabilities=[[0.5, 0.5]]).metrics if m.n]


@pytest.mark.parametrize(
    "wrong", [np.full((2, 2), 0.5), np.full((1, 3), 0.3), [[0, 0, 1], [0, math.nan, 1]], [[2, -1, 0]] * 2]
)
def test_probabilities_that_are_none_are_refused(wrong):
    with pytest.raises(EvaluationError, match="probabilities"):
        grading_findings([0, 1], [0, 1], "abc", probabilities=wrong)
