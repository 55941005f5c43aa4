"""The metrics log of a run: one CSV with every step once, and TensorBoard beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """

    def __init__(self, log: Path, tensorboard: Path | None, columns: tuple[str, ...], *, step: int) -> None:
        self.columns = (*_FIXED, *columns)
        kept = [row for row in read_rows(log) if int(row["step"]) <= step] if step else []
    
        write_text(log, ",".join(self.columns) + "\n" + _csv(kept, self.columns))
        self._stream = log.open("a", encoding="utf-8", newline="")
        self._board = _summary_writer(tensorboard, step)

    def write(self, step: int, epoch: int, split: str, values: Mapping[str, float], **fixed: Any) -> None:
        """Adds one row."""
        row = {"step": step, "epoch": epoch, "split": split, **fixed, **{k: f"{v:.7g}" for k, v in values.items()}}
        self._stream.write(_csv([row], self.columns))
        self._stream.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Closes the files."""
        self._stream.close()
        if self._board is not None:
            self._board.close()


def step_values(report: StepReport) -> dict[str, float]:
    """The figures of one update, by column."""
    values = {f"loss/{task}": value for task, value in report.losses.items()}
    values |= {f"count/{task}": float(value) for task, value in report.counts.items()}
    values |= {f"weight/{task}": value for task, value in report.weights.items()}
    if report.norm is not None:
        values["gradient_norm"] = report.norm
    return values


def read_rows(log: Path) -> list[dict[str, str]]:
    """The whole rows of a log; a line that a kill cut short is left out."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.DictReader(io.StringIO(whole)) if row.get("step", "").isdigit() and None not in row.values()]


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
