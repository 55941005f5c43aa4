"""Running sums that are cut into stretches against plain cumulative sums."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medmtl.evaluation.running_sums import Events

sizes = st.one_of(st.integers(0, 40), st.sampled_from([15, 16, 17, 160, 161]))


@given(st.integers(0, 2**31), sizes, st.integers(1, 5), st.sampled_from([1, 9, 2047, 2048, 10**6]))
def test_sums_and_places_are_those_of_cumulative_sums(seed, size, draws, most):
    rng = np.random.default_rng(seed)
    group, weights = rng.integers(0, 6, size), rng.integers(0, most + 1, (draws, 6))
    weights[rng.random(weights.shape) < 0.4] = 0
    sums = Events.of(group, 6).sums(weights)
    expected = np.concatenate([np.zeros((draws, 1), int), np.cumsum(weights[:, group], axis=1)], axis=1)
    every = np.arange(size + 1)
    np.testing.assert_array_equal(sums.at(every), expected.T)
    own = rng.integers(0, size + 1, (draws, 7))
    np.testing.assert_array_equal(sums.at_own(own), np.take_along_axis(expected, own, 1))
    limit = rng.choice(np.unique([*expected.ravel(), expected.max() + 5]), (draws, 9)) + rng.choice(
        [0, 0.5], (draws, 9)
    )
    found = sums.reach(limit.astype(float))
    for row, limits, places in zip(expected, limit, found, strict=True):
        assert places.tolist() == [int((row <= one).sum()) - 1 for one in limits]
