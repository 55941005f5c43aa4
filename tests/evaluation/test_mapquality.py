"""Map quality: closed forms, brute force, SciPy, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from medmtl.errors import EvaluationError
from medmtl.evaluation.mapquality import marked_share, mass_inside, pointing, rank_correlation

MAPS = hnp.arrays(np.float64, (5, 6), elements=st.integers(-4, 4).map(float))
MASKS = hnp.arrays(np.bool_, (5, 6))


@settings(deadline=None)
@given(MAPS, MASKS, MASKS)
def test_pointing_and_mass_are_what_counting_says(values, mask, valid):
    valid[0, 0] = True
    cells = [place for place in np.ndindex(5, 6) if valid[place]]
    highest = [place for place in cells if values[place] == max(values[one] for one in cells)]
    marked = [place for place in cells if mask[place]]
    total = sum(max(values[place], 0) for place in cells)
    if not marked:
        assert math.isnan(pointing(values, mask, valid))
        assert math.isnan(mass_inside(values, mask, valid))
        assert math.isnan(marked_share(mask, valid))
        return
    assert pointing(values, mask, valid) == pytest.approx(sum(mask[one] for one in highest) / len(highest))
    assert marked_share(mask, valid) == pytest.approx(len(marked) / len(cells))
    expected = sum(max(values[place], 0) for place in marked) / total if total else math.nan
    assert mass_inside(values, mask, valid) == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(MASKS)
def test_a_constant_map_gets_the_marked_share(mask):
    mask[2, 2] = True
    constant = np.full((5, 6), 3.0)
    assert pointing(constant, mask) == pytest.approx(marked_share(mask)) == pytest.approx(mass_inside(constant, mask))


def test_a_miss_within_the_tolerance_is_a_hit():
    values, mask = np.zeros((9, 9)), np.zeros((9, 9), bool)
    values[1, 1], mask[4, 5] = 1, True
    assert [pointing(values, mask, tolerance=reach) for reach in (0, 4.99, 5.0)] == [0, 0, 1]


@settings(deadline=None)
@given(MAPS, MAPS)
def test_rank_correlation_is_scipys(one, other):
    found = rank_correlation(one, other)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(stats.pearsonr(stats.rankdata(one), stats.rankdata(other)).statistic)
        assert rank_correlation(np.exp(one), other) == pytest.approx(found)


@pytest.mark.parametrize(
    ("values", "mask", "valid", "words"),
    [
        (np.zeros((3, 3)), np.ones((3, 4)), None, "one shape"),
        (np.zeros(3), np.ones(3), None, "one shape"),
        (np.zeros((3, 3)), np.ones((3, 3)), np.ones((2, 2)), "one shape"),
        (np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3)), "field of view is empty"),
        (np.full((3, 3), np.nan), np.ones((3, 3)), None, "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(values, mask, valid, words):
    for figure in (pointing, mass_inside):
        with pytest.raises(EvaluationError, match=words):
            figure(values, mask, valid)


def test_values_outside_the_field_do_not_matter():
    values, mask, field = np.zeros((4, 4)), np.zeros((4, 4), bool), np.ones((4, 4), bool)
    values[0, 0], field[0, 0] = np.nan, False
    values[2, 2] = mask[2, 2] = 1
    assert pointing(values, mask, field) == mass_inside(values, mask, field) == 1
