"""What an evaluation writes of single samples gives its own figures again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medmtl.config import TaskBlock
from medmtl.evaluation.samplewise import sample_statistic
from medmtl.progress import Progress
from medmtl.tasks import Origin, Settings, build_task
from medmtl.tasks.classification import ClassificationRecord
from medmtl.workflows.evaluating import evaluate

SUPPORTED = (
    "dice",
    "iou",
    "sensitivity",
    "precision",
    "auc",
    "average_precision",
    "brier",
    "accuracy",
    "kappa",
    "quadratic_kappa",
)


def figure(metric: str, frame: pd.DataFrame) -> float | None:
    numbers = frame.drop(columns=["dataset", "sample", "patient"], errors="ignore")
    statistic = sample_statistic(metric, {name: numbers[name].to_numpy(dtype=float) for name in numbers})
    return None if statistic is None else float(statistic(np.ones((1, len(frame))))[0])


def test_all_figures_of_an_evaluation(small_run: Path, small_manifest: Path, tmp_path: Path):
    done = evaluate(
        small_run,
        small_manifest,
        split=None,
        out=tmp_path / "r",
        ledger=tmp_path / "l.csv",
        progress=Progress(quiet=True),
    )
    told = json.loads((done.folder / "metrics.json").read_text())["results"][0]["tasks"]
    made = 0
    for task in told:
        frame = pd.read_csv(done.folder / "samples" / f"{task['task']}.csv")
        assert len(frame) == task["labelled"]
        assert list(frame)[:3] == ["dataset", "sample", "patient"]
        for metric in task["metrics"]:
            value, again = metric["interval"]["value"], figure(metric["name"], frame)
            if again is None or value is None:
                continue
            assert again == pytest.approx(value, abs=1e-9), metric["name"]
            made += 1
    assert made >= 12


@pytest.mark.parametrize("mode", ["labels", "multiclass", "ordinal"])
def test_every_mode_of_a_classification(mode: str):
    block = {"type": "classification", "mode": mode}
    if mode != "labels":
        block["classes"] = ["0", "1", "2"]
    task = build_task("grade", TaskBlock(**block))
    rng = np.random.default_rng(1)
    size = len(task.classes)
    records = [
        ClassificationRecord(
            Origin(f"s{n}", f"p{n}"),
            (rng.dirichlet(np.ones(3)) if size > 1 else rng.random(1)).astype(np.float32),
            np.array([n % max(2, size)], dtype=np.float32),
        )
        for n in range(20)
    ]
    frame = pd.DataFrame([task.sample_row(record, Settings(bootstrap=100)) for record in records])
    made = 0
    for metric in task.findings(records, Settings(bootstrap=100)).metrics:
        again = figure(metric.name, frame) if metric.name.split(".")[0] in SUPPORTED else None
        if again is not None and math.isfinite(metric.interval.value):
            assert again == pytest.approx(metric.interval.value, abs=1e-9), metric.name
            made += 1
    assert made >= 3
