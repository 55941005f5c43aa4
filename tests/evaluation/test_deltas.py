"""Δm, Δp, ranks and fronts against hand-worked numbers, published ones, and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.errors import EvaluationError
from medmtl.evaluation.deltas import delta_m, delta_p, non_dominated, ranks, relative_drops

UP, DOWN = True, False
FINITE = st.floats(0.1, 10, allow_nan=False)


def test_by_hand():
    values, base, upward = [0.8, 30.0, 4.0], [1.0, 20.0, 5.0], [UP, DOWN, DOWN]
    assert relative_drops(values, base, upward) == pytest.approx([0.2, 0.5, -0.2])
    assert delta_m(values, base, upward) == pytest.approx(0.5 / 3)
    # The second and third metric are of one task: (-0.2 + mean(-0.5, 0.2)) / 2.
    assert delta_p(values, base, upward, ["a", "b", "b"]) == pytest.approx((-0.2 - 0.15) / 2)


def test_the_single_task_row_of_the_paper_is_zero():
    """arXiv 2311.04698, Cityscapes SegNet: mIoU .7122, pixel accuracy .9221, absolute error .0134, relative 29.88."""
    single, upward = [0.7122, 0.9221, 0.0134, 29.88], [UP, UP, DOWN, DOWN]
    assert float(delta_m(single, single, upward)) == 0
    # Its remark that a large Δm comes from the relative depth error: 29.9 to 110 alone gives 67 %.
    worse = [0.7122, 0.9221, 0.0134, 110.0]
    assert float(delta_m(worse, single, upward)) == pytest.approx((110 - 29.88) / 29.88 / 4)


@given(st.lists(st.tuples(FINITE, FINITE, st.booleans(), st.sampled_from("abc")), min_size=1, max_size=7))
@settings(max_examples=60, deadline=None)
def test_against_loops(rows: list[tuple[float, float, bool, str]]):
    values, base, upward, tasks = zip(*rows, strict=True)
    loss = [(-1) ** int(up) * (value - b) / b for value, b, up in zip(values, base, upward, strict=True)]
    assert float(delta_m(values, base, upward)) == pytest.approx(sum(loss) / len(loss))
    means = []
    for name in set(tasks):
        mine = [item for item, task in zip(loss, tasks, strict=True) if task == name]
        means.append(-sum(mine) / len(mine))
    assert float(delta_p(values, base, upward, tasks)) == pytest.approx(sum(means) / len(means))
    if len(set(tasks)) == len(tasks):
        assert float(delta_p(values, base, upward, tasks)) == pytest.approx(-float(delta_m(values, base, upward)))


def test_a_missing_metric_makes_it_undefined_and_a_negative_baseline_keeps_the_direction():
    assert math.isnan(float(delta_m([1.0, np.nan], [1.0, 1.0], [UP, UP])))
    assert math.isnan(float(delta_m([1.0], [0.0], [UP])))
    assert float(delta_m([0.1], [-0.1], [UP])) < 0  # a kappa that rose is a gain
    assert math.isnan(float(delta_m(np.empty(0), np.empty(0), np.empty(0, dtype=bool))))
    assert delta_m(np.ones((3, 4, 2)), np.ones((4, 2)), [UP, DOWN]).shape == (3, 4)
    with pytest.raises(EvaluationError, match="differ in number"):
        delta_p([1.0], [1.0], [UP], ["a", "b"])


def test_ranks():
    table = [[0.9, 3.0], [0.9, 1.0], [0.1, 2.0], [np.nan, 9.0]]
    found = ranks(table, [UP, DOWN])
    assert found[:, 0].tolist()[:3] == [1.5, 1.5, 3.0]
    assert math.isnan(found[3, 0])
    assert found[:, 1].tolist() == [3, 1, 2, 4]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_the_front_against_all_pairs(points: list[tuple[int, int]]):
    def beaten(p: tuple[int, int]) -> bool:
        return any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in points)

    assert non_dominated(np.array(points, dtype=float)).tolist() == [not beaten(p) for p in points]


def test_a_point_without_a_value_is_on_no_front_and_beats_nobody():
    assert non_dominated(np.array([[1.0, 1.0], [np.nan, 2.0], [0.5, 0.5]])).tolist() == [True, False, False]
