"""One CSV a task with a row a sample: what comparisons between runs on the same samples are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medmtl.files import write_text
from medmtl.reporting.tables import csv_text
from medmtl.tasks import AnyTask, Settings

FOLDER = "samples"
"""Where the tables lie below the results' folder."""


def write_samples(
    folder: Path,
    tasks: Sequence[AnyTask],
    records: Mapping[tuple[str, str], Sequence[Any]],
    settings: Mapping[str, Settings],
) -> None:
    """Writes ``samples/TASK.csv``: data set, sample, patient, and the task's figures of the sample.

    Args:
        folder: The results' folder.
        tasks: The tasks; one that keeps no figures of single samples has no file.
        records: What evaluation kept, by data set and task.
        settings: How figures are computed, by task.

    Raises:
        OutputError: A file cannot be written.
    """
    for task in tasks:
        rows = [
            {"dataset": dataset, "sample": record.origin.sample_id, "patient": record.origin.patient, **figures}
            for (dataset, name), items in records.items()
            if name == task.name
            for record in items
            if (figures := task.sample_row(record, settings[task.name]))
        ]
        if rows:
            write_text(folder / FOLDER / f"{task.name}.csv", csv_text(pd.DataFrame(rows)))
