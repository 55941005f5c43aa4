"""Tables of results out of run folders, so that no result is typed by hand; what went badly stays in.

A run folder holds ``run.json`` (name, seed, code_version, git, minutes, created, run_hash), ``config.yaml``, and after
evaluation ``evaluation/*/metrics.json`` as :mod:`medmtl.reporting.artifacts` writes it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from medmtl.config import parse_config
from medmtl.errors import ConfigError, MedmtlError, RunError
from medmtl.evaluation.results import EvaluationResult, Metric, TaskResult
from medmtl.reporting.artifacts import FORMAT, METRICS_FILE
from medmtl.reporting.markdown import render_results

__all__ = ["COLUMNS", "KEYS", "collect_results", "render_results"]

KEYS = ("name", "seed", "code_version", "git", "minutes", "created", "run_hash")
"""What ``run.json`` holds."""

COLUMNS = (
    "run",
    "seed",
    "code_version",
    "git",
    "minutes",
    "processor_minutes",
    "created",
    "run_hash",
    "config",
    "folder",
    "evaluation",
    "dataset",
    "split",
    "task",
    "metric",
    "label",
    "value",
    "low",
    "high",
    "method",
    "n",
    "higher_is_better",
    "ledger_row",
)
"""Columns of :func:`collect_results`."""

_RESTORE = "restore the file as the run wrote it, or leave the folder out"


def collect_results(runs: Sequence[Path]) -> pd.DataFrame:
    """Reads run folders into one table: a row per metric, and one row without metric for a run without evaluation.

    Args:
        runs: Run folders; one given twice is read once.

    Returns:
        A table with the columns :data:`COLUMNS`. ``config`` is a hash of the configuration without its seed, so that
        runs that share a name but not their settings are told apart; ``minutes``, ``processor_minutes``, ``value``, ``low`` and ``high`` are
        NaN where unknown.

    Raises:
        RunError: A folder is missing or is no run, or a file in it is damaged or from a newer version.
    """
    folders = dict.fromkeys(Path(run).resolve() for run in runs)
    rows = [row for folder in folders for row in _rows(folder)]
    # Nullable whole numbers: a run without evaluation must not turn every count into a fraction.
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n": "Int64"})


def _rows(folder: Path) -> list[dict[str, Any]]:
    head = _head(folder)
    rows = [head | row for path in sorted(folder.glob(f"evaluation/*/{METRICS_FILE}")) for row in _evaluation(path)]
    return rows or [head]


def _head(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise RunError("there is no such run folder", where=folder, remedy="give folders that medmtl train made")
    data = _read_json(folder / "run.json")
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise RunError(f"the key '{missing[0]}' is missing", where=folder / "run.json", remedy="is this a run folder?")
    head = {"run": str(data["name"]), **{key: data[key] for key in KEYS[1:]}, "minutes": _minutes(data["minutes"])}
    head["processor_minutes"] = _minutes(data.get("processor_minutes"))
    return head | {"config": _config_hash(folder / "config.yaml"), "folder": folder.name}


def _minutes(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = "give folders that medmtl train made"
        raise RunError("this is no run folder", where=path.parent, found=f"no {path.name}", remedy=remedy) from None
    except UnicodeDecodeError:
        raise RunError("the file is not UTF-8 text", where=path, remedy=_RESTORE) from None
    except OSError as error:
        raise RunError(
            "the file cannot be read", where=path, found=error.strerror, remedy="check its permissions"
        ) from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(_read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise RunError("the file is not valid JSON", where=path, found=error, remedy="it may be cut short") from None
    if not isinstance(data, dict):
        raise RunError("the file must hold a JSON object", where=path, found=type(data).__name__, remedy=_RESTORE)
    return data


def _config_hash(path: Path) -> str:
    try:
        data = yaml.safe_load(_read_text(path))
    except yaml.YAMLError:
        raise RunError("the configuration is not valid YAML", where=path, remedy="it may be cut short") from None
    if not isinstance(data, dict):
        raise RunError(
            "the configuration must be a mapping of keys", where=path, found=type(data).__name__, remedy=_RESTORE
        )
    kept = {key: value for key, value in _resolved(data).items() if key != "seed"}
    start = (kept.get("model") or {}).get("start")
    if start:  # each seed of a second step starts from the first step of that seed: NAME-3 where the seed is 3
        kept["model"] = {**kept["model"], "start": re.sub(rf"-{data.get('seed', 0)}(?=/|$)", "-SEED", str(start))}
    settings = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(settings.encode()).hexdigest()[:8]


def _resolved(data: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of keys that are newer than the run: they are what it had; as it stands where it is no such file."""
    try:
        return parse_config(data).model_dump(mode="json")
    except ConfigError:
        return data


def _evaluation(path: Path) -> Iterator[dict[str, Any]]:
    data = _read_json(path)
    if not isinstance(data.get("results"), list):
        raise RunError(
            "this is no file of results", where=path, found="no list 'results'", remedy="evaluate the run again"
        )
    version = data.get("format", FORMAT)
    if not isinstance(version, int) or version > FORMAT:
        raise RunError("these results were written by a newer version", where=path, remedy="upgrade medmtl")
    for item in data["results"]:
        result = _result(item, path)
        for task in result.tasks:
            yield from (_metric(result, task, metric, path.parent.name) for metric in task.metrics)


def _result(item: Mapping[str, Any], path: Path) -> EvaluationResult:
    try:
        return EvaluationResult.from_dict(item)
    except MedmtlError as error:
        raise RunError(error.what, where=path, found=error.found, remedy=error.remedy) from None
    except (AttributeError, TypeError, ValueError) as error:
        remedy = "evaluate the run again"
        raise RunError("this is no saved evaluation result", where=path, found=error, remedy=remedy) from None


def _metric(result: EvaluationResult, task: TaskResult, metric: Metric, evaluation: str) -> dict[str, Any]:
    return {
        "evaluation": evaluation,
        "dataset": task.dataset,
        "split": result.split,
        "task": task.task,
        "metric": metric.name,
        "label": metric.label,
        "value": metric.interval.value,
        "low": metric.interval.low,
        "high": metric.interval.high,
        "method": metric.interval.method,
        "n": metric.n,
        "higher_is_better": metric.higher_is_better,
        "ledger_row": result.ledger_row,
    }
