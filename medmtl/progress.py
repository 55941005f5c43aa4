"""Progress of long work: bars on a terminal, plain lines elsewhere, nothing when told to be quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Bar(Protocol):
    """A bar that its owner moves on."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Moves on and replaces the note behind the bar."""
        ...


class _Silent:
    def advance(self, steps: int = 1, note: str = "") -> None:
        return


class _Shown:
    def __init__(self, display: Any, task: Any) -> None:
        self._display = display
        self._task = task

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._display.update(self._task, advance=steps, note=note)


class Progress:
    """Where long work says how far it is.

    Args:
        quiet: Say nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.terminal = not quiet and sys.stderr.isatty()
        self._display: Any = None

    def say(self, text: str) -> None:
        """Writes one line to the standard error stream."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    @contextmanager
    def bar(self, title: str, total: int | None) -> Iterator[Bar]:
        """Shows a bar while the block runs, below those that are shown already; silent where there is no terminal."""
        if not self.terminal:
            yield _Silent()
            return
        with self._shared_display() as display:
            task = display.add_task(title, total=total, note="")
            try:
                yield _Shown(display, task)
            finally:
                display.remove_task(task)

    def track(self, items: Iterable[T], title: str, total: int | None = None) -> Iterator[T]:
        """Gives the items on and moves a bar with them."""
        count = len(items) if total is None and isinstance(items, Sized) else total
        with self.bar(title, count) as bar:
            for item in items:
                yield item
                bar.advance()

    @contextmanager
    def _shared_display(self) -> Iterator[Any]:
        if self._display is not None:  # a terminal has room for one live display: inner bars join the outer one
            yield self._display
            return
        with _rich_display() as self._display:
            try:
                yield self._display
            finally:
                self._display = None


def _rich_display() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    note = TextColumn("{task.fields[note]}", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
    return RichProgress(*columns, console=Console(stderr=True), transient=True)
