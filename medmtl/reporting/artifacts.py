"""The files beside the report: ``metrics.json``, and every table and curve as CSV with full precision."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from medmtl.evaluation.results import Confusion, Curve, EvaluationResult, TaskResult
from medmtl.files import write_text
from medmtl.reporting.summary import RunSummary
from medmtl.reporting.tables import csv_text

METRICS_FILE = "metrics.json"
FORMAT = 1
"""Version of ``metrics.json``; a reader refuses a newer one."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """One CSV file: its path below the report's folder, its content, and the result it holds (None: several)."""

    path: str
    frame: pd.DataFrame
    owner: object = None


class _Names:
    """Hands out file names made of untrusted text: plain letters, short, and never twice (whatever the case)."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, folder: str, *parts: str) -> str:
        stem = "_".join(slug(part) for part in parts)[:120]
        name, number = stem, 1
        while f"{folder}/{name}" in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(f"{folder}/{name}")
        return f"{folder}/{name}.csv"


def slug(text: str) -> str:
    """Makes any text a harmless part of a file name: lower case letters, digits and hyphens, at most 48."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "unnamed"


def artifacts(results: Sequence[EvaluationResult], run: RunSummary) -> tuple[Artifact, ...]:
    """Lists every CSV file of a report, without writing any.

    ``tables/metrics.csv`` holds all metrics, ``curves/index.csv`` says what each curve file is.
    """
    names = _Names()
    fixed = {
        "tables/metrics": metrics_frame(results),
        "tables/data-counts": run.data_counts,
        "curves/learning": run.log,
        "curves/probe": run.probe,
    }
    files = [Artifact(names.take(*path.split("/")), frame) for path, frame in fixed.items() if len(frame.columns)]
    index = names.take("curves", "index")
    curves: list[dict[str, str]] = []
    for result, task in _tasks(results):
        files += _task_files(names, result.split, task, curves)
    return (*files, Artifact(index, pd.DataFrame(curves, columns=list(_INDEX))))


def write_artifacts(folder: Path, files: Sequence[Artifact]) -> None:
    """Writes the CSV files.

    Raises:
        OutputError: A file cannot be written.
    """
    for file in files:
        write_text(folder / file.path, csv_text(file.frame))


def write_metrics(folder: Path, results: Sequence[EvaluationResult]) -> Path:
    """Writes ``metrics.json``: ``{"format": 1, "results": [EvaluationResult.to_dict(), ...]}``.

    Raises:
        OutputError: The file cannot be written.
    """
    data = {"format": FORMAT, "results": [result.to_dict() for result in results]}
    path = folder / METRICS_FILE
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def metrics_frame(results: Sequence[EvaluationResult]) -> pd.DataFrame:
    """Gives all metrics as one table, a row each, with interval, method and counts."""
    rows = [
        {
            "run": result.run,
            "dataset": task.dataset,
            "split": result.split,
            "task": task.task,
            "kind": task.kind,
            "metric": metric.name,
            "label": metric.label,
            "value": metric.interval.value,
            "low": metric.interval.low,
            "high": metric.interval.high,
            "method": metric.interval.method,
            "n": metric.n,
            "unit_note": metric.unit_note,
            "labelled": task.labelled,
            "unlabelled": task.unlabelled,
        }
        for result, task in _tasks(results)
        for metric in task.metrics
    ]
    return pd.DataFrame(rows)


_INDEX = ("file", "dataset", "split", "task", "kind", "title", "x_label", "y_label", "caption")


def _tasks(results: Sequence[EvaluationResult]) -> Iterator[tuple[EvaluationResult, TaskResult]]:
    return ((result, task) for result in results for task in result.tasks)


def _task_files(names: _Names, split: str, task: TaskResult, index: list[dict[str, str]]) -> Iterator[Artifact]:
    place = (task.dataset, split, task.task)
    for table in task.tables:
        yield Artifact(names.take("tables", *place, table.name), table.frame, table)
    for matrix in task.confusions:
        yield Artifact(names.take("tables", *place, "confusion", matrix.title), _confusion_frame(matrix), matrix)
    for curve in task.curves:
        path = names.take("curves", *place, curve.kind, curve.title)
        said = (
            path,
            task.dataset,
            split,
            task.task,
            curve.kind,
            curve.title,
            curve.x_label,
            curve.y_label,
            curve.caption,
        )
        index.append(dict(zip(_INDEX, said, strict=True)))
        yield Artifact(path, _curve_frame(curve), curve)


def _curve_frame(curve: Curve) -> pd.DataFrame:
    columns: dict[str, Any] = {"x": curve.x, "y": curve.y}
    columns |= {name: getattr(curve, name) for name in ("low", "high") if getattr(curve, name)}
    return pd.DataFrame(columns)


def _confusion_frame(matrix: Confusion) -> pd.DataFrame:
    frame = pd.DataFrame(list(map(list, matrix.matrix)), columns=list(matrix.labels))
    frame.insert(0, "truth \\ prediction", list(matrix.labels), allow_duplicates=True)
    return frame
