"""What a localization learns besides its labels: sparse evidence, and lesion masks where some exist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss
from PIL import Image
from torch.nn import functional as F

from medmtl.config import TaskBlock, parse_config
from medmtl.data.loading import collate
from medmtl.errors import ConfigError, ImageError
from medmtl.models import ClassMaps, build_encoder
from medmtl.progress import Progress
from medmtl.tasks import Localization, build_task
from medmtl.tasks.localization_losses import class_masks, mask_loss, sparsity_penalty
from medmtl.training.problem import build_problem
from medmtl.workflows.setup import Setup, view_data


def task(**keys: object) -> Localization:
    built = build_task(
        "les", TaskBlock.model_validate({"type": "localization", "classes": ["he", "ma"], "stride": 8, **keys})
    )
    assert isinstance(built, Localization)
    return built


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), l1=st.floats(0, 3), l2=st.floats(0, 3))
def test_the_penalty_equals_numpys(seed, l1, l2):
    rng = np.random.default_rng(seed)
    evidence, known, inside = rng.normal(size=(3, 2, 4, 5)), rng.random((3, 2)) < 0.6, rng.random((3, 1, 4, 5)) < 0.5
    inside[:, :, 0, 0] = True
    got = sparsity_penalty(*map(torch.from_numpy, (evidence, known, inside)), l1, l2)
    for b in range(3):
        values = [
            (l1 * np.abs(cells) + l2 * cells**2).mean()
            for cells in (evidence[b, c][inside[b, 0]] for c in range(2) if known[b, c])
        ]
        assert got[b].item() == pytest.approx(np.mean(values) if values else 0, rel=1e-4, abs=1e-6)


def test_the_bias_is_free_and_what_is_unknown_or_outside_is_not_penalized():
    one = task(sparsity={"l1": 0.5}, prior=0.02)
    head = one.build_head(build_encoder("efficientnet-lite0", "none"))
    features = [torch.randn(3, c, 64 // s, 64 // s) for c, s in zip((16, 24, 40), (2, 4, 8), strict=True)]
    field = torch.zeros(3, 1, 64, 64, dtype=torch.uint8)
    field[..., :32] = 1
    output = head(features, (64, 64), field)
    torch.testing.assert_close(output.evidence, output.maps - head.output.bias[:, None, None])
    target = torch.tensor([[1.0, 0.0], [0.0, torch.nan], [torch.nan, torch.nan]])
    evidence = output.evidence.detach().clone().requires_grad_()
    plain = task().loss(output._replace(evidence=None), target, field)
    loss = one.loss(output._replace(evidence=evidence), target, field)
    assert loss.count == plain.count == 2
    expected = 0.5 * (evidence[0, :, :, :4].abs().mean() + evidence[1, 0, :, :4].abs().mean())
    torch.testing.assert_close(loss.sum - plain.sum, expected.detach(), atol=1e-6, rtol=1e-4)
    loss.sum.backward(retain_graph=True)
    touched = evidence.grad != 0
    assert touched[0, :, :, :4].all()
    assert touched[1, 0, :, :4].all()
    assert touched.sum() == 3 * 8 * 4
    (of_the_bias,) = torch.autograd.grad(
        one.loss(output, target, field).sum - task().loss(output._replace(evidence=None), target, field).sum,
        head.output.bias,
    )
    assert of_the_bias.abs().max() < 1e-7


def test_without_sparsity_nothing_is_kept_and_nothing_changes():
    head = task().build_head(build_encoder("efficientnet-lite0", "none"))
    features = [torch.randn(1, c, 64 // s, 64 // s) for c, s in zip((16, 24, 40), (2, 4, 8), strict=True)]
    assert head(features, (64, 64)).evidence is None
    assert task().side_target is None


def oracle(maps: torch.Tensor, masks: torch.Tensor, field: torch.Tensor, stride: int) -> float:
    """One sample, cell by cell: (C, h, w), (C, H, W), (H, W)."""
    values = []
    for c in range(len(maps)):
        logits, truth = [], []
        for row, column in np.ndindex(*maps.shape[1:]):
            place = (slice(row * stride, (row + 1) * stride), slice(column * stride, (column + 1) * stride))
            pixels, inside = masks[c][place], field[place]
            if inside.float().mean() < 0.5 or ((pixels == 255).any() and not (pixels == 1).any()):
                continue
            logits.append(maps[c, row, column])
            truth.append(float((pixels == 1).any()))
        if logits:
            x, y = torch.stack(logits)[None, None], torch.tensor(truth)[None, None]
            dice = DiceLoss(sigmoid=True)(x, y) if y.any() else 0.0
            values.append((F.binary_cross_entropy_with_logits(x, y) + dice) / 2)
    return float(torch.stack(values).mean()) if values else 0.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([(32, 40), (30, 37)]))
def test_the_loss_of_masks_equals_monais_over_known_cells(seed, size):
    rng = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 3, *(-(-side // 8) for side in size), generator=rng)
    masks = (torch.rand(2, 3, *size, generator=rng) < 0.02).to(torch.uint8)
    masks[torch.rand(2, 3, *size, generator=rng) < 0.005] = 255
    masks[0, 1] = 255
    field = (torch.rand(2, 1, *size, generator=rng) < 0.6).to(torch.uint8)
    got = mask_loss(maps, masks, field, 8)
    for b in range(2):
        assert got[b].item() == pytest.approx(oracle(maps[b], masks[b], field[b, 0], 8), abs=1e-5)


def test_masks_move_the_maps_of_known_cells_only_and_absent_ones_change_nothing():
    one = task(masks={"weight": 2.0})
    maps = torch.randn(3, 2, 4, 4).requires_grad_()
    logits, target = torch.zeros(3, 2), torch.tensor([[1.0, 0.0], [1.0, 0.0], [torch.nan, torch.nan]])
    side, field = torch.full((3, 2, 32, 32), 255, dtype=torch.uint8), torch.ones(3, 1, 32, 32)
    plain = one.loss(ClassMaps(maps, logits), target, field)
    unknown = one.side_loss(ClassMaps(maps, logits), target, side, field)
    assert (unknown.sum.item(), unknown.count) == (plain.sum.item(), plain.count)
    side[0, 0] = 0
    side[0, 0, 5, 5] = 1
    side[2] = 0  # has no label: says nothing
    loss = one.side_loss(ClassMaps(maps, logits), target, side, field)
    expected = 2 * oracle(maps[0].detach(), side[0], field[0, 0], 8)
    assert (loss.sum - plain.sum).item() == pytest.approx(expected, rel=1e-5)
    loss.sum.backward()
    assert (maps.grad[0, 0] != 0).all()
    assert maps.grad[0, 0, 0, 0] < 0 < maps.grad[0, 0, 1:].min()
    assert not maps.grad[0, 1].any()
    assert not maps.grad[1:].any()


def test_what_is_labelled_absent_has_an_empty_mask_where_that_was_asked_for():
    one, plain = task(masks={"absent": True}, label_weight=0.0), task(masks={})
    maps, field = torch.randn(3, 2, 4, 4).requires_grad_(), torch.ones(3, 1, 32, 32)
    target = torch.tensor([[1.0, 0.0], [1.0, torch.nan], [torch.nan, 0.0]])
    side = torch.full((3, 2, 32, 32), 255, dtype=torch.uint8)
    side[2, 1, 3, 3] = 1  # a drawn lesion beats what the label says of the rest of the image
    output = ClassMaps(maps, torch.zeros(3, 2))
    assert one.labelled_rows(target, field, side).tolist() == [True, False, True]
    assert one.labelled_rows(target, torch.zeros_like(field), side).tolist() == [False] * 3
    loss = one.side_loss(output, target, side, field)
    first, drawn = torch.zeros_like(side[0]), torch.where(side[2] == 255, 0, side[2]).to(torch.uint8)
    first[0], drawn[0] = 255, 255
    expected = oracle(maps[0].detach(), first, field[0, 0], 8) + oracle(maps[2].detach(), drawn, field[2, 0], 8)
    assert (loss.sum.item(), loss.count) == (pytest.approx(expected, rel=1e-5), 2)
    loss.sum.backward()
    assert not maps.grad[1].any()
    assert not maps.grad[0, 0].any()
    assert not maps.grad[2, 0].any()
    assert (maps.grad[0, 1] > 0).all()
    assert plain.labelled_rows(target, field, side).tolist() == [True] * 3


def test_the_weight_of_labels_scales_their_loss():
    maps, field = torch.randn(2, 2, 4, 4), torch.ones(2, 1, 32, 32)
    output, target = ClassMaps(maps, maps.mean((2, 3))), torch.tensor([[1.0, 0.0], [torch.nan, 1.0]])
    half, whole = task(label_weight=0.5).loss(output, target, field), task().loss(output, target, field)
    assert (half.sum.item(), half.count) == (pytest.approx(whole.sum.item() / 2), whole.count)
    with pytest.raises(ConfigError, match="nothing to learn from"):
        task(label_weight=0)
    with pytest.raises(ConfigError, match="stands beside the labels' loss"):
        task(label_weight=0, masks={}, sparsity={"l1": 0.1})


def test_patches_serve_a_localization_from_masks_alone():
    assert task(label_weight=0, masks={}).sees_patches
    assert not task(masks={}).sees_patches


def test_a_class_of_several_columns_is_their_union():
    layers = torch.tensor([[[[1, 0, 0, 255]], [[0, 0, 255, 1]], [[1, 1, 1, 1]]]], dtype=torch.uint8)
    made = class_masks(layers, ["a", "a", "b"], ["b", "c", "a"])
    assert made.tolist() == [[[[1, 1, 1, 1]], [[255] * 4], [[1, 0, 255, 1]]]]


def manifest(folder: Path, mask: str = "he.png") -> Path:
    lesion = np.zeros((80, 80), np.uint8)
    lesion[20:30, 50:60] = 1
    Image.fromarray(lesion).save(folder / "he.png")
    Image.fromarray(np.random.default_rng(0).integers(60, 200, (80, 80, 3)).astype(np.uint8)).save(folder / "i.png")
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(folder / "v.png")
    rows = [f"i.png,a,1,train,{mask}", "i.png,b,0,train,absent", "v.png,c,1,val,"]
    (folder / "m.csv").write_text("\n".join(["image,id,label:les.he,split,mask:les.he", *rows]) + "\n")
    return folder / "m.csv"


def run_config(path: Path, **keys: object):
    return parse_config(
        {
            "data": {"manifests": [str(path)], "cache": "none", "workers": 0},
            "views": {"field": {"size": 64, "crop": "none", "batch_size": 2}},
            "model": {"encoder": {"weights": "none"}},
            "tasks": {"les": {"type": "localization", "classes": ["he"], "stride": 8, **keys}},
        }
    )


def test_masks_reach_the_loss_from_the_manifest_and_validation_reads_none(tmp_path):
    losses = {}
    for name, keys in (("without", {}), ("with", {"masks": {}})):
        setup = Setup(run_config(manifest(tmp_path), **keys))
        dataset = view_data(setup, setup.cohort.training, ("none", None), Progress(quiet=True), training=True)[
            "field"
        ].dataset
        items = [dataset[0], dataset[1]]
        assert ("les.masks" in items[0]) is (name == "with")
        if name == "with":
            assert items[0]["les.masks"].shape == (1, 64, 64)
            assert 30 < int((items[0]["les.masks"] == 1).sum()) < 100
            assert not items[1]["les.masks"].any()
        batch = collate("field", items)
        problem = build_problem(setup.network(), setup.tasks, precision="fp32", compiled=False)
        problem.network.eval()
        losses[name] = problem.losses([batch], ("les",), "frozen")["les"]
        held = view_data(setup, setup.cohort.validation, ("none", None), Progress(quiet=True), training=False)
        assert "les.masks" not in held["field"].dataset[0]
    assert losses["with"].count == losses["without"].count == 2
    assert float(losses["with"].sum) > float(losses["without"].sum) + 0.1


def test_a_mask_that_is_missing_is_said_before_training(tmp_path):
    with pytest.raises(ImageError, match=r"line 2.*mask 'les.he' does not exist|mask 'les.he' does not exist"):
        Setup(run_config(manifest(tmp_path, "gone.png"), masks={}))
    Setup(run_config(manifest(tmp_path, "gone.png")))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sparsity": {"l1": -1}}, "tasks.les.sparsity.l1"),
        ({"sparsity": {"l3": 1}}, "sparsity.l3: unknown key; known: l1, l2"),
        ({"masks": {"weight": 0}}, "tasks.les.masks.weight"),
        ({"masks": {"columns": {"hee": ["x"]}}}, "no map of this class; found 'hee'"),
    ],
)
def test_contradictions(keys, said):
    with pytest.raises(ConfigError) as caught:
        task(**keys)
    assert said in str(caught.value)


def test_a_text_cannot_be_present_and_absent():
    with pytest.raises(ConfigError, match="positive and under negative"):
        task(classes={"he": {"column": "grade", "positive": [1, 0], "negative": [0]}})


def test_where_masks_alone_are_learned_from_they_have_to_be_there_and_labels_may_be_one_sided(tmp_path):
    keys = {"label_weight": 0, "masks": {}, "classes": {"he": {"negative": [0]}}}
    Setup(run_config(manifest(tmp_path), **keys))
    with pytest.raises(ConfigError, match="has not both answers"):
        Setup(run_config(manifest(tmp_path), **{**keys, "label_weight": 1}))
    with pytest.raises(ConfigError, match="is absent from all training samples"):
        Setup(run_config(manifest(tmp_path, "absent"), **keys))


def test_who_teaches_where_masks_alone_are_learned_from(tmp_path):
    keys = {"label_weight": 0, "masks": {}, "classes": {"he": {}}}
    plain, absent = (
        Setup(run_config(manifest(tmp_path), **{**keys, "masks": masks})) for masks in ({}, {"absent": True})
    )
    first, second = plain.cohort.training
    nothing = replace(second, masks={})
    present = replace(nothing, labels={"les.he": "1"})
    for setup, wanted in ((plain, [True, True, False, False]), (absent, [True, True, True, False])):
        assert [setup.tasks[0].teaches(sample) for sample in (first, second, nothing, present)] == wanted
    labelled = Setup(run_config(manifest(tmp_path), **{**keys, "label_weight": 1, "classes": ["he"]})).tasks[0]
    assert labelled.teaches(present)
