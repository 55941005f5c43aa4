"""A table of what is known of eyes: side, disc and fovea, a row an image."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, cast

from medmtl.data.table import read_table
from medmtl.errors import ConfigError, suggestion
from medmtl.explanation.anatomy import Anatomy, Point

COLUMNS = ("image", "laterality", "disc_x", "disc_y", "disc_diameter", "fovea_x", "fovea_y")
_SIDES = {"l": "L", "left": "L", "os": "L", "r": "R", "right": "R", "od": "R"}


def read_anatomy(path: Path) -> dict[str, Anatomy]:
    """Reads a CSV or Parquet table of anatomy; an empty cell is not known.

    Args:
        path: The file, with the column ``image`` (a file's name, with or without folder and suffix) and any of
            ``laterality`` (L or R), ``disc_x``, ``disc_y``, ``disc_diameter``, ``fovea_x``, ``fovea_y``: original
            pixels, 0-based pixel centers.

    Returns:
        By name of the image without folder and suffix.

    Raises:
        ManifestError: The file is no table.
        ConfigError: A column or a cell is not one of these, or an image stands twice; with the line.
    """
    table = read_table(path, "table of eyes")
    for name in table.columns:
        if name not in COLUMNS:
            remedy = suggestion(name, COLUMNS)
            raise ConfigError("unknown column", where=path, found=f"'{name}'", remedy=remedy)
    if "image" not in table.columns:
        raise ConfigError("no column 'image'", where=path, found=", ".join(table.columns), remedy="name the images")
    found: dict[str, Anatomy] = {}
    for line, cells in table.rows:
        row = dict(zip(table.columns, cells, strict=True))
        where = f"{path}, line {line}"
        name = Path(row["image"].replace("\\", "/")).stem
        if not name or name in found:
            what = "the image stands twice" if name else "the image cell is empty"
            raise ConfigError(what, where=where, found=name or None, remedy="give each image one row")
        found[name] = _anatomy(row, where, path.name)
    return found


def _anatomy(row: dict[str, str], where: str, name: str) -> Anatomy:
    side = _side(row.get("laterality", ""), where)
    diameter = _number(row, "disc_diameter", where)
    if diameter is not None and diameter <= 0:
        remedy = "write pixels, or leave the cell empty"
        raise ConfigError(
            "a disc's diameter is above 0", where=f"{where}, disc_diameter", found=diameter, remedy=remedy
        )
    return Anatomy(side, _point(row, "disc", where), diameter, _point(row, "fovea", where), origin=name)


def _side(cell: str, where: str) -> Literal["L", "R"] | None:
    if not cell:
        return None
    if cell.lower() not in _SIDES:
        raise ConfigError("unknown laterality", where=where, found=f"'{cell}'", remedy="write L or R")
    return cast(Literal["L", "R"], _SIDES[cell.lower()])


def _point(row: dict[str, str], name: str, where: str) -> Point | None:
    x, y = (_number(row, f"{name}_{axis}", where) for axis in "xy")
    if (x is None) != (y is None):
        remedy = f"give both {name}_x and {name}_y, or neither"
        raise ConfigError(f"the {name} has one coordinate", where=where, remedy=remedy)
    return None if x is None or y is None else (x, y)


def _number(row: dict[str, str], column: str, where: str) -> float | None:
    cell = row.get(column, "")
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError("not a number", where=f"{where}, {column}", found=f"'{cell}'", remedy="write pixels")
    return value
