"""What the page of a comparison is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medmtl.comparison.collecting import Results
from medmtl.comparison.planning import Plan
from medmtl.comparison.selection import Choice
from medmtl.comparison.summarizing import Row


@dataclass(frozen=True)
class Missing:
    """A cell that has no result, and why."""

    cell: str
    reason: str


@dataclass(frozen=True)
class Tried:
    """A candidate that was compared on validation.

    Attributes:
        row: Its row.
        series: What it belongs to.
        rate: Its learning rate.
        score: Validation score.
        by_task: The score's parts.
    """

    row: str
    series: str
    rate: float
    score: float
    by_task: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Content:
    """All that the page tells.

    Attributes:
        plan: The comparison.
        results: What the evaluated cells say.
        rows: The rows of the table.
        choices: What was chosen, by series.
        tried: The candidates on validation.
        missing: Failed and missing cells.
        cells: Number of evaluated cells.
    """

    plan: Plan
    results: Results
    rows: Sequence[Row]
    choices: Mapping[str, Choice]
    tried: Sequence[Tried]
    missing: Sequence[Missing]
    cells: int
