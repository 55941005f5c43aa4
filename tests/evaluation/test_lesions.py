"""Targets and assignment by small cases and a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmtl.errors import EvaluationError
from medmtl.evaluation.candidates import Candidates, components, peaks
from medmtl.evaluation.lesions import Outcome, PeakInLesion, lesion_targets, match

FP, TP, DUP, IGN = Outcome.FALSE_POSITIVE, Outcome.TRUE_POSITIVE, Outcome.DUPLICATE, Outcome.IGNORED


def two_lesions():
    mask = np.zeros((20, 20), np.uint8)
    mask[2:5, 2:5] = 1
    mask[12:15, 12:15] = 1
    return mask


def test_lesions_are_8_connected_and_cut_by_the_field():
    mask = np.zeros((6, 6), np.uint8)
    mask[0, 0] = mask[1, 1] = mask[4, 4] = 1
    targets = lesion_targets(mask)
    assert targets.count == 2
    assert targets.area.tolist() == [2, 1]
    valid = np.ones((6, 6), bool)
    valid[1, 1] = valid[4, 4] = False
    assert lesion_targets(mask, valid).area.tolist() == [1]


def test_small_lesions_are_dropped_counted_and_candidates_on_them_ignored():
    mask = two_lesions()
    mask[8, 8] = 1
    targets = lesion_targets(mask, min_area=2)
    assert (targets.count, targets.dropped) == (2, 1)
    assert sorted(np.unique(targets.labels)) == [0, 1, 2]
    found = match(Candidates.points([8, 13], [8, 13], [0.9, 0.8]), targets)
    assert found.outcome.tolist() == [IGN, TP]
    assert found.target.tolist() == [0, 2]


def test_unknown_pixels_ignore_candidates():
    mask = two_lesions()
    mask[:, 17:] = 255
    found = match(Candidates.points([18, 10], [1, 1], [0.9, 0.8]), lesion_targets(mask))
    assert found.outcome.tolist() == [IGN, FP]


def test_a_second_hit_is_a_duplicate():
    found = match(Candidates.points([3, 4, 10], [3, 4, 0], [0.5, 0.9, 0.7]), lesion_targets(two_lesions()))
    assert found.score.tolist() == [0.9, 0.7, 0.5]
    assert found.outcome.tolist() == [TP, FP, DUP]
    assert found.target.tolist() == [1, 0, 1]
    assert (found.lesions, found.count(DUP)) == (2, 1)


def test_tolerance_reaches_so_far_and_no_further():
    targets = lesion_targets(two_lesions())
    near = Candidates.points([7], [3], [1])
    assert match(near, targets).outcome.tolist() == [FP]
    assert match(near, targets, tolerance=3).outcome.tolist() == [TP]
    assert match(near, targets, tolerance=2.99).outcome.tolist() == [FP]
    diagonal = Candidates.points([6], [6], [1])
    assert match(diagonal, targets, tolerance=2.9).outcome.tolist() == [TP]
    assert match(diagonal, targets, tolerance=2.8).outcome.tolist() == [FP]


def test_the_nearest_unclaimed_lesion_is_taken():
    mask = np.zeros((1, 9), np.uint8)
    mask[0, 2] = mask[0, 6] = 1
    targets = lesion_targets(mask)
    found = match(Candidates.points([3, 3], [0, 0], [0.9, 0.8]), targets, tolerance=3)
    assert found.outcome.tolist() == [TP, TP]
    assert found.target.tolist() == [1, 2]
    assert match(Candidates.points([3], [0], [1]), targets, tolerance=3).target.tolist() == [1]


@given(st.integers(0, 2**31), st.sampled_from([0.0, 1.0, 2.5]))
def test_assignment_equals_a_slow_twin(seed, tolerance):
    rng = np.random.default_rng(seed)
    targets = lesion_targets((rng.random((14, 15)) < 0.2).astype(np.uint8))
    n = int(rng.integers(0, 12))
    candidates = Candidates.points(rng.uniform(-0.4, 14.4, n), rng.uniform(-0.4, 13.4, n), rng.integers(0, 4, n))
    found, claimed, expected = match(candidates, targets, tolerance=tolerance), set(), []
    for x, y in zip(candidates.x, candidates.y, strict=True):
        distances = {}
        for row, column in zip(*np.nonzero(targets.labels), strict=True):
            under = abs(column - x) <= 0.5 and abs(row - y) <= 0.5
            away = 0.0 if under else np.hypot(column - x, row - y)
            if away <= tolerance:
                label = targets.labels[row, column]
                distances[label] = min(away, distances.get(label, np.inf))
        free = sorted((away, label) for label, away in distances.items() if label not in claimed)
        if free:
            claimed.add(free[0][1])
        expected.append(TP if free else DUP if distances else FP)
    assert found.outcome.tolist() == expected


def test_no_candidates_no_lesions_and_points_outside_the_image():
    empty = lesion_targets(np.zeros((5, 5)))
    assert match(Candidates.none(), empty).lesions == 0
    assert match(Candidates.points([1, 99], [1, -7], [1, 1]), empty, tolerance=4).outcome.tolist() == [FP, FP]


def test_a_map_over_the_whole_field_finds_at_most_one_lesion():
    mask = np.zeros((60, 60), np.uint8)
    mask[::10, ::10] = 1
    targets = lesion_targets(mask)
    everywhere = np.ones((60, 60))
    assert match(peaks(everywhere), targets).count(TP) == 0
    assert match(components(everywhere, 0.5), targets).count(TP) <= 1


def test_rules_go_by_name_or_as_objects():
    targets = lesion_targets(two_lesions())
    candidate = Candidates.points([5], [3], [1])
    assert match(candidate, targets, PeakInLesion(1.0)).outcome.tolist() == [TP]
    assert "no tolerance" in match(candidate, targets).rule
    assert "10 pixels" in match(candidate, targets, tolerance=10).rule
    with pytest.raises(EvaluationError, match="did you mean 'peak_in_lesion'"):
        match(candidate, targets, "peak_in_lesions")
    with pytest.raises(EvaluationError, match="tolerance"):
        match(candidate, targets, tolerance=-1)


def test_bad_masks_are_refused():
    with pytest.raises(EvaluationError, match="0, 1 or 255"):
        lesion_targets(np.full((3, 3), 2))
    with pytest.raises(EvaluationError, match="one shape"):
        lesion_targets(np.zeros((3, 3)), np.ones((3, 4)))
