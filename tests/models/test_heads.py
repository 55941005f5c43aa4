from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.errors import ConfigError
from medmtl.models import STRIDES, ClassificationHead, ClassMapHead, SegmentationHead, build_encoder
from medmtl.models.decoders import DECODER_CHANNELS

CHANNELS = (16, 24, 40, 112, 320)
SIZES = [(1, 1), (33, 47), (64, 96), (65, 127)]


def pyramid(size, batch=2, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [
        scale * torch.randn(batch, c, *(-(-side // s) for side in size), generator=generator)
        for c, s in zip(CHANNELS, STRIDES, strict=True)
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("output_stride", [1, 2, 4])
def test_segmentation_has_the_size_of_the_image(size, output_stride):
    head = SegmentationHead(CHANNELS, 3, output_stride=output_stride).eval()
    assert head.levels == 5
    assert head(pyramid(size), size).shape == (2, 3, *size)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_rare_class_is_learned_beyond_the_bias(seed: int):
    """With a bias of 0 and tiny weights all channels turned against the class, whose logit then was the bias at most."""
    torch.manual_seed(seed)
    head = SegmentationHead((8, 8), 1, (8, 8), prior=0.1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    slopes = torch.linspace(-1, 1, 8)[None, :, None, None]
    for _ in range(150):
        truth = torch.zeros(4, 1, 32, 32)
        for sample, (row, column) in enumerate(torch.randint(2, 30, (4, 2)).tolist()):
            truth[sample, 0, row] = truth[sample, 0, :, column] = 1
        image = 0.5 * torch.randn(truth.shape) - 2 * truth
        fine = torch.relu(F.avg_pool2d(image, 2) * slopes + 0.3)
        logits = head([fine, F.avg_pool2d(fine, 2)], (32, 32))
        optimizer.zero_grad()
        probability = logits.sigmoid()
        dice = 1 - 2 * (probability * truth).sum() / (probability.sum() + truth.sum())
        (dice + F.binary_cross_entropy_with_logits(logits, truth)).backward()
        optimizer.step()
    assert probability.max() > 0.9  # it was 0.57
    assert {True, False} == set((head.output.weight > 0).flatten().tolist())


def test_untrained_segmentation_says_about_its_prior():
    torch.manual_seed(0)
    head = SegmentationHead((8, 16, 24), 2, (8, 8, 8), prior=0.1).eval()
    features = [
        torch.rand(2, channels, 64 // 2**level, 64 // 2**level) for level, channels in ((1, 8), (2, 16), (3, 24))
    ]
    assert head(features, (64, 64)).mean(dim=(0, 2, 3)).sigmoid().tolist() == pytest.approx([0.1, 0.1], abs=0.06)


def test_shallower_segmentation_reads_fewer_levels():
    head = SegmentationHead(CHANNELS[:3], 2, (32, 24, 16)).eval()
    assert head.levels == 3
    assert head(pyramid((37, 50))[:3], (37, 50)).shape == (2, 2, 37, 50)


def test_segmentation_uses_every_level_down_to_its_stride():
    for output_stride, first in ((1, 0), (2, 1), (4, 2)):
        features = [f.requires_grad_() for f in pyramid((64, 64))]
        SegmentationHead(CHANNELS, 2, output_stride=output_stride).eval()(features, (64, 64)).pow(2).sum().backward()
        assert [f.grad is not None and bool(f.grad.any()) for f in features] == [i >= first for i in range(5)]


def test_segmentation_is_shift_equivariant_by_whole_cells():
    """A picture moved by one cell of the coarsest level moves the logits by as many pixels: nothing is mirrored."""
    encoder = build_encoder("efficientnet-lite0", "none").eval()
    head = SegmentationHead(encoder.channels, 1).eval()
    image = torch.zeros(1, 3, 320, 320)
    image[..., 128:140, 150:156] = 1.0
    with torch.no_grad():
        before = head(encoder(image), (320, 320))
        after = head(encoder(image.roll((32, -32), (2, 3))), (320, 320))
    moved = before.roll((32, -32), (2, 3))
    spread = (before - before.median()).abs().max()
    assert (after - moved)[..., 140:200, 90:160].abs().max() < 0.05 * spread


@pytest.mark.parametrize(
    ("levels", "channels", "stride"), [(5, (64, 32), 1), (2, DECODER_CHANNELS, 2), (5, DECODER_CHANNELS, 3)]
)
def test_segmentation_refuses_channels_that_do_not_fit(levels, channels, stride):
    with pytest.raises(ConfigError):
        SegmentationHead(CHANNELS[:levels], 1, channels, output_stride=stride)


def test_classification_is_the_mean_and_a_linear_layer():
    head = ClassificationHead(CHANNELS, 4, dropout=0.5).eval()
    features = pyramid((70, 40))
    expected = features[-1].mean((2, 3)) @ head.output.weight.T + head.output.bias
    assert head.levels == 5
    torch.testing.assert_close(head(features, (70, 40)), expected)
    assert not torch.allclose(head.train()(features, (70, 40)), expected)


def test_classification_counts_cells_inside_the_field_only():
    head = ClassificationHead(CHANNELS, 2).eval()
    valid = torch.zeros(1, 1, 64, 64)
    valid[..., :, :32] = 1
    features = pyramid((64, 64), batch=1)
    changed = [f.clone() for f in features]
    changed[-1][..., 1] = 99.0
    torch.testing.assert_close(head(features, (64, 64), valid), head(changed, (64, 64), valid))
    assert not torch.allclose(head(features, (64, 64)), head(changed, (64, 64)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize("fuse", [0, 8])
def test_class_maps_shapes_and_levels(size, stride, fuse):
    head = ClassMapHead(CHANNELS, 3, stride, fuse=fuse).eval()
    output = head(pyramid(size), size)
    assert head.levels == (5 if fuse else STRIDES.index(stride) + 1)
    assert output.maps.shape == (2, 3, *(-(-side // stride) for side in size))
    assert output.logits.shape == (2, 3)


@pytest.mark.parametrize("name", ["lse", "mean", "max"])
def test_class_maps_pool_their_own_maps(name):
    oracle = {
        "lse": lambda m: (m.mul(6).exp().mean((2, 3))).log() / 6,
        "mean": lambda m: m.mean((2, 3)),
        "max": lambda m: m.amax((2, 3)),
    }
    maps, logits = ClassMapHead(CHANNELS, 2, 8, name, 6.0).eval()(pyramid((40, 50)), (40, 50))[:2]
    torch.testing.assert_close(logits, oracle[name](maps), atol=1e-4, rtol=1e-4)


POOLINGS = ["lse", "mean", "max", "topk", "attention"]


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "autocast"])
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([(33, 47), (64, 96)]),
    stride=st.sampled_from([4, 8, 16]),
    field=st.sampled_from(["none", "part", "empty"]),
    training=st.booleans(),
)
def test_the_pooled_map_is_the_image_logit(name, autocast, seed, size, stride, field, training):
    torch.manual_seed(seed)
    head = ClassMapHead(CHANNELS, 2, stride, name, dropout=0.3, fuse=8).train(training)
    valid = None
    if field != "none":
        valid = torch.zeros(2, 1, *size)
        valid[0, :, 5:30, 5:30] = 1
        valid[1] = valid[0] if field == "part" else 0
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = head(pyramid(size, seed=seed, scale=5.0), size, valid)
    # an oracle in double precision, cell by cell
    for b in range(2):
        share = torch.ones(1) if valid is None else torch.nn.functional.avg_pool2d(valid[b], stride, ceil_mode=True)
        inside = (share >= 0.5).expand(1, *output.maps.shape[-2:])[0]
        inside = inside if inside.any() else torch.ones_like(inside)
        for c in range(2):
            cells = output.maps[b, c].double()[inside]
            if name == "attention":
                pooled = (output.attention[b, c].double()[inside].softmax(0) * cells).sum()
            else:
                k = max(1, math.ceil(0.02 * len(cells) * (1 - 1e-6)))
                pooled = {
                    "lse": lambda x: ((4 * x).logsumexp(0) - math.log(len(x))) / 4,
                    "mean": torch.mean,
                    "max": torch.max,
                    "topk": lambda x, k=k: x.sort().values[-k:].mean(),
                }[name](cells)
            assert output.logits[b, c].item() == pytest.approx(pooled.item(), abs=1e-5)
    assert output.logits.dtype == torch.float32
    torch.testing.assert_close(head.pooled(output.maps, valid, output.attention), output.logits, atol=1e-5, rtol=0)


def test_attention_is_per_class_and_looks_at_the_features():
    torch.manual_seed(0)
    head = ClassMapHead(CHANNELS, 3, 16, "attention").eval()
    torch.nn.init.normal_(head.attention.output.weight)
    output = head(pyramid((64, 64)), (64, 64))
    assert output.attention.shape == output.maps.shape
    assert (output.attention[:, 0] - output.attention[:, 1]).abs().max() > 0.1
    assert (output.attention[0] - output.attention[1]).abs().max() > 0.1
    h = pyramid((64, 64))[3][0, :, 2, 1]
    gate = head.attention
    v = torch.tanh(gate.value.weight.flatten(1) @ h + gate.value.bias)
    u = torch.sigmoid(gate.gate.weight.flatten(1) @ h + gate.gate.bias)
    torch.testing.assert_close(output.attention[0, :, 2, 1], gate.output.weight.flatten(1) @ (v * u))


@pytest.mark.parametrize("name", ["lse", "mean", "max"])
def test_heads_of_old_runs_have_the_weights_that_they_had(name):
    assert set(ClassMapHead(CHANNELS, 2, 8, name).state_dict()) == {"output.weight", "output.bias"}


def test_class_maps_pool_inside_the_field_only():
    head = ClassMapHead(CHANNELS, 2, 16, "max", prior=0.1).eval()
    valid = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    valid[..., 16:32, 32:48] = True
    maps, logits = head(pyramid((64, 64)), (64, 64), valid)[:2]
    torch.testing.assert_close(logits, maps[..., 1, 2])


def test_fusion_adds_all_deeper_levels_and_no_finer():
    features = [f.requires_grad_() for f in pyramid((64, 64))]
    ClassMapHead(CHANNELS, 2, 8, fuse=16)(features, (64, 64)).logits.pow(2).sum().backward()
    assert [f.grad is not None and bool(f.grad.any()) for f in features] == [False, False, True, True, True]


def test_prior_is_what_an_untrained_head_says():
    head = ClassMapHead(CHANNELS, 3, prior=0.05)
    assert torch.sigmoid(head.output.bias).tolist() == pytest.approx([0.05] * 3)
    zero = [torch.zeros_like(f) for f in pyramid((64, 64))]
    logits = head.eval()(zero, (64, 64)).logits
    torch.testing.assert_close(logits, torch.full((2, 3), math.log(0.05 / 0.95)))


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize("fuse", [0, 64])
@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_untrained_maps_are_negative_everywhere(stride, fuse, weights):
    """Also on ImageNet features, whose values are large: no place may look like a finding before training."""
    torch.manual_seed(stride)
    encoder = build_encoder("efficientnet-lite0", weights).eval()
    head = ClassMapHead(encoder.channels, 3, stride, fuse=fuse).eval()
    image = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    image[1] = 0
    with torch.no_grad():
        maps, logits = head(encoder(4 * image - 2), (128, 128))[:2]
    assert maps.max() < -1
    assert logits.max() < -1


@pytest.mark.parametrize("arguments", [{"stride": 2}, {"stride": 12}, {"prior": 0.0}, {"prior": 1.0}, {"pooling": "x"}])
def test_class_map_arguments_are_checked(arguments):
    with pytest.raises(ConfigError):
        ClassMapHead(CHANNELS, 1, **arguments)
