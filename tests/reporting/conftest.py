"""One evaluation with everything a report can show, hostile names included."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medmtl.evaluation.results import (
    Confusion,
    Curve,
    CurvePoint,
    EvaluationResult,
    Example,
    Interval,
    Metric,
    Table,
    TaskResult,
)
from medmtl.reporting.summary import RunSummary

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.fixture(scope="session")
def evil() -> str:
    return EVIL


@pytest.fixture(scope="session")
def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 90, 30)).save(stream, "PNG")
    return stream.getvalue()


def _curves() -> tuple[Curve, ...]:
    grid = np.linspace(0, 1, 11)
    point = CurvePoint(0.1, 0.6, "threshold 0.43")
    return (
        Curve(
            "roc",
            "grade $\\ge 1",
            grid,
            np.sqrt(grid),
            "False positive rate",
            "Sensitivity",
            grid / 2,
            (math.nan,) * 11,
            (point,),
        ),
        Curve(
            "froc",
            "_hidden",
            (0, 0.5, 20.0),
            (0, 0.4, 0.8),
            "False positives per image",
            "Sensitivity",
            caption="Hit rule: peak-in-lesion, 0 px",
        ),
        Curve(
            "froc",
            "exudates",
            (0,),
            (0,),
            "False positives per image",
            "Sensitivity",
            caption="Hit rule: peak-in-lesion, 0 px",
        ),
        Curve("calibration", "all", (0.1, 0.9), (0.2, math.nan), "Predicted", "Observed"),
        Curve("precision_recall", EVIL, (), (), "Recall", "Precision"),
    )


@pytest.fixture(scope="session")
def result() -> EvaluationResult:
    metrics = (
        Metric("auc", "ROC AUC", Interval(0.91234567, 0.8804, 0.9406, "DeLong"), 103, "images"),
        Metric("kappa", "Kappa", Interval(-0.05, -0.2, 0.1, "bootstrap"), 103),
        Metric("auc.none", "AUC of a missing class", Interval(math.nan, method="undefined: no positive"), 0),
        Metric("one", "One patient", Interval(0.5, method="one patient only"), 1),
    )
    frame = pd.DataFrame({"class": ["a", EVIL, "=1+1"], "dice": [0.1234567, np.nan, 1.0], "n": [1, 2, 3]})
    examples = (
        Example("dr", EVIL, "worst", 0.1, "probability"),
        Example("dr", "img1", "best", 0.99, "probability", "grade 2"),
        Example("dr", "img2", "median", math.nan, "probability"),
    )
    task = TaskResult(
        "dr",
        "classification",
        "idrid",
        metrics,
        _curves(),
        (Confusion(("0", EVIL), ((30, 4), (0, 0)), "Grades"),),
        (Table("per/class", "Per class", frame, "a note"), Table("per class", "Again", frame)),
        examples,
        103,
        7,
        ("thresholds from validation",),
    )
    return EvaluationResult("r1", "hash123", "m.csv", "mhash456", "test", "2025-11-22", 110, (task,), "row 7")


@pytest.fixture(scope="session")
def log() -> pd.DataFrame:
    rows = []
    for step in range(1, 9):
        epoch = (step + 1) // 2
        rows.append(
            {
                "step": step,
                "epoch": epoch,
                "split": "train",
                "loss": 1 / step,
                "loss/dr": 1 / step,
                "lr": 1e-4,
                "weight/dr": step,
            }
        )
        if step % 2 == 0:
            val = [0.9, 0.4, 0.5, 0.6][epoch - 1]
            rows.append(
                {"step": step, "epoch": epoch, "split": "val", "loss": val, "loss/dr": val, "metric/dr/auc": 1 - val}
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def run(log: pd.DataFrame) -> RunSummary:
    return RunSummary(
        title=f"Title {EVIL}",
        run_folder="idrid-0",
        run_hash="hash123",
        code_version="0.1.0",
        git="abc, clean",
        seed=3,
        minutes=31.44,
        config=f"name: x\ncomment: </pre>{EVIL}\nsource: http://example.org/\n",
        environment={"python": "3.11", EVIL: EVIL},
        log=log,
        data_counts=pd.DataFrame({"dataset": ["idrid"], "split": ["test"], "labelled": [103]}),
        ledger_row="row 7",
    )
