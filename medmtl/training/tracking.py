"""The metrics log of a run: one CSV with every step once, and TensorBoard beside it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path
from typing import Any

from medmtl.errors import output_error
from medmtl.files import write_text
from medmtl.optim import StepReport

_FIXED = ("step", "epoch", "split", "seconds", "lr", "skipped")


class Tracker:
    """Writes rows of a run; after a resume, rows behind the checkpoint are dropped before going on.

    Args:
        log: The CSV file.
        tensorboard: Folder of the event files; None = no TensorBoard.
        columns: The figures' columns, fixed for the run.
        step: Updates done so far: the log is cut back to them.

    Raises:
        OutputError: The log cannot be written; so do all methods.
    """

    def __init__(self, log: Path, tensorboard: Path | None, columns: tuple[str, ...], *, step: int) -> None:
        self.path = log
        self.columns = (*_FIXED, *columns)
        kept = [row for row in read_rows(log) if int(row["step"]) <= step] if step else []
        write_text(log, ",".join(self.columns) + "\n" + _csv(kept, self.columns))
        with self._said():
            self._stream = log.open("a", encoding="utf-8", newline="")
            self._board = _summary_writer(tensorboard, step)

    def write(self, step: int, epoch: int, split: str, values: Mapping[str, float], **fixed: Any) -> None:
        """Adds one row."""
        row = {"step": step, "epoch": epoch, "split": split, **fixed, **{k: f"{v:.7g}" for k, v in values.items()}}
        with self._said():
            self._stream.write(_csv([row], self.columns))
            self._stream.flush()
            for name, value in values.items() if self._board is not None else ():
                self._board.add_scalar(f"{split}/{name}", value, step)

    def write_step(self, step: int, epoch: int, report: StepReport, rate: float) -> None:
        """Adds the row of one update."""
        fixed = {"seconds": f"{report.seconds:.4f}", "lr": f"{rate:.6g}", "skipped": int(report.skipped)}
        self.write(step, epoch, "train", step_values(report), **fixed)

    def look(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Shows what a probe saw, on TensorBoard; its table is its own."""
        for row in rows if self._board is not None else ():
            name = "/".join(str(row[key]) for key in ("measure", "tasks", "layer", "statistic") if row[key])
            self._board.add_scalar(f"probe/{name}", row["value"], step)

    def sync(self) -> None:
        """Brings the rows to the disk itself: a checkpoint must never be ahead of its log."""
        with self._said():
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Closes the files."""
        with suppress(OSError):  # whatever could not be written was said when it was written
            self._stream.close()
        if self._board is not None:
            with suppress(OSError):
                self._board.close()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(error, self.path) from error


class NoTracker(Tracker):
    """Writes nothing: what the processes that do not write hold."""

    def __init__(self) -> None:
        pass

    def write(self, step: int, epoch: int, split: str, values: Mapping[str, float], **fixed: Any) -> None:
        """Drops the row."""

    def look(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Shows nothing."""

    def sync(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def step_values(report: StepReport) -> dict[str, float]:
    """The figures of one update, by column."""
    values = {f"loss/{task}": value for task, value in report.losses.items()}
    values |= {f"count/{task}": float(value) for task, value in report.counts.items()}
    values |= {f"weight/{task}": value for task, value in report.weights.items()}
    values |= {f"gradient_norm/{task}": value for task, value in report.gradient_norms.items()}
    values |= {f"cosine/{pair}": value for pair, value in report.cosines.items()}
    values |= dict(report.measures)
    if report.norm is not None:
        values["gradient_norm"] = report.norm
    return values


def log_columns(tasks: Sequence[str], metrics: Sequence[str], measures: Sequence[str] = ()) -> tuple[str, ...]:
    """Columns of a run's log.

    Args:
        tasks: The tasks.
        metrics: Names of the validation figures.
        measures: What the balancing method measures beside losses, weights, norms and cosines.
    """
    per_task = [f"{kind}/{task}" for kind in ("loss", "count", "weight", "gradient_norm") for task in tasks]
    pairs = [f"cosine/{first}|{second}" for first, second in combinations(tasks, 2)]
    return (*per_task, *pairs, "gradient_norm", *measures, *(f"metric/{name}" for name in metrics))


def read_rows(log: Path) -> list[dict[str, str]]:
    """The whole rows of a log; a line that a kill cut short is left out."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole))
    return [row for row in rows if (row.get("step") or "").isdigit() and None not in row.values()]


def _csv(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writerows(rows)
    return stream.getvalue()


def _summary_writer(folder: Path | None, step: int) -> Any:
    if folder is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
