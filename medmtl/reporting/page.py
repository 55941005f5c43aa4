"""What the page shows, computed before the template lays it out: texts, strips, panels, pictures as data URIs."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.evaluation.results import Confusion, Curve, EvaluationResult, Example, Interval, Metric, Table, TaskResult
from medmtl.reporting.tables import format_cell, format_interval, format_number, is_number, metric_note, missing_reason

MAX_ROWS = 40
"""Rows of a table that the page shows; the CSV file has them all."""

CURVE_NAMES = {
    "roc": "ROC curve",
    "precision_recall": "Precision-recall curve",
    "froc": "FROC curve",
    "calibration": "Calibration curve",
}
_ROLES = ("best", "median", "worst")
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}

PictureKey = tuple[str, str, str]


@dataclass(frozen=True)
class Strip:
    """Where a value and its interval lie between 0 and 1, in percent of the strip's width."""

    dot: float
    left: float
    width: float


@dataclass(frozen=True)
class MetricRow:
    """One metric as shown; ``raw`` is the value with full precision, empty for none."""

    name: str
    label: str
    text: str
    raw: str
    reason: str
    n: int
    note: str
    strip: Strip | None


@dataclass(frozen=True)
class Panel:
    """A picture (data URI) with title, the text that replaces it, and a caption; no source: there is no picture."""

    title: str
    source: str
    alt: str
    caption: str = ""
    file: str = ""
    wide: bool = False


@dataclass(frozen=True)
class PanelGroup:
    """Pictures under one heading, with a note on how to read them."""

    title: str
    note: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Grid:
    """A table as text; ``numeric`` tells the columns set flush right; ``hidden`` rows are only in the CSV file."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    hidden: int = 0
    note: str = ""
    file: str = ""


@dataclass(frozen=True)
class TaskView:
    """All that the page shows of one task on one data set and split."""

    anchor: str
    result: EvaluationResult
    task: TaskResult
    rows: tuple[MetricRow, ...]
    curves: tuple[Panel, ...]
    confusions: tuple[Panel, ...]
    tables: tuple[Grid, ...]
    examples: tuple[tuple[str, tuple[Panel, ...]], ...]


def task_views(
    results: Sequence[EvaluationResult], files: Mapping[int, str], pictures: Mapping[PictureKey, bytes]
) -> tuple[TaskView, ...]:
    """Prepares every task of every result.

    Args:
        results: What was found.
        files: Path of the CSV file of each curve, table and confusion matrix, by ``id`` of the object.
        pictures: PNG or JPEG bytes by (data set, task, sample).

    Raises:
        EvaluationError: A picture is neither PNG nor JPEG.
    """
    pairs = ((result, task) for result in results for task in result.tasks)
    return tuple(
        TaskView(
            anchor=f"task-{number}",
            result=result,
            task=task,
            rows=tuple(map(metric_row, task.metrics)),
            curves=tuple(_curve_panels(task, files)),
            confusions=tuple(_confusion_panel(task, matrix, files) for matrix in task.confusions),
            tables=tuple(_table_grid(table, files) for table in task.tables),
            examples=tuple(_example_groups(task, pictures)),
        )
        for number, (result, task) in enumerate(pairs, start=1)
    )


def metric_row(metric: Metric) -> MetricRow:
    """Prepares one metric: value and interval as text, the raw value, why something is missing, and its strip."""
    interval = metric.interval
    raw = repr(float(interval.value)) if math.isfinite(interval.value) else ""
    reason = missing_reason(interval)
    note = "; ".join(part for part in metric_note(metric).split("; ") if part != reason)
    return MetricRow(metric.name, metric.label, format_interval(interval), raw, reason, metric.n, note, strip(interval))


def strip(interval: Interval) -> Strip | None:
    """Places a value and its interval on a strip from 0 to 1; None where the value does not lie there."""
    if not (math.isfinite(interval.value) and 0 <= interval.value <= 1):
        return None
    ends = (interval.low, interval.high)
    low, high = ends if all(map(math.isfinite, ends)) else (interval.value, interval.value)
    low, high = max(low, 0.0), min(high, 1.0)
    return Strip(round(100 * interval.value, 2), round(100 * low, 2), round(max(0.0, 100 * (high - low)), 2))


def frame_grid(frame: pd.DataFrame, title: str, note: str = "", file: str = "") -> Grid:
    """Prepares a table: at most :data:`MAX_ROWS` rows, each cell as text."""
    shown = frame.head(MAX_ROWS)
    rows = tuple(tuple(map(format_cell, row)) for row in shown.itertuples(index=False, name=None))
    numeric = tuple(all(is_number(value) for value in frame.iloc[:, i].dropna()) for i in range(frame.shape[1]))
    return Grid(title, tuple(map(str, frame.columns)), rows, numeric, max(0, len(frame) - MAX_ROWS), note, file)


def svg_uri(text: str) -> str:
    """Gives SVG text as a data URI: as an image it can neither run scripts nor clash with the page's names."""
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def picture_uri(data: bytes, where: object = None) -> str:
    """Gives PNG or JPEG bytes as a data URI.

    Raises:
        EvaluationError: The bytes are neither.
    """
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return f"data:{kind};base64,{base64.b64encode(data).decode()}"
    found = f"bytes {data[:8]!r}" if data else "no bytes"
    raise EvaluationError("an example picture is neither PNG nor JPEG", where=where, found=found)


def _curve_panels(task: TaskResult, files: Mapping[int, str]) -> Iterator[Panel]:
    from medmtl.reporting.figures import MAX_LINES, curve_figure  # matplotlib loads only where something is drawn

    for kind, name in CURVE_NAMES.items():
        curves = [curve for curve in task.curves if curve.kind == kind]
        for start in range(0, len(curves), MAX_LINES):
            group = curves[start : start + MAX_LINES]
            title = name if len(curves) == 1 else f"{name}s"
            yield Panel(
                title,
                svg_uri(curve_figure(group[0].kind, group)),
                f"{title} of {task.task} on {task.dataset}: {'; '.join(map(_describe, group))}",
                " ".join(dict.fromkeys(curve.caption for curve in group if curve.caption)),
                _pattern([files[id(curve)] for curve in group if id(curve) in files]),
            )


def _pattern(paths: Sequence[str]) -> str:
    """Names one file, or several by the letters that their names begin with."""
    if len(paths) < 2:
        return "".join(paths)
    shared = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*paths, strict=False))
    return f"{''.join(letters[0] for letters in shared)}*.csv"


def _describe(curve: Curve) -> str:
    points = [f"{point.label} at ({point.x:.3g}, {point.y:.3g})" for point in curve.points]
    ends = (
        f"from ({curve.x[0]:.3g}, {curve.y[0]:.3g}) to ({curve.x[-1]:.3g}, {curve.y[-1]:.3g})" if curve.x else "empty"
    )
    return ", ".join([f"{curve.title} {ends}", *points])


def _confusion_panel(task: TaskResult, matrix: Confusion, files: Mapping[int, str]) -> Panel:
    from medmtl.reporting.figures import confusion

    rows = (
        f"truth {label}: {', '.join(map(str, row))}" for label, row in zip(matrix.labels, matrix.matrix, strict=True)
    )
    alt = f"Confusion matrix of {task.task}, predictions in the order {', '.join(matrix.labels)}. {'; '.join(rows)}"
    caption = "Counts, and share of the row in percent."
    return Panel(matrix.title, svg_uri(confusion(matrix)), alt, caption, files.get(id(matrix), ""))


def _table_grid(table: Table, files: Mapping[int, str]) -> Grid:
    return frame_grid(table.frame, table.title, table.note, files.get(id(table), ""))


def _example_groups(task: TaskResult, pictures: Mapping[PictureKey, bytes]) -> Iterator[tuple[str, tuple[Panel, ...]]]:
    ordered = sorted(task.examples, key=lambda example: _ROLES.index(example.role))
    for role, group in itertools.groupby(ordered, key=lambda example: example.role):
        yield role, tuple(_example_panel(task, example, pictures) for example in group)


def _example_panel(task: TaskResult, example: Example, pictures: Mapping[PictureKey, bytes]) -> Panel:
    key = (task.dataset, example.task, example.sample_id)
    score = f"{example.score_name} {format_number(example.score)}"
    alt = f"{example.role} example of {task.task} on {task.dataset}: sample {example.sample_id}, {score}"
    source = picture_uri(pictures[key], where=" / ".join(key)) if key in pictures else ""
    return Panel(example.sample_id, source, alt, f"{score}. {example.caption}" if example.caption else score)
