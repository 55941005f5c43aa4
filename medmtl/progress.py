"""Progress of long work: bars on a terminal, plain lines elsewhere, nothing when told to be quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Bar(Protocol):
    """A bar that its owner moves on."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Moves on and replaces the note behind the bar."""
        ...


class _Silent:
    def advance(self, steps: int = 1, note: str = "") -> None:
        return


class Progress:
    """Where long work says how far it is.

    Args:
        quiet: Say nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.terminal = not quiet and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Writes one line to the standard error stream."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    @contextmanager
    def bar(self, title: str, total: int | None) -> Iterator[Bar]:
        """Shows a bar while the block runs; silent where there is no terminal."""
        if not self.terminal:
            yield _Silent()
            return
        with _rich_bar(title, total) as shown:
            yield shown

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        """Gives the items on and moves a bar with them."""
        count = total if total is not None else (len(items) if hasattr(items, "__len__") else None)
        with self.bar(title, count) as bar:
            for item in items:
                yield item
                bar.advance()


@contextmanager
def _rich_bar(title: str, total: int | None) -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total, note="")

        class _Shown:
            def advance(self, steps: int = 1, note: str = "") -> None:
                progress.update(task, advance=steps, note=note)

        yield _Shown()
