"""Reading the label tables that come with data sets, and counting in the ones made here."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import pandas as pd

from medmtl.data.sources.base import Check
from medmtl.errors import ManifestError


def read_table(path: Path) -> pd.DataFrame:
    """Reads a table of labels as text, forgiving blanks, empty rows and columns, and ``;`` or tabs for ``,``.

    Args:
        path: A CSV file, UTF-8 (with or without BOM) or Latin-1.

    Returns:
        The table; cells are stripped text, an empty one is ``""``; the index is the line in the file.

    Raises:
        ManifestError: There is no such file, or it is no table.
    """
    try:
        text = _decoded(path)
        separator = max(",;\t", key=text.partition("\n")[0].count)
        frame = _parsed(text, separator)
    except FileNotFoundError as error:
        remedy = "check the name: it is relative to the data set's folder, or to where you are"
        raise ManifestError("no such table of labels", where=path, remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise ManifestError("not a table of labels", where=path, found=error, remedy="expected a CSV file") from error
    if frame.empty:
        raise ManifestError("the table of labels has no row", where=path, remedy="add one row for each image")
    return frame


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if b"\0" in content:
        raise ValueError("bytes that are not text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _parsed(text: str, separator: str) -> pd.DataFrame:
    header = [cell.strip() for cell in next(csv.reader(StringIO(text), delimiter=separator), [])]
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:  # pandas would rename the second
        raise ValueError(f"the column '{twice}' stands twice")
    frame = pd.read_csv(StringIO(text), sep=separator, dtype=str, keep_default_na=False, skip_blank_lines=False)
    if not isinstance(frame.index, pd.RangeIndex):  # pandas would take the first column for names of rows
        raise ValueError("rows with more cells than the header")  # noqa: TRY004
    frame = frame.fillna("").apply(lambda cells: cells.str.strip())
    frame.columns = [str(name).strip() for name in frame.columns]
    frame.index = frame.index + 2
    named = [bool(name) and not name.startswith("Unnamed:") for name in frame.columns]
    filled: pd.DataFrame = frame.loc[(frame != "").any(axis=1), named]
    return filled


def resolve_table(name: str, root: Path) -> Path:
    """Returns the table that an option names: relative to the data set's folder, else to the current one."""
    inside = root / Path(name).expanduser()
    return inside if inside.exists() else Path(name).expanduser().absolute()


def find_column(frame: pd.DataFrame, names: tuple[str, ...], path: Path) -> str:
    """Returns the first of the names that is a column, whatever the case.

    Raises:
        ManifestError: None of them is.
    """
    present = {str(column).casefold(): str(column) for column in frame.columns}
    for name in names:
        if name.casefold() in present:
            return present[name.casefold()]
    wanted = " or ".join(f"'{name}'" for name in names)
    found, remedy = f"columns {', '.join(map(str, frame.columns))}", "check the names of the columns"
    raise ManifestError(f"no column {wanted}", where=path, found=found, remedy=remedy)


def count(frame: pd.DataFrame, column: str, value: object, **where: str) -> int:
    """Counts the rows whose cell equals a value, by number where both are numbers.

    Args:
        frame: A table as made here, or as read back from its file.
        column: The column; none such counts as zero.
        value: The value.
        **where: Further columns and the text they must hold.
    """
    if column not in frame:
        return 0
    chosen = frame
    for name, wanted in where.items():
        chosen = chosen[chosen[name].astype(str) == wanted] if name in chosen else chosen.iloc[:0]
    cells = chosen[column]
    if isinstance(value, int):
        return int((pd.to_numeric(cells, errors="coerce") == value).sum())
    return int((cells.astype(str) == str(value)).sum())


def compare(name: str, expected: int, found: int, known: Mapping[int, str] | None = None) -> Check:
    """Sets a published number beside the one found.

    Args:
        name: What is counted.
        expected: The published number.
        found: The number found.
        known: Other numbers that are accepted, each with the reason.
    """
    reason = (known or {}).get(found, "")
    ok = found == expected or bool(reason)
    note = "" if found == expected else reason or "the copy is incomplete, or rows were taken out"
    return Check(name=name, expected=str(expected), found=str(found), ok=ok, note=note)
