"""The manifest: one table, one row a sample, typed and validated; empty means unknown, and absent is never zero."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmtl.data.columns import Column, parse_columns
from medmtl.data.problems import Problem, manifest_error
from medmtl.data.rows import SPLITS, RowReader
from medmtl.data.samples import ABSENT, MaskReference, Sample
from medmtl.data.table import Table, cell_text, read_table
from medmtl.errors import ConfigError, OutputError, suggestion
from medmtl.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SPLITS",
    "Manifest",
    "MaskReference",
    "Problem",
    "Sample",
    "find_duplicates",
    "find_leaks",
    "write_manifest",
]


@dataclass(frozen=True)
class Manifest:
    """A manifest as read.

    Attributes:
        path: The file.
        columns: Its columns, in order.
        samples: Its samples, in order.
        content_hash: SHA-256 of the canonical table: the same for CSV and Parquet, any line ends, any order of
            columns.
        problems: What is wrong with a manifest that was read with ``strict=False``.
    """

    path: Path
    columns: tuple[Column, ...]
    samples: tuple[Sample, ...]
    content_hash: str
    problems: tuple[Problem, ...] = ()

    @classmethod
    def read(cls, path: str | Path, *, strict: bool = True) -> Manifest:
        """Reads and validates a CSV or Parquet manifest; files that it names are not opened.

        Args:
            path: The manifest.
            strict: Also refuse duplicate ids and leaks between splits; otherwise they stand in ``problems``.

        Raises:
            ManifestError: The table cannot be read or says something impossible; the line names the first problem in
                full and up to four more.
        """
        path = Path(path)
        table = read_table(path)
        columns, problems = parse_columns(table.columns)
        if not problems and not table.rows:
            problems = [Problem("the manifest has no samples", remedy="add one row for each image")]
        if problems:
            raise manifest_error(path, problems)
        reader = RowReader(path, columns)
        samples = [sample for row, cells in table.rows if (sample := reader.read(row, cells)) is not None]
        doubtful = find_duplicates(samples) + find_leaks(samples)
        if reader.problems or (strict and doubtful):
            raise manifest_error(path, sorted(reader.problems + doubtful * strict, key=lambda p: p.row or 0))
        return cls(path, tuple(columns), tuple(samples), _content_hash(table), tuple(doubtful))

    def select(self, split: str | None) -> tuple[Sample, ...]:
        """Returns the samples of a split, or all where it is ``None``.

        Raises:
            ConfigError: There is no such split.
        """
        if split is None:
            return self.samples
        if split not in SPLITS:
            raise ConfigError("unknown split", found=f"'{split}'", remedy=suggestion(split, SPLITS))
        return tuple(sample for sample in self.samples if sample.split == split)

    def tasks(self, kind: str) -> tuple[str, ...]:
        """Returns the names of the task columns of a kind (``label``, ``labels`` or ``mask``), each once, in order."""
        return tuple(dict.fromkeys(column.name for column in self.columns if column.kind == kind))

    def members(self, kind: str, name: str) -> tuple[str, ...]:
        """Returns the classes of a task told by class: dotted columns in order, or the sorted members of its sets."""
        dotted = [c.member for c in self.columns if c.kind == kind and c.name == name and c.member is not None]
        if dotted or kind != "labels":
            return tuple(dotted)
        keys = {key for sample in self.samples for key in sample.labels if key.startswith(f"{name}.")}
        return tuple(sorted(key.removeprefix(f"{name}.") for key in keys))


def _content_hash(table: Table) -> str:
    order = sorted(range(len(table.columns)), key=lambda i: table.columns[i])
    canonical = [[table.columns[i] for i in order], *([cells[i] for i in order] for _, cells in table.rows)]
    text = json.dumps(canonical, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _grouped(samples: Sequence[Sample], key: Callable[[Sample], Hashable]) -> list[list[Sample]]:
    groups: dict[Hashable, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[key(sample)].append(sample)
    return list(groups.values())


def _lines(group: Sequence[Sample]) -> str:
    rows = [str(sample.row) for sample in group]
    return ", ".join(rows[:6]) + (", …" if len(rows) > 6 else "")


def find_duplicates(samples: Sequence[Sample]) -> list[Problem]:
    """Finds ids that are given twice in one data set."""
    remedy = "give each sample its own id (a column 'id'; without it the image's file name is taken)"
    return [
        Problem("the same id twice", group[1].row, f"'{group[0].id}' on lines {_lines(group)}", remedy)
        for group in _grouped(samples, lambda sample: (sample.dataset, sample.id))
        if len(group) > 1
    ]


def find_leaks(samples: Sequence[Sample]) -> list[Problem]:
    """Finds patients and image files that stand in two splits; also over several manifests.

    Args:
        samples: The samples; those without a split leak nowhere.

    Returns:
        A problem for each patient and each image in more than one split.
    """
    placed = [sample for sample in samples if sample.split is not None]
    images = _grouped(placed, lambda sample: os.path.normpath(sample.image))
    people = _grouped(placed, lambda sample: sample.person)
    leaks = _across(images, "the same image in two splits", lambda sample: sample.image.name, "keep one of the rows")
    remedy = "keep all images of a person (both eyes) in one split"
    return leaks + _across(people, "a patient in two splits", lambda sample: sample.patient, remedy)


def _across(groups: Sequence[Sequence[Sample]], what: str, name: Callable[[Sample], str], remedy: str) -> list[Problem]:
    problems = []
    for group in groups:
        splits = sorted({str(sample.split) for sample in group})
        if len(splits) > 1:
            other = next(sample for sample in group if sample.split != group[0].split)
            found = f"'{name(group[0])}' in {' and '.join(splits)} on lines {_lines(group)}"
            problems.append(Problem(what, other.row, found, remedy))
    return problems


_OTHER_TABLES = frozenset({".xlsx", ".xls", ".ods", ".json", ".feather", ".arrow"})


def write_manifest(frame: pd.DataFrame, path: str | Path) -> None:
    """Writes a table as a manifest (CSV, or Parquet by its suffix), whole or not at all.

    Args:
        frame: The columns of a manifest. Absolute paths (``image``, ``fov``, ``mask:*``, with or without fragment)
            become relative to the manifest; relative ones are taken to be so already. Missing values become empty.
        path: The file to write.

    Raises:
        OutputError: It cannot be written, or is named as another kind of table.
        ManifestError: A column is not one of a manifest.
    """
    import pandas as pd

    path = Path(path)
    if path.suffix.lower() in _OTHER_TABLES:  # CSV under such a name would open nowhere
        raise OutputError("a manifest is CSV or Parquet", where=path, remedy="name it .csv or .parquet")
    columns, problems = parse_columns([str(name) for name in frame.columns])
    if problems:
        raise manifest_error(path, problems)
    folder = path.parent.resolve()
    cells = {
        column.header: [_cell(value, column, folder, missing=bool(pd.isna(value))) for value in frame[column.header]]
        for column in columns
    }
    text = pd.DataFrame(cells, columns=[column.header for column in columns], dtype=str)
    with atomic_write(path) as temporary:
        if path.suffix.lower() in {".parquet", ".pq"}:
            text.to_parquet(temporary, index=False)
        else:
            text.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def _cell(value: Any, column: Column, folder: Path, *, missing: bool) -> str:
    text = "" if missing else cell_text(value)
    if not text or text == ABSENT or (column.kind != "mask" and column.header not in {"image", "fov"}):
        return text
    name, mark, fragment = text.rpartition("#") if column.kind == "mask" and "#" in text else (text, "", "")
    if Path(name).is_absolute():
        name = Path(os.path.relpath(Path(name), folder)).as_posix()
    return f"{name}{mark}{fragment}"
