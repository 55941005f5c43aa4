"""Binary figures against scikit-learn and slow twins; missing labels; one class only."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score

from medmtl.errors import EvaluationError
from medmtl.evaluation.classification import average_precision, binary_findings, operating_point, youden_threshold
from medmtl.evaluation.intervals import draw_weights
from medmtl.evaluation.labels import known_only

samples = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=4, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def metric(findings, name):
    (found,) = [m for m in findings.metrics if m.name == name]
    return found


def some(n=80, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype(float)
    return labels, np.clip(labels * 0.3 + rng.random(n) * 0.7, 0, 1)


@given(samples)
def test_figures_equal_scikit_learn(rows):
    labels, scores = np.array([r[0] for r in rows], float), np.array([r[1] / 8 for r in rows])
    found = binary_findings(labels, scores, threshold=0.5, draws=10)
    assert metric(found, "auc").interval.value == pytest.approx(roc_auc_score(labels, scores))
    assert metric(found, "average_precision").interval.value == pytest.approx(average_precision_score(labels, scores))
    assert metric(found, "brier").interval.value == pytest.approx(brier_score_loss(labels, scores))
    tn, fp, fn, tp = confusion_matrix(labels, scores >= 0.5).ravel()
    assert metric(found, "sensitivity").interval.value == pytest.approx(tp / (tp + fn))
    assert metric(found, "specificity").interval.value == pytest.approx(tn / (tn + fp))
    assert found.confusions[0].matrix == ((tn, fp), (fn, tp))


def test_unknown_labels_are_left_out_and_counted():
    labels, scores = some()
    hidden = labels.copy()
    hidden[::3] = np.nan
    kept = ~np.isnan(hidden)
    found = binary_findings(hidden, scores, threshold=0.5, groups=[f"p{i // 2}" for i in range(80)])
    alone = binary_findings(
        labels[kept], scores[kept], threshold=0.5, groups=[f"p{i // 2}" for i in np.flatnonzero(kept)]
    )
    assert found.metrics == alone.metrics
    assert found.curves == alone.curves
    assert (found.labelled, found.unlabelled) == (int(kept.sum()), int((~kept).sum()))


def test_a_nan_score_of_an_unlabelled_sample_harms_nothing():
    assert binary_findings([1, 0, math.nan], [0.9, 0.1, math.nan]).unlabelled == 1


@pytest.mark.parametrize(("labels", "word"), [([1, 1], "no negative"), ([0, 0], "no positive"), ([], "no positive")])
def test_one_class_only_gives_nan_with_its_reason(labels, word):
    found = binary_findings(labels, [0.5] * len(labels), threshold=0.4, name="x")
    assert math.isnan(metric(found, "auc.x").interval.value)
    assert word in metric(found, "auc.x").interval.method
    assert word in found.notes[0]
    assert not [curve for curve in found.curves if curve.kind == "roc"]
    assert len(found.metrics) == 6


def test_all_unknown_is_no_crash():
    found = binary_findings([math.nan, math.nan], [0.1, 0.2])
    assert found.labelled == 0
    assert found.unlabelled == 2
    assert all(math.isnan(m.interval.value) for m in found.metrics)


@given(samples)
def test_youden_is_the_best_of_all_thresholds_and_lies_between_scores(rows):
    labels, scores = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float)
    chosen = youden_threshold(labels, scores)

    def index(threshold):
        called = scores >= threshold
        return called[labels == 1].mean() - called[labels == 0].mean()

    assert index(chosen) == pytest.approx(max(index(t) for t in scores))
    assert chosen == scores.min() or chosen not in scores


def test_youden_by_hand_and_without_a_class():
    assert youden_threshold([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9]) == pytest.approx(0.5)
    assert math.isnan(youden_threshold([1, 1], [0.1, 0.2]))
    assert youden_threshold([1, 0, math.nan], [0.8, 0.2, 0.5]) == pytest.approx(0.5)


def test_without_a_threshold_there_is_no_operating_point():
    labels, scores = some()
    found = binary_findings(labels, scores, draws=10)
    assert math.isnan(metric(found, "sensitivity").interval.value)
    assert "no threshold" in metric(found, "sensitivity").interval.method
    assert not found.confusions
    marked = binary_findings(labels, scores, threshold=0.5, draws=10).curves[0]
    sensitivity, specificity = operating_point(known_only(labels, scores), 0.5)
    assert (marked.points[0].x, marked.points[0].y) == (1 - specificity.value, sensitivity.value)


def test_average_precision_interval_equals_a_slow_twin():
    labels, scores = some(24)
    scores = np.round(scores, 1)
    patients = np.arange(24) // 2
    found = average_precision(known_only(labels, scores, patients), draws=120, seed=4)
    twin = []
    for weights in np.concatenate(list(draw_weights(12, draws=120, seed=4))):
        index = np.repeat(np.arange(24), weights[patients])
        twin.append(average_precision_score(labels[index], scores[index]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(twin, [0.025, 0.975])))


def test_order_of_samples_changes_nothing():
    labels, scores = some()
    groups = np.arange(80) // 2
    order = np.random.default_rng(9).permutation(80)
    one = binary_findings(labels, scores, threshold=0.5, groups=groups)
    other = binary_findings(labels[order], scores[order], threshold=0.5, groups=groups[order])
    for a, b in zip(one.metrics, other.metrics, strict=True):
        assert a.interval.value == pytest.approx(b.interval.value)
        assert a.interval.low == pytest.approx(b.interval.low, abs=0.02)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 2], [0.1, 0.2], "outside its classes"),
        ([0, 1], [0.1, math.inf], "not finite"),
        ([0, 1, 1], [0.1, 0.2], "differ in number"),
        ([0, 1], [0.1, 1.2], r"probabilities in \[0, 1\]"),
    ],
)
def test_bad_input_is_refused(labels, scores, message):
    with pytest.raises(EvaluationError, match=message):
        binary_findings(labels, scores)


def test_logits_need_no_calibration():
    found = binary_findings([0, 1, 1], [-3.0, 0.0, 5.0], probabilities=False)
    assert [m.name for m in found.metrics] == ["auc", "average_precision", "sensitivity", "specificity"]
