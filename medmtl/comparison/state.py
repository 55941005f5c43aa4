"""What is on the disk of a comparison: where a cell stands, what a finished one cost, and a journal of all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from medmtl.comparison.planning import Cell
from medmtl.errors import OutputError, RunError
from medmtl.files import write_text
from medmtl.progress import Progress
from medmtl.run import RunFolder, check_free, config_hash, dump_config
from medmtl.training.standing import is_better, selection_score
from medmtl.training.tracking import read_rows
from medmtl.workflows.resuming import check_same_config

State = Literal["new", "interrupted", "done"]
_METRIC = "metric/"


@dataclass(frozen=True)
class Facts:
    """What a finished cell says of itself.

    Attributes:
        score: Validation score of the selected checkpoint, higher is better; NaN without validation.
        by_task: The score's parts: each task's first validation figure.
        minutes: Of training.
        processor_minutes: The same of all processor cores together; NaN where the run does not say.
        step_seconds: Median seconds of an update.
        run_hash: The run's own.
    """

    score: float
    by_task: Mapping[str, float]
    minutes: float
    processor_minutes: float
    step_seconds: float
    run_hash: str


@dataclass(frozen=True)
class Entry:
    """What the journal knows of a cell beside its folder.

    Attributes:
        status: ``done``, ``failed`` or ``interrupted``.
        reason: Why it failed, in one line.
        peak_memory_mb: Largest resident memory of its process; NaN where nobody measured it.
    """

    status: str
    reason: str = ""
    peak_memory_mb: float = math.nan


class Places:
    """Where the files of a comparison lie.

    Args:
        root: The folder of the comparison.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells = root / "cells"
        self.selection = root / "selection.json"
        self.journal = root / "cells.json"
        self.ledger = root / "ledger.csv"

    def run(self, name: str) -> Path:
        """Run folder of a cell."""
        return self.cells / name

    def config(self, name: str) -> Path:
        """The configuration that a cell's process is given."""
        return self.cells / f"{name}.yaml"

    def log(self, name: str) -> Path:
        """What a cell's process says."""
        return self.cells / f"{name}.log"


def cell_state(cell: Cell, places: Places) -> State:
    """Where a cell stands.

    Raises:
        RunError: Its folder holds something else, or a run of another configuration.
    """
    path = places.run(cell.name)
    if not (path / "config.yaml").exists():
        check_free(path) if path.exists() else None
        return "new"
    run = RunFolder.open(path)
    if run.record.get("config_hash") != config_hash(cell.config):
        _check_same(run, cell)
    return "done" if run.record.get("status") == "trained" else "interrupted"


def _check_same(run: RunFolder, cell: Cell) -> None:
    try:
        check_same_config(run, cell.config, Progress(quiet=True))
    except RunError as error:
        what = "the cell was trained with another configuration"
        remedy = "restore the comparison's file, remove the cell's folder, or choose another --out"
        raise RunError(what, where=run.path, found=error.found, remedy=remedy) from None


def write_config(cell: Cell, places: Places) -> None:
    """Writes the configuration that the cell's process reads, where it is not there already."""
    path, text = places.config(cell.name), dump_config(cell.config)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def read_facts(path: Path) -> Facts:
    """Reads what a finished cell says of itself, from its log and its record.

    Args:
        path: Its run folder.

    Raises:
        RunError: It is no run folder.
    """
    run = RunFolder.open(path)
    rows = read_rows(run.log)
    training = run.config.training
    figures = _selected_figures(rows, training.select_by, best=training.select == "best")
    seconds = [float(row["seconds"]) for row in rows if row.get("split") == "train" and row.get("seconds")]
    record = run.record
    return Facts(
        score=selection_score(figures, training.select_by) if figures else math.nan,
        by_task=_first_of_each_task(figures),
        minutes=_number(record.get("minutes")),
        processor_minutes=_number(record.get("processor_minutes")),
        step_seconds=median(seconds) if seconds else math.nan,
        run_hash=str(record.get("run_hash", "")),
    )


def _selected_figures(rows: list[dict[str, str]], tasks: Sequence[str], *, best: bool) -> dict[str, float]:
    """Validation figures of the checkpoint that evaluation uses."""
    chosen: dict[str, float] = {}
    score = -math.inf
    for row in rows:
        if row.get("split") != "val":
            continue
        found = {key.removeprefix(_METRIC): _number(row[key]) for key in row if key.startswith(_METRIC)}
        new = selection_score(found, tasks)
        if not best or not chosen or is_better(new, score):
            chosen, score = found, new if math.isfinite(new) else score
    return chosen


def _first_of_each_task(figures: Mapping[str, float]) -> dict[str, float]:
    first: dict[str, float] = {}
    for name, value in figures.items():
        first.setdefault(name.split("/", 1)[0], value)
    return first


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


class Journal:
    """What became of every cell, kept on the disk after every change.

    Args:
        path: The JSON file; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = _read_entries(path)

    def note(self, name: str, status: str, reason: str = "", peak_memory_mb: float = math.nan) -> None:
        """Notes what became of a cell; of the memory of several calls the largest stays.

        Args:
            name: The cell.
            status: What became of it.
            reason: Why, in one line.
            peak_memory_mb: Measured in this call.
        """
        before = self.entries.get(name, Entry("")).peak_memory_mb
        known = [value for value in (before, peak_memory_mb) if math.isfinite(value)]
        self.entries[name] = Entry(status, reason, max(known, default=math.nan))
        rows = {key: {**asdict(entry), "peak_memory_mb": _plain(entry)} for key, entry in sorted(self.entries.items())}
        write_text(self.path, json.dumps({"format": 1, "cells": rows}, indent=1) + "\n")


def _plain(entry: Entry) -> float | None:
    return entry.peak_memory_mb if math.isfinite(entry.peak_memory_mb) else None


def _read_entries(path: Path) -> dict[str, Entry]:
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return {
            name: Entry(str(row["status"]), str(row["reason"]), _number(row["peak_memory_mb"]))
            for name, row in rows.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "remove it: the cells' own folders say what is done"
        raise OutputError("the journal cannot be read", where=path, found=error, remedy=remedy) from None
