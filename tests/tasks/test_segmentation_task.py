"""Segmentation: its loss against MONAI's and a formula, unknown pixels that change nothing, figures from the cell on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceCELoss, DiceLoss
from PIL import Image

from medmtl.config import TaskBlock
from medmtl.data.manifest import Manifest
from medmtl.data.targets import UNKNOWN
from medmtl.errors import ConfigError
from medmtl.geometry import Geometry, take_view
from medmtl.tasks import Origin, Segmentation, Settings, build_task

CLASSES = {"a": {"values": [1]}, "b": {"values": [2]}}


def task(**keys: object) -> Segmentation:
    block = {"type": "segmentation", "column": "m", "classes": CLASSES, **keys}
    built = build_task("t", TaskBlock.model_validate(block))
    assert isinstance(built, Segmentation)
    return built


def batch(
    seed: int, samples: int = 3, classes: int = 2, exclusive: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, classes + exclusive, 6, 5, generator=rng)
    index = torch.randint(0, classes + 1, (samples, 6, 5), generator=rng)
    target = torch.stack([index == label for label in range(1, classes + 1)], 1).to(torch.uint8)
    return logits.requires_grad_(), target, torch.ones(samples, 1, 6, 5, dtype=torch.uint8)


def test_exclusive_loss_is_monais_where_all_is_labelled():
    logits, target, field = batch(0, exclusive=True)
    got = task(exclusive=True).loss(logits, target, field)
    onehot = torch.cat([1 - target.sum(1, keepdim=True), target], 1).float()
    # MONAI's DiceCE means over the batch; ours sums over samples.
    oracle = DiceCELoss(include_background=False, softmax=True, lambda_dice=0.5, lambda_ce=0.5)
    want = sum(oracle(logits[i : i + 1], onehot[i : i + 1]) for i in range(3))
    torch.testing.assert_close(got.sum, want, rtol=1e-4, atol=1e-5)
    assert got.count == 3


@pytest.mark.parametrize("loss", ["dice", "ce", "dice_ce"])
def test_independent_classes(loss: str):
    logits, target, field = batch(1)
    got = task(loss=loss).loss(logits, target, field).sum
    dice = sum(DiceLoss(sigmoid=True)(logits[i : i + 1], target[i : i + 1].float()) for i in range(3))
    cross = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none").mean((1, 2, 3)).sum()
    want = {"dice": dice, "ce": cross, "dice_ce": (dice + cross) / 2}[loss]
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 1000), st.booleans(), st.sampled_from(["dice", "ce", "dice_ce"]))
@settings(max_examples=30, deadline=None)
def test_unknown_pixels_and_unlabelled_samples_change_nothing(seed: int, exclusive: bool, loss: str):
    """Whatever the network says there: neither sum nor count nor any gradient sees it."""
    one = task(exclusive=exclusive, loss=loss)
    logits, target, field = batch(seed, exclusive=exclusive)
    hole = torch.rand(3, 1, 6, 5, generator=torch.Generator().manual_seed(seed)) < 0.3
    target = torch.where(hole, UNKNOWN, target).to(torch.uint8)
    target[1] = UNKNOWN
    first = one.loss(logits, target, field)
    first.sum.backward()
    hidden = hole.expand_as(logits).clone()
    hidden[1] = True
    assert logits.grad is not None
    assert (logits.grad[hidden] == 0).all()
    other = torch.where(hidden, torch.full_like(logits, 3.0), logits).detach()
    second = one.loss(other, target, field)
    torch.testing.assert_close(first.sum.detach(), second.sum)
    assert first.count == second.count == 2
    kept = [0, 2]
    without = one.loss(logits[kept], target[kept], field[kept])
    torch.testing.assert_close(first.sum, without.sum)
    assert one.labelled_rows(target, field).tolist() == [True, False, True]


def test_outside_the_field_is_unknown_too():
    one = task()
    logits, target, field = batch(3)
    field[:, :, :, :2] = 0
    total = one.loss(logits, target, field).sum
    marked = torch.where(field > 0, target, UNKNOWN).to(torch.uint8)
    torch.testing.assert_close(total, one.loss(logits, marked, torch.ones_like(field)).sum)
    field[0] = 0
    assert one.loss(logits, target, field).count == 2
    assert one.predictions(logits.detach(), field)[0].max() == 0


def test_an_unlabelled_class_leaves_the_other_alone():
    one = task(loss="dice_ce")
    logits, target, field = batch(4)
    target[:, 1] = UNKNOWN
    single = task(classes={"a": {"values": [1]}}, loss="dice_ce")
    torch.testing.assert_close(
        one.loss(logits, target, field).sum, single.loss(logits[:, :1], target[:, :1], field).sum
    )


def test_nothing_labelled_is_zero_with_a_gradient_of_zero():
    logits, target, field = batch(5)
    got = task().loss(logits, torch.full_like(target, UNKNOWN), field)
    got.sum.backward()
    assert (float(got.sum.detach()), got.count) == (0.0, 0)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad.any()


def test_decisions():
    prediction = np.array([[[0.6, 0.3, 0.2]], [[0.3, 0.4, 0.7]]], np.float32)
    np.testing.assert_array_equal(task().decide(prediction)[:, 0], [[True, False, False], [False, False, True]])
    np.testing.assert_array_equal(
        task(exclusive=True).decide(prediction)[:, 0], [[True, False, False], [False, True, True]]
    )


def world(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 3, (6, 7)), np.ones((10, 10))).astype(np.uint8)
    Image.fromarray(np.full((60, 70, 3), 90, np.uint8)).save(folder / "i.png")
    Image.fromarray(mask).save(folder / "m.png")
    (folder / "m.csv").write_text("image,id,patient,mask:m\ni.png,one,p,m.png\ni.png,two,q,absent\ni.png,three,r,\n")
    return folder / "m.csv"


def test_from_the_manifests_cell_to_the_metric(tmp_path: Path):
    """A perfect prediction scores 1 in original pixels; absent is an empty truth; empty cells are left out."""
    one = task()
    samples = Manifest.read(world(tmp_path)).samples
    mask = np.asarray(Image.open(tmp_path / "m.png"))
    geometry = Geometry(60, 70, -5, 0, 70, 140)
    perfect = np.stack([take_view((mask == label).astype(np.float32), geometry, nearest=True) for label in (1, 2)])
    records = []
    for sample in samples:
        restored = one.restore(perfect, geometry)
        assert restored.shape == (2, 60, 70)
        truth = one.truth(sample, (60, 70))
        records.append(one.record(restored, truth, np.ones((60, 70), bool), Origin(sample.id, sample.patient)))
    assert records[2] is None
    assert records[0] is not None
    assert records[1] is not None
    np.testing.assert_allclose(one.example_score(records[0], Settings()), 1, atol=0.02)
    assert one.example_score(records[1], Settings()) == 0  # something was said where nothing is
    kept = [records[0], records[1]]
    assert 0.45 < one.selection(kept)["dice"] < 0.55
    found = one.findings(kept, Settings(bootstrap=100))
    assert {metric.name for metric in found.metrics} >= {"dice.a", "dice.b"}
    assert one.thresholds(kept).keys() == {"a", "b"}
    assert task(exclusive=True).thresholds(kept) == {}  # type: ignore[arg-type]
    assert np.isnan(one.selection([])["dice"])
    assert one.batch_truth(np.full((2, 3, 3), UNKNOWN, np.uint8)) is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"classes": {}}, "at least one class"),
        ({"ignore": [2]}, "`ignore`"),
        ({"exclusive": True, "classes": {"a": {"values": [1, 2]}, "b": {"values": [2]}}}, "share the value 2"),
        ({"classes": {"a": {"values": [256]}}}, "less than or equal to 255"),
        ({"loss": "focal"}, "'dice_ce'"),
        ({"decoder_channels": [1, 2]}, "at least 5"),
    ],
)
def test_contradictions(keys: dict[str, object], said: str):
    with pytest.raises(ConfigError) as caught:
        task(**keys)
    assert said in str(caught.value)
    assert str(caught.value).startswith("tasks.t")


def test_known_values_include_those_of_the_classes():
    assert task().target.known == (0, 1, 2)
    assert task(known=[0, 9], ignore=[3]).target.known == (0, 1, 2, 3, 9)
    assert task(classes={"a": {}}).target.known == ()
