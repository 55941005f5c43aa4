"""Tables of text from CSV and Parquet files, with the line of each row, and back."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmtl.data.problems import Problem, manifest_error
from medmtl.errors import ManifestError

_BOMS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_SAVE_AS = "save the table as CSV in UTF-8"


@dataclass(frozen=True)
class Table:
    """A table of text: stripped headers, and for each row its line and its stripped cells (empty = nothing there)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_table(path: Path, what: str = "manifest") -> Table:
    """Reads a CSV (UTF-8, with or without byte order mark, any line ends) or a Parquet file.

    Args:
        path: The file; ``.parquet`` and ``.pq`` are read as Parquet, anything else as CSV.
        what: What the table is, as its errors call it.

    Raises:
        ManifestError: The file is missing, empty, in another encoding, no table, or has rows of another length.
    """
    data = read_bytes(path, what)
    if data.startswith(b"PAR1") or path.suffix.lower() in {".parquet", ".pq"}:
        return _parse_parquet(path, data)
    return _parse_csv(path, decode_text(path, data), what)


def cell_text(value: Any) -> str:
    """Returns a cell as text: nothing for a missing value, ``2`` for 2.0, ``1`` for True."""
    if value is None:
        return ""
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def read_bytes(path: Path, what: str = "manifest") -> bytes:
    """Reads a file that holds a table.

    Raises:
        ManifestError: The file is missing, a folder, not readable or empty.
    """
    try:
        if path.is_block_device() or path.is_char_device():
            what, remedy = f"a {what} is a file, not a device", "name the CSV file"
            raise ManifestError(what, where=path, remedy=remedy)
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestError(f"the {what} does not exist", where=path, remedy="check the path") from error
    except IsADirectoryError as error:
        raise ManifestError(f"a {what} is a file, not a folder", where=path, remedy="name the CSV file") from error
    except OSError as error:
        remedy = "check the path and its permissions"
        raise ManifestError(f"the {what} cannot be read", where=path, found=error.strerror, remedy=remedy) from error
    if not data.strip():
        raise ManifestError(f"the {what} is empty", where=path, remedy="it needs a header with a column 'image'")
    return data


def _line_of(data: bytes, position: int) -> int:
    before = data[:position].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1


def decode_text(path: Path, data: bytes) -> str:
    """Decodes UTF-8, with or without byte order mark.

    Raises:
        ManifestError: It is another encoding; with the line.
    """
    for mark, name in _BOMS.items():
        if data.startswith(mark):
            raise ManifestError("the encoding is not UTF-8", where=f"{path}, line 1", found=name, remedy=_SAVE_AS)
    if (position := data.find(b"\0")) >= 0:
        where = f"{path}, line {_line_of(data, position)}"
        raise ManifestError("not a text file", where=where, found="a NUL byte", remedy=_SAVE_AS)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{path}, line {_line_of(data, error.start)}"
        found = f"byte 0x{data[error.start]:02X}, probably Windows-1252 or Latin-1"
        raise ManifestError("the encoding is not UTF-8", where=where, found=found, remedy=_SAVE_AS) from error


def _csv_records(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Returns records with the line on which each starts (a quoted cell may span lines); blank lines are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records, start = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                records.append((start, [cell.strip() for cell in cells]))
            start = reader.line_num + 1
    except csv.Error as error:
        remedy = "check the quotation marks"
        raise ManifestError("not a valid CSV row", where=f"{path}, line {start}", found=error, remedy=remedy) from error
    return records


def _parse_csv(path: Path, text: str, what: str) -> Table:
    records = _csv_records(path, text)
    if not records:
        raise ManifestError(f"the {what} is empty", where=path, remedy="it needs a header with a column 'image'")
    (_, header), rows = records[0], records[1:]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        remedy = "save the table with commas between the columns"
        raise ManifestError("columns are not separated by commas", where=path, found=f"'{header[0]}'", remedy=remedy)
    ragged = [
        Problem("the row has another number of cells than the header", line, f"{len(cells)} instead of {len(header)}",
                "quote cells that hold a comma")
        for line, cells in rows
        if len(cells) != len(header)
    ]  # fmt: skip
    if ragged:
        raise manifest_error(path, ragged)
    return Table(tuple(header), tuple((line, tuple(cells)) for line, cells in rows))


def _parse_parquet(path: Path, data: bytes) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
        columns = [[cell_text(value) for value in column.to_pylist()] for column in table.columns]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        remedy = "write the file again, or use CSV"
        raise ManifestError(
            "not a readable Parquet file", where=path, found=_first_line(error), remedy=remedy
        ) from None
    names = tuple(name.strip() for name in table.column_names)
    rows = tuple((number, cells) for number, cells in enumerate(zip(*columns, strict=True), start=1))
    return Table(names, rows)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
