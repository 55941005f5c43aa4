"""Classification: losses against scikit-learn, labels that are missing, ordinal probabilities, figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from medmtl.config import TaskBlock
from medmtl.data.manifest import Manifest
from medmtl.errors import ConfigError
from medmtl.geometry import Geometry
from medmtl.tasks import Classification, Origin, Settings, build_task

FIELD = torch.ones(1)


def task(**keys: object) -> Classification:
    built = build_task("t", TaskBlock.model_validate({"type": "classification", **keys}))
    assert isinstance(built, Classification)
    return built


GRADES = {"classes": [0, 1, 2, 3]}


def test_binary_loss_is_scikit_learns():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20, 1)), rng.integers(0, 2, (20, 1))
    got = task().loss(torch.tensor(logits), torch.tensor(labels, dtype=torch.float32), FIELD)
    np.testing.assert_allclose(float(got.sum), 20 * log_loss(labels[:, 0], 1 / (1 + np.exp(-logits[:, 0]))), rtol=1e-5)
    assert got.count == 20


def test_multiclass_loss_is_scikit_learns():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(20, 4)), rng.integers(0, 4, 20)
    one = task(mode="multiclass", **GRADES)
    got = one.loss(torch.tensor(logits), torch.tensor(labels[:, None], dtype=torch.float32), FIELD)
    probabilities = np.stack(one.predictions(torch.tensor(logits), FIELD))
    np.testing.assert_allclose(float(got.sum), 20 * log_loss(labels, probabilities, labels=range(4)), rtol=1e-5)


def test_ordinal_loss_is_the_sum_of_its_steps():
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(20, 3)), rng.integers(0, 4, 20)
    got = task(mode="ordinal", **GRADES).loss(
        torch.tensor(logits), torch.tensor(labels[:, None], dtype=torch.float32), FIELD
    )
    above = 1 / (1 + np.exp(-logits))
    want = sum(20 * log_loss(labels > step, above[:, step], labels=[False, True]) for step in range(3))
    np.testing.assert_allclose(float(got.sum), want, rtol=1e-5)


@given(st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=1, max_size=6))
def test_ordinal_probabilities_are_probabilities(logits: list[list[float]]):
    probabilities = np.stack(task(mode="ordinal", **GRADES).predictions(torch.tensor(logits), FIELD))
    assert probabilities.shape == (len(logits), 4)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities >= -1e-7).all()


def test_ordered_steps_are_kept_as_they_are():
    above = torch.tensor([[0.9, 0.5, 0.2]])
    (got,) = task(mode="ordinal", **GRADES).predictions(torch.logit(above), FIELD)
    np.testing.assert_allclose(got, [0.1, 0.4, 0.3, 0.2], atol=1e-6)


@given(st.integers(0, 1000), st.sampled_from(["labels", "multiclass", "ordinal"]))
@settings(max_examples=40, deadline=None)
def test_a_sample_without_a_label_changes_nothing(seed: int, mode: str):
    rng = torch.Generator().manual_seed(seed)
    one = task(mode=mode, classes=["0", "1", "2", "3"])
    width = {"labels": 4, "multiclass": 4, "ordinal": 3}[mode]
    logits = torch.randn(5, width, generator=rng).requires_grad_()
    if mode == "labels":
        target = torch.randint(0, 2, (5, 4), generator=rng).float()
        target[torch.rand(5, 4, generator=rng) < 0.4] = torch.nan
        target[0] = 1.0
    else:
        target = torch.randint(0, 4, (5, 1), generator=rng).float()
    target[2] = torch.nan
    got = one.loss(logits, target, FIELD)
    got.sum.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[2].any()
    if mode == "labels":
        assert not logits.grad[target.isnan()].any()
    kept = one.labelled_rows(target, FIELD)
    without = one.loss(logits[kept], target[kept], FIELD)
    torch.testing.assert_close(got.sum, without.sum)
    assert got.count == without.count == int(kept.sum())
    assert not kept[2]


def test_nothing_labelled_is_zero():
    for mode, width in (("labels", 4), ("multiclass", 4), ("ordinal", 3)):
        one = task(mode=mode, classes=["0", "1", "2", "3"])
        target = torch.full((2, 4 if mode == "labels" else 1), torch.nan)
        got = one.loss(torch.zeros(2, width), target, FIELD)
        assert (float(got.sum.detach()), got.count) == (0.0, 0)


def test_from_the_manifests_cell_to_the_metric(tmp_path: Path):
    """Empty means unknown: such a row is in no record, and the figure is that of the others alone."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 30).astype(str)
    labels[::5] = ""
    (tmp_path / "m.csv").write_text("image,label:t\n" + "".join(f"{i}.png,{text}\n" for i, text in enumerate(labels)))
    samples = Manifest.read(tmp_path / "m.csv").samples
    scores = rng.random(30).astype(np.float32)
    one = task()
    field = np.ones((4, 4), bool)
    records = [
        one.record(scores[i : i + 1], one.truth(sample, (4, 4)), field, Origin(sample.id, sample.patient))
        for i, sample in enumerate(samples)
    ]
    kept = [record for record in records if record is not None]
    assert len(kept) == 24
    known = labels != ""
    want = roc_auc_score(labels[known] == "1", scores[known])
    np.testing.assert_allclose(one.selection(kept)["auc"], want)
    found = one.findings(kept, Settings(bootstrap=100))
    auc = next(metric for metric in found.metrics if metric.name == "auc.t")
    np.testing.assert_allclose(auc.interval.value, want)
    assert auc.n == 24
    assert found.labelled == 24
    assert set(one.thresholds(kept)) == {"t"}
    assert np.isnan(one.selection([])["auc"])


def test_grades_end_to_end():
    one = task(mode="ordinal", **GRADES)
    rng = np.random.default_rng(4)
    truths = rng.integers(0, 4, 40)
    records = []
    for number, grade in enumerate(truths):
        record = one.record(
            np.eye(4, dtype=np.float32)[grade],
            np.array([grade], np.float32),
            np.ones((2, 2), bool),
            Origin(str(number), str(number)),
        )
        assert record is not None
        assert one.example_score(record, Settings(bootstrap=100)) == 1
        records.append(record)
    assert one.selection(records) == {"kappa": 1.0}
    assert one.thresholds(records) == {}
    found = one.findings(records, Settings(bootstrap=100))
    assert found.confusions
    figures = {metric.name: metric.interval.value for metric in found.metrics}
    assert [figures[name] for name in figures if name.startswith("auc.")] == [1.0] * 7
    assert figures["ece.t"] == 0


def test_a_label_has_no_place():
    prediction = np.array([0.3], np.float32)
    assert task().restore(prediction, Geometry(10, 10, 0, 0, 10, 5)) is prediction


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"mode": "ordinal"}, "at least two classes"),
        ({"mode": "multiclass", "classes": {"a": {}, "b": {}}}, "needs a list"),
        ({"mode": "multiclass", "classes": ["a", "a"]}, "stands twice"),
        ({"mode": "multiclass", "classes": ["1", "1.0"]}, "stands twice"),
        ({"classes": ["a", " "]}, "no name"),
        ({"classes": ["a", "b"], "positive": [1]}, "single yes/no"),
        ({"mode": "ordinal", "classes": [0, 1], "positive": [1]}, "drop it"),
        ({"mode": "multiclass", "classes": [True, False]}, "quotes"),
    ],
)
def test_contradictions(keys: dict[str, object], said: str):
    with pytest.raises(ConfigError) as caught:
        task(**keys)
    assert said in str(caught.value)


def test_an_explicit_one_among_several_grades():
    """`positive: [1]` says that everything else is absent; without it only 0 and 1 are allowed."""
    assert task(positive=[1]).target.classes[0].positive == ("1",)
    assert task().target.classes[0].positive == ()
