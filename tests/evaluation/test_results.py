"""The containers travel through JSON and back."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from medmtl.errors import EvaluationError
from medmtl.evaluation.results import (
    Confusion,
    Curve,
    CurvePoint,
    EvaluationResult,
    Example,
    Findings,
    Interval,
    Metric,
    Table,
    TaskResult,
)


def full_result() -> EvaluationResult:
    findings = Findings(
        metrics=(
            Metric("auc", "ROC AUC", Interval(0.9, 0.8, 0.95, "DeLong"), 103, "smaller class: 34"),
            Metric("ece", "ECE", Interval(math.nan, method="undefined: no positive"), 3, higher_is_better=False),
        ),
        curves=(
            Curve(
                "froc", "FROC", np.array([0, 1.0]), (0, 0.5), "FPPI", "Sensitivity", points=(CurvePoint(1, 0.5, "t"),)
            ),
            Curve("roc", "ROC", (0, 1), (0, 1), "1 - specificity", "Sensitivity", (0, math.nan), (1, 1)),
        ),
        confusions=(Confusion(("0", "1"), ((3, 1), (0, 4)), "Grades"),),
        tables=(Table("dice", "Dice", pd.DataFrame({"class": ["a", "b"], "dice": [0.5, np.nan], "n": [1, 2]})),),
        labelled=8,
        unlabelled=2,
        notes=("a note",),
    )
    example = Example("dr", "img1", "worst", math.nan, "p")
    task = TaskResult.of("dr", "classification", "idrid", findings, [example])
    return EvaluationResult("runs/a", "abc", "m.csv", "def", "test", "2025-01-01", 10, (task,), "7")


def test_json_round_trip_keeps_everything():
    result = full_result()
    text = json.dumps(result.to_dict(), allow_nan=False)
    back = EvaluationResult.from_dict(json.loads(text))
    assert back.to_dict() == json.loads(text)
    assert back.tasks[0].metrics[0] == result.tasks[0].metrics[0]
    assert math.isnan(back.tasks[0].metrics[1].interval.value)
    assert math.isnan(back.tasks[0].curves[1].low[1])
    assert back.tasks[0].confusions == result.tasks[0].confusions
    pd.testing.assert_frame_equal(back.tasks[0].tables[0].frame, result.tasks[0].tables[0].frame)
    assert isinstance(back.tasks, tuple)
    assert isinstance(back.tasks[0].notes, tuple)


def test_not_finite_numbers_become_null():
    data = full_result().to_dict()
    assert data["tasks"][0]["metrics"][1]["interval"]["value"] is None
    assert data["tasks"][0]["tables"][0]["frame"]["rows"][1] == ["b", None, 2]


def test_newer_format_is_refused():
    with pytest.raises(EvaluationError, match="newer version"):
        EvaluationResult.from_dict(full_result().to_dict() | {"format": 99})


@pytest.mark.parametrize("data", [{"run": "a"}, {"tasks": [{"metrics": [{"name": "x"}]}]}, {"tasks": [3]}])
def test_other_files_are_refused(data):
    with pytest.raises(EvaluationError, match="not a saved evaluation"):
        EvaluationResult.from_dict(data)


def test_an_unknown_key_of_a_later_version_is_skipped():
    data = full_result().to_dict() | {"colour": "red"}
    assert EvaluationResult.from_dict(data).run == "runs/a"


def test_curve_columns_must_agree():
    with pytest.raises(EvaluationError, match="differ in length"):
        Curve("roc", "ROC", (0, 1), (0,), "x", "y")
    with pytest.raises(EvaluationError, match="differ in length"):
        Curve("roc", "ROC", (0, 1), (0, 1), "x", "y", low=(0,))
