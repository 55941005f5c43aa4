"""Rows of lesion tables, and differences in pairs, out of saved figures, as Markdown: no such number is typed by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medmtl.errors import MedmtlError, RunError
from medmtl.evaluation.results import EvaluationResult, Interval
from medmtl.reporting.artifacts import METRICS_FILE
from medmtl.reporting.tables import DASH, format_interval, format_number, markdown_table

KEYS = ("run", "seed", "folder", "evaluation", "task", "table")
_SIZES = ("area_from_px", "area_below_px")
_COUNTS = {
    "lesions": "Lesions",
    "positive_images": "Images with one",
    "duplicates": "Further hits",
    "other_class_hits": "Hits on another class",
}
"""Columns of whole numbers by what they are called in Markdown; hits are of all candidates, whatever their score."""


def read_results(path: Path) -> tuple[EvaluationResult, ...]:
    """The results of a ``metrics.json``.

    Raises:
        RunError: It is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return tuple(EvaluationResult.from_dict(item) for item in content["results"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MedmtlError) as error:
        raise RunError("this is no file of results", where=path, found=error) from None


def is_by_lesion(path: Path) -> bool:
    """Whether a ``metrics.json`` was written by ``medmtl lesions``, which says where its inputs come from.

    Raises:
        RunError: It is no JSON.
    """
    try:
        return "provenance" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError) as error:
        raise RunError("this is no file of results", where=path, found=error) from None


def collect_rows(runs: Sequence[Path]) -> pd.DataFrame:
    """Rows of every lesion table of run folders: candidates, their rivals, and sizes of lesions.

    Args:
        runs: Run folders, with ``evaluation/*/metrics.json``.

    Returns:
        A row a row of a table: :data:`KEYS`, then the table's own columns.

    Raises:
        RunError: A file of a folder is damaged.
    """
    return pd.DataFrame([row for run in runs for row in _run_rows(run)])


def _run_rows(run: Path) -> Iterator[dict[str, Any]]:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    head = {"run": str(record["name"]), "seed": record["seed"], "folder": run.name}
    for path in sorted(run.glob(f"evaluation/*/{METRICS_FILE}")):
        for result in read_results(path):
            for task in result.tasks:
                for table in task.tables:
                    place = {"evaluation": path.parent.name, "task": task.task, "table": table.name}
                    if table.name.startswith(("lesions.", "lesion_sizes.")):
                        yield from (head | place | _named(row) for row in table.frame.to_dict("records"))


def _named(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def rows_markdown(rows: pd.DataFrame, run: str, asked: Mapping[str, Any]) -> str:
    """The rows of one run as Markdown: a line for each class, rule and set of candidates.

    A figure is the mean over seeds; in brackets stand the lowest and the highest end of the seeds' 95 % intervals. Counts are
    means over seeds as whole numbers; those that no row holds are left out.

    Args:
        rows: As :func:`collect_rows` gives them.
        run: The name of the run.
        asked: ``evaluation``: folder of the evaluation; ``table``: how the tables' names begin (``lesions``, by default, or
            ``lesion_sizes``); optionally ``tasks``: those to show, and ``rates``.

    Returns:
        The table; empty where the run has no such rows.
    """
    if rows.empty:
        return ""
    kind = asked.get("table", "lesions")
    chosen = rows[(rows["run"] == run) & (rows["evaluation"] == asked["evaluation"])]
    chosen = chosen[chosen["table"].str.split(".").str[0] == kind]
    if "tasks" in asked:
        chosen = chosen[chosen["task"].isin(asked["tasks"])]
    if chosen.empty:
        return ""
    rates = asked.get("rates", [1, 2, 5, 10])
    line = [*_SIZES] if kind == "lesion_sizes" else ["candidates"]
    header = ["Class, rule", "Lesions of so many pixels" if kind == "lesion_sizes" else "Candidates"]
    counts = [name for name in _COUNTS if name in chosen and chosen[name].notna().any()]
    header += ["Seeds", *(_COUNTS[name] for name in counts), *(f"{rate:g}" for rate in rates)]
    body = []
    for (task, table, *key), group in chosen.groupby(["task", "table", *line], sort=False, dropna=False):
        shown = _size(*key) if kind == "lesion_sizes" else key[0]
        told = task if "," in str(task) else str(table).partition(".")[2]
        numbers = [_count(group[name]) for name in counts]
        body.append([told, shown, group["seed"].nunique(), *numbers, *(_figure(group, rate) for rate in rates)])
    return markdown_table(header, body, numeric=header[2:])


def _size(low: float, high: float | None) -> str:
    top = "" if high is None or not math.isfinite(high) else f" to below {high:g}"
    return f"{low:g}{top}" if top else f"{low:g} and more"


def _count(column: pd.Series) -> str:
    mean = float(pd.to_numeric(column).mean())
    return f"{mean:.0f}" if math.isfinite(mean) else DASH


def _figure(group: pd.DataFrame, rate: float) -> str:
    columns = [f"at_{rate:g}{end}" for end in ("", "_low", "_high")]
    if columns[0] not in group:
        return DASH
    value, low, high = (pd.to_numeric(group[name]).to_numpy(dtype=float) for name in columns)
    if not np.isfinite(value).any():
        return DASH
    first = float(low.min()) if np.isfinite(low).all() else math.nan
    last = float(high.max()) if np.isfinite(high).all() else math.nan
    return format_interval(Interval(float(np.nanmean(value)), first, last))


def differences_markdown(folders: Sequence[Path]) -> str:
    """What ``medmtl lesiondiff`` wrote, as Markdown; empty without any.

    Args:
        folders: Its output folders.

    Raises:
        RunError: One is none.
    """
    body = []
    for folder in folders:
        for result in read_results(folder / METRICS_FILE):
            for task in result.tasks:
                for row in (row for table in task.tables for row in table.frame.to_dict("records")):
                    place = f"{task.dataset} · {result.split}"
                    found = Interval(_number(row["difference"]), _number(row["low"]), _number(row["high"]))
                    read = [format_number(_number(row[name]), 3) for name in ("sensitivity", "of_the_others")]
                    rate = f"{row['false_positives_per_image']:g}"
                    body.append([folder.name, place, task.task, rate, *read, format_interval(found), _verdict(found)])
    header = [
        "Comparison",
        "Data set · split",
        "Class, rule",
        "False positives per image",
        "Sensitivity",
        "Of the others",
    ]
    header += ["Difference (95 % interval)", "Interval excludes 0"]
    return markdown_table(header, body, numeric=header[3:7]) if body else ""


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _verdict(found: Interval) -> str:
    if not math.isfinite(found.low):
        return DASH
    return "yes" if found.low > 0 or found.high < 0 else "no"
