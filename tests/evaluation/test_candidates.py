"""Candidates against slow twins, and maps that must not win."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medmtl.errors import EvaluationError
from medmtl.evaluation.candidates import Candidates, components, peaks, random_candidates

maps = st.tuples(st.integers(0, 2**31), st.integers(2, 12), st.integers(2, 12), st.integers(2, 5)).map(
    lambda c: np.random.default_rng(c[0]).integers(0, c[3], (c[1], c[2])).astype(float)
)


def slow_maxima(values, valid):
    """Regional maxima by flood fill from every pixel: (value, the pixels)."""
    height, width = values.shape
    seen, found = set(), []
    for start in zip(*np.nonzero(valid), strict=True):
        if start in seen:
            continue
        plateau, stack, around = {start}, [start], []
        while stack:
            row, column = stack.pop()
            for r in range(max(0, row - 1), min(height, row + 2)):
                for c in range(max(0, column - 1), min(width, column + 2)):
                    if not valid[r, c] or (r, c) in plateau:
                        continue
                    if values[r, c] == values[start]:
                        plateau.add((r, c))
                        stack.append((r, c))
                    else:
                        around.append(values[r, c])
        seen |= plateau
        if around and max(around) < values[start]:
            found.append((values[start], plateau))
    return found


@given(maps, st.integers(0, 2**31))
def test_peaks_are_the_regional_maxima_one_each(values, seed):
    valid = np.random.default_rng(seed).random(values.shape) < 0.85
    found = peaks(values, valid=valid)
    expected = slow_maxima(values, valid)
    assert len(found) == len(expected)
    points = {(int(y), int(x)): s for x, y, s in zip(found.x, found.y, found.score, strict=True)}
    for value, plateau in expected:
        (inside,) = plateau & set(points)
        assert points[inside] == value


@given(maps, st.floats(1, 6))
def test_min_distance_keeps_the_best_greedily(values, distance):
    all_peaks, found = peaks(values), peaks(values, min_distance=distance)
    kept = []
    for x, y in zip(all_peaks.x, all_peaks.y, strict=True):
        if all((x - a) ** 2 + (y - b) ** 2 >= distance**2 for a, b in kept):
            kept.append((x, y))
    assert list(zip(found.x, found.y, strict=True)) == kept


@given(maps, st.floats(0, 5), st.integers(0, 4))
def test_threshold_and_limit_only_cut_the_list(values, threshold, limit):
    every = peaks(values)
    cut = peaks(values, threshold=threshold)
    assert cut.score.tolist() == [s for s in every.score if s >= threshold]
    assert peaks(values, limit=limit).score.tolist() == every.score[:limit].tolist()
    assert (np.diff(every.score) <= 0).all()


def test_a_constant_map_and_a_single_pixel_have_no_peak():
    assert len(peaks(np.full((50, 60), 0.9))) == 0
    assert len(peaks(np.ones((1, 1)))) == 0
    valid = np.zeros((9, 9), bool)
    valid[2:5, 2:5] = True
    assert len(peaks(np.where(valid, 0.7, 0.0), valid=valid)) == 0


def test_a_saturated_plateau_is_one_candidate_at_its_center():
    values = np.zeros((40, 40))
    values[10:21, 5:16] = 1.0
    found = peaks(values, threshold=0.5)
    assert (found.x.tolist(), found.y.tolist(), found.area.tolist()) == ([10], [15], [121])


def test_components_equal_scipy_labels():
    values = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 70)), 2)
    threshold = np.quantile(values, 0.8)
    found = components(values, threshold)
    labels, count = ndimage.label(values >= threshold, np.ones((3, 3)))
    assert len(found) == count
    numbers = labels[found.y.astype(int), found.x.astype(int)]
    assert sorted(numbers) == list(range(1, count + 1))
    for number, score, area in zip(numbers, found.score, found.area, strict=True):
        assert score == values[labels == number].max()
        assert area == (labels == number).sum()


@pytest.mark.parametrize("threshold", [0.48, 0.52, 0.56])
def test_mean_score_and_weighted_centroid_equal_scipys(threshold):
    values = ndimage.gaussian_filter(np.random.default_rng(3).random((60, 70)), 2)
    found = components(values, threshold, score="mean", position="centroid")
    labels, count = ndimage.label(values >= threshold, np.ones((3, 3)))
    assert len(found) == count > 1
    numbers = range(1, count + 1)
    centers = np.array(ndimage.center_of_mass(values - threshold, labels, numbers))
    expected = np.column_stack([centers[:, 1], centers[:, 0], ndimage.mean(values, labels, numbers)])
    ours = np.column_stack([found.x, found.y, found.score])
    np.testing.assert_allclose(ours[np.lexsort(ours.T)], expected[np.lexsort(expected.T)])


def test_the_centroid_of_a_region_at_the_threshold_counts_its_pixels_alike():
    values = np.zeros((9, 9))
    values[2:5, 3:8] = 0.5
    found = components(values, 0.5, position="centroid")
    assert (found.x.tolist(), found.y.tolist(), found.score.tolist()) == ([5], [3], [0.5])


def test_a_map_over_the_whole_field_is_one_component_in_its_middle():
    found = components(np.ones((21, 31)), 0.5)
    assert (found.x.tolist(), found.y.tolist(), found.area.tolist()) == ([15], [10], [651])
    assert len(components(np.zeros((5, 5)), 0.5)) == 0


def test_nothing_outside_the_field_is_a_candidate_and_its_values_are_not_read():
    values = np.random.default_rng(1).random((30, 30))
    valid = np.zeros((30, 30), bool)
    valid[10:20, 10:20] = True
    values[~valid] = np.nan
    for found in (
        peaks(values, valid=valid),
        components(values, 0.6, valid),
        random_candidates(valid, 7, np.random.default_rng(0)),
    ):
        assert valid[found.y.astype(int), found.x.astype(int)].all()
        assert len(found) > 0


def test_random_points_are_distinct_and_follow_the_generator():
    one, other = (random_candidates(np.ones((5, 5)), 99, np.random.default_rng(3)) for _ in range(2))
    assert len(set(zip(one.x, one.y, strict=True))) == 25
    assert one.x.tolist() == other.x.tolist()


def test_order_is_score_then_row_then_column():
    found = Candidates.points([3, 1, 2, 0], [0, 1, 0, 5], [0.5, 0.5, 0.5, 0.9])
    assert found.x.tolist() == [0, 2, 3, 1]
    assert found.take([True, False, True, False]).x.tolist() == [0, 3]
    assert found.take([]).x.tolist() == []


def test_bad_input_is_refused():
    with pytest.raises(EvaluationError, match="one shape"):
        peaks(np.zeros((3, 3)), valid=np.ones((2, 2)))
    with pytest.raises(EvaluationError, match="not finite"):
        peaks(np.full((3, 3), np.nan))
    with pytest.raises(EvaluationError, match="finite x, y"):
        Candidates.points([1], [1], [np.nan])
    with pytest.raises(EvaluationError, match="one length"):
        Candidates.points([1, 2], [1], [1])
