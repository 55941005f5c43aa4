"""The looks at the tasks' gradients during a run: when they are due, and the table that they go to."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medmtl.errors import output_error
from medmtl.files import write_text
from medmtl.optim import Method, Probe, Problem, Services, StepReport, Window

COLUMNS = ("step", "measure", "tasks", "layer", "statistic", "value")


class ProbeLog:
    """A probe and its table, ``probe.csv``: one number a row.

    Args:
        probe: The probe; with interval 0 nothing is ever written.
        path: The table; None = another process writes it.
    """

    def __init__(self, probe: Probe, path: Path | None) -> None:
        self.probe = probe
        self.path = path

    def start(self, step: int) -> None:
        """Cuts the table back to what was measured before update ``step``."""
        if self.path is not None and self.probe.interval:
            kept = [row for row in read_probe(self.path) if int(row["step"]) < step] if step else []
            write_text(self.path, ",".join(COLUMNS) + "\n" + _csv(kept))

    def look(self, step: int, problem: Problem, window: Window, services: Services) -> Sequence[Mapping[str, Any]]:
        """Looks before update ``step`` if that is due, and writes what was seen.

        Raises:
            OutputError: The table cannot be written.
        """
        return self._written(self.probe.look(step, problem, window, services))

    def settle(self, method: Method, report: StepReport) -> Sequence[Mapping[str, Any]]:
        """Shares out the update that was looked at, if it was, and writes the shares.

        Raises:
            OutputError: The table cannot be written.
        """
        return self._written(self.probe.settle(method, report))

    def state_dict(self) -> dict[str, Any]:
        """The accumulated updates."""
        return {"probe": self.probe.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a saved state up again."""
        self.probe.load_state_dict(state["probe"])

    def _written(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        if self.path is not None and rows:
            try:
                with self.path.open("a", encoding="utf-8", newline="") as stream:
                    stream.write(_csv(rows))
            except OSError as error:
                raise output_error(error, self.path) from error
        return rows


def read_probe(path: Path) -> list[dict[str, str]]:
    """The whole rows of a probe's table; none where there is no table."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    return [row for row in rows if (row.get("step") or "").isdigit() and None not in row.values()]


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writerows(rows)
    return stream.getvalue()
