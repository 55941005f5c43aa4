"""What is wrong with a row: collected first, so that one message can say more than one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medmtl.errors import ManifestError

SHOWN = 5


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and how to mend it.

    Attributes:
        what: What is wrong.
        row: Line of the manifest as an editor shows it (1-based); ``None`` where it is about the whole table.
        found: What was found.
        remedy: How to mend it.
    """

    what: str
    row: int | None = None
    found: str | None = None
    remedy: str | None = None

    def brief(self) -> str:
        """Returns place, what and found, without the remedy."""
        place = "" if self.row is None else f"line {self.row}: "
        return f"{place}{self.what}" + ("" if self.found is None else f" ({self.found})")

    def __str__(self) -> str:
        return self.brief() + ("" if self.remedy is None else f"; {self.remedy}")


def manifest_error(path: Path, problems: Sequence[Problem]) -> ManifestError:
    """Puts the first problem in full, and up to four more in brief, into one error of one line."""
    first, *others = problems
    place = path if first.row is None else f"{path}, line {first.row}"
    remedy = first.remedy or "correct the table"
    if others:
        more = " | ".join(problem.brief() for problem in others[: SHOWN - 1])
        remedy += f" [first of {len(problems)} problems; next: {more}]"
    return ManifestError(first.what, where=place, found=first.found, remedy=remedy)
