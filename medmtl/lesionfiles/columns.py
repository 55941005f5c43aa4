"""Tables of candidates and lesions by column: texts and numbers with the place of each row, faults gathered first."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np

from medmtl.data.samples import MaskReference
from medmtl.data.table import cell_text, decode_text, read_bytes, read_table
from medmtl.errors import ManifestError, suggestion
from medmtl.evaluation.intervals import BoolArray, FloatArray

_SHOWN = 3
_NEAR = 0.75
"""How alike a column is to one that is asked for if it is taken for a misspelling: 0.83 ``raduis``, 0.6 ``reader`` to ``area``."""
_YES, _NO = {"1", "1.0", "true"}, {"", "0", "0.0", "false"}


@dataclass(frozen=True)
class Columns:
    """A table by column.

    Attributes:
        path: The file.
        unit: What a row is called in messages: ``line`` of a CSV file, ``row`` or ``record`` elsewhere.
        places: Number of each row, as an editor shows it.
        cells: Stripped texts by column; empty = nothing there.
        extra: What stands beside the records in a JSON object.
    """

    path: Path
    unit: str
    places: tuple[int, ...]
    cells: Mapping[str, tuple[str, ...]]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def place(self, row: int) -> str:
        """File and row, for messages."""
        return f"{self.path}, {self.unit} {self.places[row]}"

    def take(self, rows: Sequence[int]) -> Columns:
        """Some of the rows; they keep their places in the file."""
        cells = {name: tuple(column[row] for row in rows) for name, column in self.cells.items()}
        return replace(self, places=tuple(self.places[row] for row in rows), cells=cells)

    def column(self, name: str) -> tuple[str, ...]:
        """Texts of a column; empty texts where there is no such column."""
        return self.cells.get(name, ("",) * len(self))

    def require(self, names: Sequence[str], what: str) -> None:
        """Refuses a table without some columns.

        Raises:
            ManifestError: With the columns that are there, and the nearest one.
        """
        missing = [name for name in names if name not in self.cells]
        if missing:
            near = suggestion(missing[0], self.cells)
            hint = f"{near} " if near.startswith("did you mean") else ""
            raise ManifestError(
                f"no column '{missing[0]}'",
                where=self.path,
                found=", ".join(self.cells) or "no columns",
                remedy=f"{hint}{what} need the columns {', '.join(names)}",
            )

    def filled(self, name: str, what: str) -> tuple[str, ...]:
        """Texts of a column whose cells must not be empty.

        Raises:
            ManifestError: A cell is empty.
        """
        texts = self.column(name)
        self.refuse([row for row, text in enumerate(texts) if not text], name, "is empty", what)
        return texts

    def numbers(
        self, name: str, *, least: float = -inf, above: float = -inf, far: float = inf, optional: bool = False
    ) -> FloatArray:
        """Finite numbers of a column.

        Args:
            name: The column.
            least: Smallest number allowed.
            above: Numbers must lie above it.
            far: Pixels beyond which no image reaches, on either side of 0.
            optional: An empty cell gives NaN.

        Raises:
            ManifestError: A cell is empty, no number, not finite, or out of range.
        """
        texts = self.column(name)
        values = np.array([_number(text) for text in texts], dtype=np.float64).reshape(-1)
        blank = np.array([not text for text in texts], dtype=bool).reshape(-1)
        wrong = ~(np.isfinite(values) & (values >= least) & (values > above)) & ~(blank & optional)
        bound = f" of at least {least:g}" if isfinite(least) else f" above {above:g}" if isfinite(above) else ""
        rows = np.flatnonzero(wrong).tolist()
        self.refuse(rows, name, f"does not hold a finite number{bound}", "write a number with a decimal point")
        beyond = np.flatnonzero(np.abs(values) > far).tolist()
        self.refuse(beyond, name, f"lies beyond {far:.0f} pixels, where no image reaches", "give original pixels")
        return values

    def flags(self, name: str, meaning: str) -> BoolArray:
        """Yes or no of a column, shape (rows,); no where a cell is empty or there is no such column.

        Args:
            name: The column.
            meaning: What yes means, for messages.

        Raises:
            ManifestError: A cell is neither.
        """
        texts = [text.lower() for text in self.column(name)]
        wrong = [row for row, text in enumerate(texts) if text not in _YES | _NO]
        self.refuse(wrong, name, "is neither 1 nor 0", f"write 1 for {meaning}, otherwise 0 or nothing")
        return np.array([text in _YES for text in texts], dtype=bool)

    def mask(self, name: str, row: int) -> MaskReference | None:
        """The mask of a cell, relative to the table; None where the cell is empty or there is no such column.

        Raises:
            ManifestError: The cell tells of none.
        """
        text = self.column(name)[row]
        try:
            return MaskReference.parse(text, self.path.parent) if text else None
        except ValueError:
            remedy = "write PATH, PATH#=N or PATH#>=N"
            raise ManifestError("not a mask", where=self.place(row), found=f"'{text}'", remedy=remedy) from None

    def unread(self, read: Collection[str], wanted: Iterable[str]) -> tuple[str, ...]:
        """A note on the columns that are not read; none where there are none.

        Args:
            read: Columns that are read, or are known to say nothing here.
            wanted: Those that a column may not be nearly: it is probably one of them, misspelt.

        Raises:
            ManifestError: A column is nearly one of those, which is not there itself.
        """
        others = [name for name in self.cells if name not in read]
        for name in others:
            near = get_close_matches(name.lower(), list(wanted), n=1, cutoff=_NEAR)
            if near and near[0] not in self.cells:
                remedy = f"did you mean '{near[0]}'?"
                raise ManifestError("unknown column", where=self.path, found=f"'{name}'", remedy=remedy)
        return (f"columns of {self.path.name} that are not read: {', '.join(others)}",) if others else ()

    def refuse(self, rows: Sequence[int], name: str, what: str, remedy: str) -> None:
        """Raises for the first of some rows, and says how many there are.

        Raises:
            ManifestError: There is any row.
        """
        if not rows:
            return
        more = [str(self.places[row]) for row in rows[1 : 1 + _SHOWN]]
        others = f" [also {self.unit} {', '.join(more)}{' ...' if len(rows) > _SHOWN + 1 else ''}]" if more else ""
        text = self.column(name)[rows[0]]
        raise ManifestError(
            f"column '{name}' {what}", where=self.place(rows[0]), found=f"'{text}'", remedy=f"{remedy}{others}"
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


def read_columns(path: Path, what: str, keys: Sequence[str] = ()) -> Columns:
    """Reads a CSV, Parquet or JSON table.

    Args:
        path: The file; by its suffix JSON, otherwise Parquet or CSV by content.
        what: What the table is, for messages.
        keys: Names under which a JSON object may hold its list of records.

    Raises:
        ManifestError: It cannot be read, is no such table, or names a column twice.
    """
    if path.suffix.lower() == ".json":
        return _from_json(path, read_json(path, what), what, keys)
    table = read_table(path, what)
    twice = next((name for name in table.columns if table.columns.count(name) > 1), None)
    if twice is not None:
        raise ManifestError("the same column twice", where=path, found=f"'{twice}'", remedy="remove or rename one")
    rows = [cells for _, cells in table.rows]
    cells = {name: tuple(row[index] for row in rows) for index, name in enumerate(table.columns)}
    unit = "row" if path.suffix.lower() in {".parquet", ".pq"} else "line"
    return Columns(path, unit, tuple(place for place, _ in table.rows), cells)


def read_json(path: Path, what: str) -> Any:
    """Reads a JSON file.

    Raises:
        ManifestError: It cannot be read or is no JSON.
    """
    text = decode_text(path, read_bytes(path, what))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"the {what} is not valid JSON", where=path, found=error, remedy="write it again") from None


def _from_json(path: Path, content: Any, what: str, keys: Sequence[str]) -> Columns:
    extra = {} if isinstance(content, list) else content
    key = next((key for key in keys if isinstance(extra, dict) and key in extra), None)
    records = content if isinstance(content, list) else extra.get(key) if isinstance(extra, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        names = " or ".join(f'"{name}"' for name in keys)
        remedy = f"give a list of records, or an object with such a list under {names}"
        raise ManifestError(f"the {what} holds no list of records", where=path, found=_kind(content), remedy=remedy)
    header = dict.fromkeys(str(name) for record in records for name in record)
    cells = {name: tuple(_text(record.get(name)) for record in records) for name in header}
    if not records and isinstance(extra, dict):
        named = extra.get("columns", [])
        if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
            raise ManifestError(
                '"columns" names no columns', where=path, found=_kind(named), remedy="give a list of names"
            )
        cells = dict.fromkeys(named, ())
    return Columns(path, "record", tuple(range(1, len(records) + 1)), cells, extra)


def _text(value: Any) -> str:
    # Python reads NaN and Infinity in JSON as numbers, and as such they are refused where a number is asked for.
    return repr(value) if isinstance(value, float) and not isfinite(value) else cell_text(value)


def _kind(content: Any) -> str:
    if isinstance(content, dict):
        return f"an object with {', '.join(map(str, list(content)[:6])) or 'nothing'}"
    return f"a {type(content).__name__}"
