"""What the scripts that write pages of docs/ share: tables, defaults as YAML has them, and to write a page or to check it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from medmtl.files import write_text

DOCS = Path(__file__).parents[1] / "docs"
Check = Annotated[bool, typer.Option("--check", help="Only say whether the file is current.")]


def keep_or_check(target: Path, text: str, source: str, *, check: bool) -> None:
    """Writes a page; or, to check it, leaves with exit code 1 where it is not what would be written.

    Args:
        target: The page.
        text: What it should be.
        source: Who says so: ``the schema says``.
        check: Write nothing.
    """
    if not check:
        write_text(target, text)
    elif not target.is_file() or target.read_text(encoding="utf-8") != text:
        typer.echo(f"error: {target.name} is not what {source}; run scripts/{Path(sys.argv[0]).name}", err=True)
        sys.exit(1)


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def default_text(value: Any) -> str:
    """A default as it is written in YAML."""
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or value in ([], {}, ()):
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
