from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from medmtl.errors import ConfigError
from medmtl.models.attention import attend, attention_weights
from medmtl.models.pooling import build_pooling, cells_inside, log_sum_exp, maximum, mean, top_mean

seeds = st.integers(0, 2**31)
NAMES = ["lse", "mean", "max", "topk"]


def random_maps(seed: int, shape=(2, 3, 4, 5)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 3, shape)).float()


def random_mask(seed: int) -> torch.Tensor:
    mask = np.random.default_rng(seed + 1).random((2, 1, 4, 5)) < 0.5
    mask[:, :, 0, 0] = True
    return torch.from_numpy(mask)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, sharpness=st.floats(0.1, 20), masked=st.booleans())
def test_log_sum_exp_equals_scipy(seed, sharpness, masked):
    maps, mask = random_maps(seed), random_mask(seed)
    result = log_sum_exp(maps, mask if masked else None, sharpness=sharpness)
    for b in range(2):
        inside = mask[b, 0].numpy() if masked else np.ones((4, 5), bool)
        for c in range(3):
            cells = maps[b, c].double().numpy()[inside]
            expected = (logsumexp(sharpness * cells) - np.log(cells.size)) / sharpness
            assert result[b, c].item() == pytest.approx(expected, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, masked=st.booleans())
def test_mean_and_maximum_equal_numpy(seed, masked):
    maps, mask = random_maps(seed), random_mask(seed)
    for function, oracle in ((mean, np.mean), (maximum, np.max)):
        result = function(maps, mask if masked else None)
        for b in range(2):
            inside = mask[b, 0].numpy() if masked else np.ones((4, 5), bool)
            for c in range(3):
                assert result[b, c].item() == pytest.approx(oracle(maps[b, c].numpy()[inside]), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds,
    masked=st.booleans(),
    top=st.one_of(st.tuples(st.integers(1, 25), st.just(0.02)), st.tuples(st.none(), st.floats(0.01, 1))),
)
def test_top_mean_equals_sorting(seed, masked, top):
    cells, share = top
    maps, mask = random_maps(seed), random_mask(seed)
    result = top_mean(maps, mask if masked else None, cells=cells, share=share)
    for b in range(2):
        inside = mask[b, 0].numpy() if masked else np.ones((4, 5), bool)
        n = int(inside.sum())
        k = min(cells, n) if cells else max(1, int(np.ceil(np.float64(share) * n * (1 - 1e-6))))
        for c in range(3):
            highest = np.sort(maps[b, c].numpy()[inside])[::-1][:k]
            assert result[b, c].item() == pytest.approx(highest.mean(), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_top_mean_ends_in_maximum_and_mean_and_falls_between(seed):
    maps, mask = random_maps(seed), random_mask(seed)
    torch.testing.assert_close(top_mean(maps, mask, cells=1), maximum(maps, mask))
    torch.testing.assert_close(top_mean(maps, mask, share=1.0), mean(maps, mask))
    steps = torch.stack([top_mean(maps, mask, cells=k) for k in range(1, 21)])
    assert (steps.diff(dim=0) <= 1e-5).all()


def test_a_share_of_whole_cells_is_not_rounded_up():
    maps = torch.arange(50.0).reshape(1, 1, 5, 10)
    for share, expected in ((0.02, 49.0), (0.04, 48.5), (0.0401, 48.0)):
        assert top_mean(maps, share=share).item() == expected


@settings(max_examples=30, deadline=None)
@given(seed=seeds, masked=st.booleans())
def test_attention_equals_numpys_softmax(seed, masked):
    maps, scores, mask = random_maps(seed), random_maps(seed + 1), random_mask(seed)
    result = attend(maps, scores, mask if masked else None)
    for b in range(2):
        inside = mask[b, 0].numpy() if masked else np.ones((4, 5), bool)
        for c in range(3):
            weights = np.exp(scores[b, c].double().numpy()[inside])
            expected = (weights / weights.sum() * maps[b, c].double().numpy()[inside]).sum()
            assert result[b, c].item() == pytest.approx(expected, abs=1e-5)


def test_attention_counts_cells_inside_only_and_all_where_there_are_none():
    maps, scores, mask = random_maps(3), random_maps(4).requires_grad_(), random_mask(3)
    mask[1] = False
    weights = attention_weights(scores, mask)
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(2, 3))
    assert (weights[0][~mask[0].expand(3, 4, 5)] == 0).all()
    torch.testing.assert_close(weights[1], attention_weights(scores[1:])[0])
    attend(maps, scores, mask).sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[0][~mask[0].expand(3, 4, 5)] == 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_log_sum_exp_lies_between_mean_and_maximum_and_tends_to_both(seed):
    maps = random_maps(seed)
    low, high = mean(maps), maximum(maps)
    pooled = log_sum_exp(maps, sharpness=4.0)
    assert (low - 1e-4 <= pooled).all()
    assert (pooled <= high + 1e-4).all()
    torch.testing.assert_close(log_sum_exp(maps, sharpness=1e-3), low, atol=0.05, rtol=0)
    torch.testing.assert_close(log_sum_exp(maps, sharpness=1e3), high, atol=0.01, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_map_gives_its_constant(name):
    maps = torch.full((1, 2, 7, 3), -3.25)
    mask = torch.zeros(1, 1, 7, 3, dtype=torch.bool)
    mask[..., 2:4, :] = True
    for valid in (None, mask):
        torch.testing.assert_close(build_pooling(name)(maps, valid), torch.full((1, 2), -3.25))


@pytest.mark.parametrize("name", NAMES)
def test_cells_outside_the_mask_change_nothing_and_get_no_gradient(name):
    pool = build_pooling(name)
    maps, mask = random_maps(5).requires_grad_(), random_mask(5)
    changed = torch.where(mask, maps.detach(), torch.tensor(1e4))
    torch.testing.assert_close(pool(maps, mask), pool(changed, mask))
    pool(maps, mask).sum().backward()
    assert torch.isfinite(maps.grad).all()
    assert (maps.grad[~mask.expand_as(maps)] == 0).all()
    torch.testing.assert_close(maps.grad.sum((2, 3)), torch.ones(2, 3))


@pytest.mark.parametrize("name", NAMES)
def test_an_image_without_any_cell_is_pooled_over_all(name):
    maps = random_maps(7)
    mask = random_mask(7)
    mask[1] = False
    pool = build_pooling(name)
    torch.testing.assert_close(pool(maps, mask)[1], pool(maps[1:], None)[0])


def test_large_logits_stay_finite():
    assert torch.isfinite(log_sum_exp(torch.full((1, 1, 8, 8), 1e4), sharpness=10.0)).all()


@settings(max_examples=25, deadline=None)
@given(seed=seeds, height=st.integers(1, 40), width=st.integers(1, 40), stride=st.sampled_from([4, 8, 16]))
def test_cells_inside_equals_counting_pixels(seed, height, width, stride):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    result = cells_inside(torch.from_numpy(mask)[None, None], stride)[0, 0].numpy()
    assert result.shape == (-(-height // stride), -(-width // stride))
    for row, column in np.ndindex(*result.shape):
        block = mask[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
        assert result[row, column] == (2 * block.sum() >= block.size)


def test_bad_pooling_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'lse'"):
        build_pooling("les")
    for sharpness in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="positive"):
            build_pooling("lse", sharpness)
    for arguments in ({"cells": 0}, {"share": 0.0}, {"share": 1.5}, {"share": float("nan")}):
        with pytest.raises(ConfigError, match="at least one cell"):
            build_pooling("topk", **arguments)
