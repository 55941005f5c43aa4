"""What is looked at in a table of candidates as a whole, before any image."""

from __future__ import annotations

import numpy as np

from medmtl.errors import ManifestError
from medmtl.evaluation.intervals import FloatArray
from medmtl.explanation.candidates import COORDINATES
from medmtl.lesionfiles.columns import Columns


def without_copies(table: Columns) -> tuple[Columns, tuple[str, ...]]:
    """What ``medmtl lesions`` wrote holds each candidate once a rule: the rows of one rule are all candidates.

    Args:
        table: As read.

    Returns:
        The rows that are candidates, and a note where some are left.

    Raises:
        ManifestError: A row of such a table names no rule.
    """
    if not {"rule", "outcome"} <= set(table.cells) or not len(table):
        return table, ()
    rules = table.filled("rule", "this is a table of outcomes, which names the rule in every row")
    if len(set(rules)) == 1:
        return table, ()
    kept = [row for row, rule in enumerate(rules) if rule == rules[0]]
    note = f"{table.path.name} holds each candidate once for each of {len(set(rules))} rules: those of {rules[0]} were read"
    return table.take(kept), (note,)


def check_regions(table: Columns, radius: FloatArray) -> None:
    """Refuses a table in which some candidates have a region and others have none: no rule can treat both alike.

    Args:
        table: As read.
        radius: NaN where none is told, shape (rows,).

    Raises:
        ManifestError: With the rows.
    """
    bare = [not mask and not np.isfinite(size) for mask, size in zip(table.column("mask"), radius, strict=True)]
    if not all(bare):
        name = "radius" if "radius" in table.cells else "mask"
        rows = [row for row, empty in enumerate(bare) if empty]
        table.refuse(
            rows, name, "is empty, and other rows have a region", "give a radius or a mask in every row, or in none"
        )


def check_coordinates(table: Columns) -> None:
    """Refuses a table that says that its coordinates are others than ours.

    Args:
        table: As read.

    Raises:
        ManifestError: With what it says.
    """
    wrong = [row for row, text in enumerate(table.column("coordinates")) if text not in ("", COORDINATES)]
    table.refuse(wrong, "coordinates", "tells of other coordinates", f"give {COORDINATES}")
    told = table.extra.get("coordinates", COORDINATES)
    if told != COORDINATES:
        remedy = f"give {COORDINATES}"
        raise ManifestError("other coordinates", where=table.path, found=f"'{told}'", remedy=remedy)
