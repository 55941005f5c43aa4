"""What a report tells of a run, out of the run's folder."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medmtl.errors import RunError
from medmtl.reporting.summary import RunSummary
from medmtl.run import RunFolder, dump_config


def run_summary(run: RunFolder, row: str, evaluated: Sequence[Mapping[str, Any]] = ()) -> RunSummary:
    """Gathers a run's record, log and data counts.

    Args:
        run: The run.
        row: Name of the ledger's row; empty for none.
        evaluated: Counts of the samples that are evaluated, as ``class_counts`` gives them.

    Raises:
        RunError: A table of the run is damaged.
    """
    record = run.record
    return RunSummary(
        title=run.config.name,
        run_folder=run.path.name,
        run_hash=record.get("run_hash", ""),
        code_version=record.get("code_version", ""),
        git=record.get("git", ""),
        seed=run.config.seed,
        minutes=_minutes(record.get("minutes")),
        config=dump_config(run.config),
        environment=record.get("environment", {}),
        log=_table(run.log),
        data_counts=_data_counts(run, evaluated),
        ledger_row=row,
        best_epoch=record.get("best_epoch") or None,
        probe=_table(run.probe),
    )


def _table(path: Path) -> pd.DataFrame:
    """A table that training writes line by line; a line that a kill cut short, or that is being written, is left out."""
    if not path.exists():
        return pd.DataFrame()
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return pd.read_csv(io.StringIO(text[: text.rfind("\n") + 1]))
    except ValueError as error:  # what pandas raises for a table that is none
        reason = str(error).strip().splitlines()[0]
        raise RunError(
            "the table cannot be read", where=path, found=reason, remedy="restore it, or remove it"
        ) from None


def _minutes(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _data_counts(run: RunFolder, evaluated: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    path = run.path / "data.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"classes": []}
    if "classes" in record:
        return pd.DataFrame([*record["classes"], *evaluated])
    return _totals(record["counts"])


def _totals(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What runs kept before they counted classes."""
    return pd.DataFrame(
        [
            {
                **{key: row[key] for key in ("side", "dataset", "samples")},
                **{f"labelled: {task}": count for task, count in row["labelled"].items()},
            }
            for row in rows
        ]
    )
