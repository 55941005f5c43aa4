"""What a run's evaluations measured at the thresholds of its heat maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from medmtl.errors import EvaluationError
from medmtl.evaluation import EvaluationResult
from medmtl.reporting.artifacts import METRICS_FILE
from medmtl.run import RunFolder


def evaluations_of(run: RunFolder, more: Sequence[Path] = ()) -> list[EvaluationResult]:
    """The results of evaluations of this run as it is trained now.

    Args:
        run: The run: what lies in its folder ``evaluation`` is read.
        more: Further evaluation folders, or their ``metrics.json``.

    Raises:
        EvaluationError: A file is missing, damaged, or, of ``more``, of another run.
    """
    digest = run.record.get("run_hash", "")
    own = [result for path in sorted((run.path / "evaluation").glob(f"*/{METRICS_FILE}")) for result in _read(path)]
    found = [result for result in own if result.run_hash == digest]
    for place in more:
        path = place / METRICS_FILE if place.is_dir() else place
        for result in _read(path):
            if result.run_hash != digest:
                told = f"{result.run} {result.run_hash}"
                raise EvaluationError("an evaluation of another run", where=path, found=told, remedy="leave it out")
            found.append(result)
    return found


def _read(path: Path) -> list[EvaluationResult]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "evaluate the run again, or remove the folder"
        raise EvaluationError("the evaluation cannot be read", where=path, found=error, remedy=remedy) from None
    return [EvaluationResult.from_dict(row) for row in rows]
