"""Every candidate of an evaluation as a table: what ``medmtl lesions`` scores under any rule, on any part of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medmtl.evaluation import Candidates
from medmtl.files import write_text
from medmtl.reporting.artifacts import slug
from medmtl.reporting.tables import csv_text
from medmtl.tasks import AnyTask

FOLDER = "candidates"
"""Where the tables lie below the results' folder."""

COLUMNS = ("image", "class", "x", "y", "score", "radius")


def write_candidates(folder: Path, tasks: Sequence[AnyTask], records: Mapping[tuple[str, str], Sequence[Any]]) -> None:
    """Writes ``candidates/TASK.csv``, and beside it those of the network before training.

    Points and radii are in original pixels, 0-based pixel centers; no threshold was applied but the task's own.

    Args:
        folder: The results' folder.
        tasks: The tasks; one that finds no candidates has no file.
        records: What evaluation kept, by data set and task.

    Raises:
        OutputError: A file cannot be written.
    """
    for task in tasks:
        frames: dict[str, list[pd.DataFrame]] = {}
        for (_, name), items in records.items():
            for record in items if name == task.name else ():
                for finder, found in task.candidates(record).items():
                    rows = [_rows(record.origin.sample_id, label, one) for label, one in found.items()]
                    frames.setdefault(finder, []).extend(rows)
        for finder, parts in frames.items():
            file = f"{task.name}-{slug(finder)}.csv" if finder else f"{task.name}.csv"
            write_text(folder / FOLDER / file, csv_text(_joined(parts)))


def _rows(image: str, label: str, found: Candidates) -> pd.DataFrame:
    radius = np.full(len(found), np.nan) if found.radius is None else found.radius
    columns = (image, label, found.x, found.y, found.score, radius)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), index=range(len(found)))


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(COLUMNS))
