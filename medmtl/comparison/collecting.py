"""From the results of evaluated cells to arrays: rows x seeds x figures, and the same in every draw of patients."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medmtl.comparison.planning import Cell, Plan
from medmtl.comparison.state import Places
from medmtl.errors import ConfigError, MedmtlError, RunError, suggestion
from medmtl.evaluation import EvaluationResult, Metric
from medmtl.evaluation.intervals import FloatArray
from medmtl.evaluation.resampling import patient_draws
from medmtl.evaluation.samplewise import replicates, sample_statistic
from medmtl.reporting.artifacts import METRICS_FILE
from medmtl.workflows.persample import FOLDER as SAMPLES

_AGREES = 1e-6
"""A figure made from single samples must be the one that the evaluation told, else it gets no interval."""


@dataclass(frozen=True)
class Figure:
    """One figure that counts: a metric of a task on a data set."""

    evaluation: str
    dataset: str
    task: str
    metric: str

    @property
    def place(self) -> tuple[str, str]:
        """Whose samples it is made from: all figures of a place are drawn with the same patients."""
        return self.evaluation, self.dataset


@dataclass(frozen=True, eq=False)
class Results:
    """What the evaluated cells of all rows say.

    Attributes:
        rows: Names of the rows.
        seeds: The seeds.
        figures: The figures that count.
        labels: What each is called.
        higher_is_better: Of each, shape (figures,).
        values: Shape (rows, seeds, figures); NaN where a cell is missing.
        drawn: The same in every draw of patients, shape (rows, seeds, figures, draws); NaN where single samples do not
            give the figure.
        seed: Seed of the draws.
    """

    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    figures: tuple[Figure, ...]
    labels: tuple[str, ...]
    higher_is_better: tuple[bool, ...]
    values: FloatArray
    drawn: FloatArray
    seed: int

    def names(self) -> list[str]:
        """Short names of the figures: the task and metric, with the data set where there are several."""
        several = len({figure.place for figure in self.figures}) > 1
        return [f"{figure.task} {figure.metric}{f' ({figure.dataset})' if several else ''}" for figure in self.figures]


@dataclass(frozen=True)
class _Found:
    """One metric of one cell."""

    figure: Figure
    metric: Metric
    cell: Cell
    manifest_hash: str


def evaluated(run: Path, evaluation: str, run_hash: str) -> bool:
    """Whether a cell was evaluated with the weights that it has.

    Args:
        run: Its run folder.
        evaluation: Name of the results' folder.
        run_hash: Of the run as it is.
    """
    try:
        data = json.loads((run / "evaluation" / evaluation / METRICS_FILE).read_text(encoding="utf-8"))
        return bool(data["results"]) and all(item["run_hash"] == run_hash for item in data["results"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def collect(plan: Plan, cells: Sequence[Cell], places: Places) -> Results:
    """Reads the results of evaluated cells.

    Args:
        plan: The comparison.
        cells: The cells that were evaluated on everything.
        places: Where they lie.

    Raises:
        ConfigError: ``metrics`` names a metric that a task does not have.
        RunError: Results are damaged, or of several versions of a manifest.
    """
    found = [
        item for cell in cells for block in plan.evaluations_of(cell.series) for item in _read(cell, block.name, places)
    ]
    _check_one_manifest(found)
    counting = _counting(plan, found)
    rows, seeds = plan.spec.row_names, tuple(plan.spec.seeds)
    figures = tuple(dict.fromkeys(item.figure for item in counting))
    values = np.full((len(rows), len(seeds), len(figures)), np.nan)
    for item in counting:
        values[_index(item, rows, seeds, figures)] = item.metric.interval.value
    metrics = {item.figure: item.metric for item in counting}
    return Results(
        rows,
        seeds,
        figures,
        tuple(metrics[figure].label for figure in figures),
        tuple(metrics[figure].higher_is_better for figure in figures),
        values,
        _draw(plan, counting, places, values, rows, seeds, figures),
        plan.base.evaluation.seed,
    )


def _index(item: _Found, rows: Sequence[str], seeds: Sequence[int], figures: Sequence[Figure]) -> tuple[int, int, int]:
    return rows.index(item.cell.row), seeds.index(item.cell.seed), figures.index(item.figure)


def _read(cell: Cell, evaluation: str, places: Places) -> Iterable[_Found]:
    path = places.run(cell.name) / "evaluation" / evaluation / METRICS_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        results = [EvaluationResult.from_dict(item) for item in data["results"]]
    except (OSError, ValueError, KeyError, TypeError, MedmtlError) as error:
        remedy = "remove the folder, and give the same command again"
        raise RunError("the results cannot be read", where=path, found=error, remedy=remedy) from None
    for result in results:
        for task in result.tasks:
            for metric in task.metrics:
                figure = Figure(evaluation, task.dataset, task.task, metric.name)
                yield _Found(figure, metric, cell, result.manifest_hash)


def _check_one_manifest(found: Iterable[_Found]) -> None:
    hashes: dict[str, tuple[str, Cell]] = {}
    for item in found:
        digest, first = hashes.setdefault(item.figure.evaluation, (item.manifest_hash, item.cell))
        if digest != item.manifest_hash:
            what = "the manifest changed between two evaluations"
            names = f"{first.name} and {item.cell.name}"
            remedy = "restore it; remove the results' folders of the cells that used the other version"
            raise RunError(what, where=item.figure.evaluation, found=names, remedy=remedy)


def _counting(plan: Plan, found: Sequence[_Found]) -> list[_Found]:
    """The metrics that count, in the order of the evaluations, data sets, tasks; those that nobody has are left out."""
    defined = {item.figure for item in found if math.isfinite(item.metric.interval.value)}
    first: dict[tuple[Any, ...], str] = {}
    for item in found:
        if item.figure in defined:
            first.setdefault((*item.figure.place, item.figure.task), item.figure.metric)
    wanted = plan.spec.metrics
    for task, names in wanted.items():
        known = {item.figure.metric for item in found if item.figure.task == task}
        _check_known(f"{plan.path}: metrics.{task}", names, known)
    return [
        item
        for item in sorted(found, key=lambda item: _order(plan, item.figure))
        if item.figure in defined
        and item.figure.metric in wanted.get(item.figure.task, [first.get((*item.figure.place, item.figure.task))])
    ]


def _order(plan: Plan, figure: Figure) -> tuple[int, str, int, int]:
    evaluations, tasks = [item.name for item in plan.evaluations], list(plan.base.tasks)
    task = tasks.index(figure.task) if figure.task in tasks else len(tasks)
    names = plan.spec.metrics.get(figure.task, [])
    metric = names.index(figure.metric) if figure.metric in names else 0
    return evaluations.index(figure.evaluation), figure.dataset, task, metric


def _check_known(where: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names if known else ():
        if name not in known:
            remedy = f"{suggestion(name, known)} All cells are kept"
            raise ConfigError("the task has no such metric", where=where, found=f"'{name}'", remedy=remedy)


def _draw(
    plan: Plan,
    found: Sequence[_Found],
    places: Places,
    values: FloatArray,
    rows: Sequence[str],
    seeds: Sequence[int],
    figures: Sequence[Figure],
) -> FloatArray:
    """Every figure in every draw; the patients of a place are drawn once for all rows, seeds and tasks."""
    draws = plan.base.evaluation.bootstrap
    drawn = np.full((*values.shape, draws), np.nan)
    tables = {id(item): _samples(item, places) for item in found}
    for place in dict.fromkeys(figure.place for figure in figures):
        mine = [item for item in found if item.figure.place == place]
        patients = [name for item in mine for name in tables[id(item)].get("patient", [])]
        columns, counts = patient_draws(patients, draws=draws, seed=plan.base.evaluation.seed)
        for item in mine:
            where = _index(item, rows, seeds, figures)
            drawn[where] = _replicates(item, tables[id(item)], columns, counts, float(values[where]))
    return drawn


def _replicates(item: _Found, table: Mapping[str, Any], columns: Mapping[str, int], counts: Any, value: float) -> Any:
    numbers = {name: column for name, column in table.items() if name != "patient"}
    statistic = sample_statistic(item.figure.metric, numbers) if table else None
    weights = counts[:, [columns[name] for name in table.get("patient", [])]]
    if statistic is None or counts.shape[1] < 2:
        return np.nan
    if not abs(float(statistic(np.ones((1, weights.shape[1])))[0]) - value) < _AGREES:
        return np.nan
    return replicates(statistic, weights)


def _samples(item: _Found, places: Places) -> dict[str, Any]:
    """Columns of the samples of one data set; empty where the evaluation wrote none."""
    figure = item.figure
    path = places.run(item.cell.name) / "evaluation" / figure.evaluation / SAMPLES / f"{figure.task}.csv"
    try:
        frame = pd.read_csv(path, dtype={"dataset": str, "sample": str, "patient": str}, keep_default_na=False)
        frame = frame[frame["dataset"] == figure.dataset].sort_values("sample")
        numbers = frame.drop(columns=["dataset", "sample", "patient"]).apply(pd.to_numeric, errors="coerce")
    except (OSError, ValueError, KeyError):
        return {}
    return {name: numbers[name].to_numpy() for name in numbers} | {"patient": list(frame["patient"])}
