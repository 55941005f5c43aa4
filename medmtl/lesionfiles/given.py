"""What candidates and truth have in common, whatever form they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from medmtl.lesionfiles.images import Shape


class Given(Protocol):
    """Marks in images by class, read from files."""

    @property
    def kind(self) -> str:
        """What it is, in words."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Its classes."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """What it was read from."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results must know."""
        ...

    def shape(self, number: int) -> Shape | None:
        """Height and width of an image in pixels; None: not known."""
        ...

    def reach(self, number: int) -> tuple[float, float]:
        """The largest y and x of a mark, for images whose size is not known."""
        ...
