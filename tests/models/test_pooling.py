from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from medmtl.errors import ConfigError
from medmtl.models.pooling import build_pooling, cells_inside, log_sum_exp, maximum, mean

seeds = st.integers(0, 2**31)


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


@pytest.mark.parametrize("name", ["lse", "mean", "max"])
def test_a_constant_map_gives_its_constant(name):
    maps = torch.full((1, 2, 7, 3), -3.25)
    mask = torch.zeros(1, 1, 7, 3, dtype=torch.bool)
    mask[..., 2:4, :] = True
    for valid in (None, mask):
        torch.testing.assert_close(build_pooling(name)(maps, valid), torch.full((1, 2), -3.25))


@pytest.mark.parametrize("name", ["lse", "mean", "max"])
def test_cells_outside_the_mask_change_nothing_and_get_no_gradient(name):
    pool = build_pooling(name)
    maps, mask = random_maps(5).requires_grad_(), random_mask(5)
    changed = torch.where(mask, maps.detach(), torch.tensor(1e4))
    torch.testing.assert_close(pool(maps, mask), pool(changed, mask))
    pool(maps, mask).sum().backward()
    assert torch.isfinite(maps.grad).all()
    assert (maps.grad[~mask.expand_as(maps)] == 0).all()
    torch.testing.assert_close(maps.grad.sum((2, 3)), torch.ones(2, 3))


@pytest.mark.parametrize("name", ["lse", "mean", "max"])
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
