"""The columns of a manifest: which there are, what their names mean, and what to say about one that is none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from medmtl.data.problems import Problem
from medmtl.errors import suggestion

PLAIN = ("image", "id", "patient", "dataset", "site", "laterality", "split", "fov")
KINDS = ("label", "labels", "mask", "note")
_KNOWN = f"known: {', '.join(PLAIN)}, {', '.join(kind + ':NAME' for kind in KINDS)}"
_NAME = re.compile(r"[^\s.:#;=][^.:#;=]*(\.[^\s.:#;=][^.:#;=]*)?")
_NEAR_KIND = re.compile(r"(labels?|masks?|notes?)[\s_.\-:/]+(\S.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column's meaning.

    Attributes:
        header: As it is written.
        kind: One of :data:`KINDS`, or ``plain``.
        name: The task's name (``NAME``), or the header of a plain column.
        member: The class of a dotted column (``NAME.CLASS``).
    """

    header: str
    kind: str
    name: str
    member: str | None = None

    @property
    def key(self) -> str:
        """``NAME`` or ``NAME.CLASS``, the key in a sample's labels or masks."""
        return self.name if self.member is None else f"{self.name}.{self.member}"


def parse_column(header: str) -> Column | Problem:
    """Reads a header; returns a problem with a suggestion where it is not one of a manifest."""
    if header in PLAIN:
        return Column(header, "plain", header)
    kind, colon, key = header.partition(":")
    if not colon or kind not in KINDS:
        return Problem("unknown column", found=f"'{header}'", remedy=_meant(header))
    if not _NAME.fullmatch(key) or (kind == "labels" and "." in key):
        remedy = f"write {kind}:NAME" if kind == "labels" else f"write {kind}:NAME or {kind}:NAME.CLASS"
        return Problem("not a task's name", found=f"'{header}'", remedy=remedy)
    name, _, member = key.partition(".")
    return Column(header, kind, name, member or None)


def _meant(header: str) -> str:
    if not header:
        return "name every column, or remove the empty one"
    kind, colon, name = header.partition(":")
    near = suggestion(kind.strip().lower(), KINDS)
    if colon and near.startswith("did you mean"):
        return near.replace("'?", f":{name.strip()}'?")
    if match := _NEAR_KIND.fullmatch(header):
        kind = match[1].lower()
        return f"did you mean '{kind if kind in KINDS else kind[:-1]}:{match[2]}'?"
    near = suggestion(header.lower(), PLAIN)
    return f"{near if near.startswith('did you mean') else _KNOWN}; or name it note:{header} to keep it unread"


def parse_columns(headers: Sequence[str]) -> tuple[list[Column], list[Problem]]:
    """Reads all headers and finds what does not go together: duplicates, no image, a task told in two ways."""
    parsed = [parse_column(header) for header in headers]
    columns = [column for column in parsed if isinstance(column, Column)]
    problems = [problem for problem in parsed if isinstance(problem, Problem)]
    problems += [
        Problem("the same column twice", found=f"'{header}' {count} times", remedy="remove or rename one")
        for header, count in Counter(headers).items()
        if count > 1 and header
    ]
    if "image" not in headers:
        problems.append(Problem("no column 'image'", found=", ".join(headers), remedy="add the images' paths"))
    return columns, problems + _two_ways(columns)


def _two_ways(columns: Sequence[Column]) -> list[Problem]:
    """A task's labels stand either in one column, or in one set, or in one column a class; never in two of these."""
    ways: dict[tuple[str, str], set[str]] = {}
    for column in columns:
        group = "mask" if column.kind == "mask" else "label" if column.kind in {"label", "labels"} else None
        if group:
            dotted = f"{column.kind}:{column.name}" + (".CLASS" if column.member else "")
            ways.setdefault((group, column.name), set()).add(dotted)
    return [
        Problem(f"'{name}' is told in two ways", found=" and ".join(sorted(forms)), remedy="keep one of them")
        for (_, name), forms in ways.items()
        if len(forms) > 1
    ]
