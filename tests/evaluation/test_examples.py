"""Best, median, worst."""

from __future__ import annotations

import math

from medmtl.evaluation.examples import pick_examples


def test_best_median_and_worst():
    found = pick_examples("t", {"a": 0.1, "b": 0.9, "c": 0.5, "d": math.nan}, "Dice")
    assert [(e.role, e.sample_id, e.score) for e in found] == [
        ("best", "b", 0.9),
        ("median", "c", 0.5),
        ("worst", "a", 0.1),
    ]


def test_few_samples_are_shown_once():
    assert [e.sample_id for e in pick_examples("t", {"a": 1.0}, "s")] == ["a"]
    assert [e.role for e in pick_examples("t", {"a": 1.0, "b": 0.0}, "s")] == ["best", "worst"]
    assert pick_examples("t", {}, "s") == ()
