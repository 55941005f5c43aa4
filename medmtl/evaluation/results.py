"""Typed results of an evaluation: tasks fill them, reporting renders them, JSON carries them between programs.

Nothing here computes. ``EvaluationResult.to_dict`` gives plain JSON (a number that is not finite becomes null), and
``from_dict`` reads it back (null becomes NaN), so that a saved result can be rendered again without the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, cast

import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.evaluation.plainvalues import known_fields, number, plain

FORMAT = 1
"""Version of the JSON form; a reader refuses a newer one."""

CurveKind: TypeAlias = Literal["roc", "froc", "calibration", "precision_recall"]
Role: TypeAlias = Literal["best", "median", "worst"]
Floats: TypeAlias = tuple[float, ...]


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % confidence interval; ``method`` names how it was made, or why there is no value.

    ``low`` and ``high`` are NaN where no interval can be given (one patient only, no label of one class).
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    method: str = ""


@dataclass(frozen=True)
class Metric:
    """One figure of a task: ``name`` for programs (``auc.hard_exudates``), ``label`` for people; ``n`` units counted."""

    name: str
    label: str
    interval: Interval
    n: int
    unit_note: str = ""
    higher_is_better: bool = True


@dataclass(frozen=True)
class CurvePoint:
    """A point of note on a curve, such as the chosen threshold."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Curve:
    """A curve with an optional band (``low``, ``high``: empty, or as long as ``x``); the caption says the rules."""

    kind: CurveKind
    title: str
    x: Floats
    y: Floats
    x_label: str
    y_label: str
    low: Floats = ()
    high: Floats = ()
    points: tuple[CurvePoint, ...] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        for name in ("x", "y", "low", "high"):
            object.__setattr__(self, name, as_floats(getattr(self, name)))
        wrong = [len(part) for part in (self.low, self.high) if len(part) not in (0, len(self.x))]
        if len(self.y) != len(self.x) or wrong:
            raise EvaluationError("a curve's columns differ in length", where=self.title)


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix of counts: rows are the truth, columns the prediction, in the order of ``labels``."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    title: str


@dataclass(frozen=True, eq=False)
class Table:
    """A table for the report and for a CSV file called ``name``."""

    name: str
    title: str
    frame: pd.DataFrame
    note: str = ""


@dataclass(frozen=True)
class Example:
    """A sample worth a picture, with the score that made it best, median or worst."""

    task: str
    sample_id: str
    role: Role
    score: float
    score_name: str
    caption: str = ""


@dataclass(frozen=True)
class Findings:
    """What an evaluation function computes of one task, before task, data set and examples are named."""

    metrics: tuple[Metric, ...] = ()
    curves: tuple[Curve, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    tables: tuple[Table, ...] = ()
    labelled: int = 0
    unlabelled: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskResult:
    """The results of one task on one data set; samples without a label are counted, never scored."""

    task: str
    kind: str
    dataset: str
    metrics: tuple[Metric, ...] = ()
    curves: tuple[Curve, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    tables: tuple[Table, ...] = ()
    examples: tuple[Example, ...] = ()
    labelled: int = 0
    unlabelled: int = 0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, task: str, kind: str, dataset: str, findings: Findings, examples: Iterable[Example] = ()) -> TaskResult:
        """Names the task, the data set and the examples of what was found.

        Args:
            task: Name of the task.
            kind: Its type.
            dataset: The data set.
            findings: What was found.
            examples: Samples worth a picture.
        """
        found = {field.name: getattr(findings, field.name) for field in fields(findings)}
        return cls(task=task, kind=kind, dataset=dataset, examples=tuple(examples), **found)


@dataclass(frozen=True)
class EvaluationResult:
    """Everything one evaluation found, with what it takes to say of what: run, manifest, split, date, ledger row."""

    run: str
    run_hash: str
    manifest: str
    manifest_hash: str
    split: str
    date: str
    samples: int
    tasks: tuple[TaskResult, ...] = ()
    ledger_row: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Gives the result as plain JSON values; what is not finite becomes None."""
        return {"format": FORMAT, **cast(dict[str, Any], plain(self))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EvaluationResult:
        """Reads what ``to_dict`` wrote.

        Raises:
            EvaluationError: The mapping is of a newer format, or misses what every result has.
        """
        if data.get("format", FORMAT) > FORMAT:
            raise EvaluationError(
                "these results were written by a newer version",
                found=f"format {data['format']}",
                remedy=f"this version reads up to format {FORMAT}: upgrade medmtl",
            )
        try:
            return cls(**known_fields(cls, data) | {"tasks": tuple(_task(task) for task in data.get("tasks", ()))})
        except (TypeError, KeyError, AttributeError) as error:
            raise EvaluationError("this is not a saved evaluation result", found=error) from error


def as_floats(values: Iterable[float]) -> Floats:
    """Gives any sequence or array of numbers as a tuple of Python floats."""
    return tuple(float(value) for value in values)


def _interval(data: Mapping[str, Any]) -> Interval:
    return Interval(number(data["value"]), number(data["low"]), number(data["high"]), data["method"])


def _curve(data: Mapping[str, Any]) -> Curve:
    columns = {name: tuple(number(value) for value in data[name]) for name in ("x", "y", "low", "high")}
    points = tuple(CurvePoint(number(p["x"]), number(p["y"]), p["label"]) for p in data["points"])
    return Curve(**known_fields(Curve, data) | columns | {"points": points})


def _table(data: Mapping[str, Any]) -> Table:
    frame = pd.DataFrame(data["frame"]["rows"], columns=data["frame"]["columns"])
    return Table(**known_fields(Table, data) | {"frame": frame})


def _confusion(data: Mapping[str, Any]) -> Confusion:
    return Confusion(tuple(data["labels"]), tuple(tuple(row) for row in data["matrix"]), data["title"])


def _example(data: Mapping[str, Any]) -> Example:
    return Example(**known_fields(Example, data) | {"score": number(data["score"])})


def _metric(data: Mapping[str, Any]) -> Metric:
    return Metric(**known_fields(Metric, data) | {"interval": _interval(data["interval"])})


_READERS = {
    "metrics": _metric,
    "curves": _curve,
    "confusions": _confusion,
    "tables": _table,
    "examples": _example,
}


def _task(data: Mapping[str, Any]) -> TaskResult:
    read = {name: tuple(reader(item) for item in data.get(name, ())) for name, reader in _READERS.items()}
    return TaskResult(**known_fields(TaskResult, data) | read)
