"""A figure as the page takes it: drawn, titled, and told in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chart:
    """A figure with its title and the text that stands for it where it cannot be seen.

    Attributes:
        title: What it shows.
        alt: The same in words, with the figures that matter.
        svg: The drawing.
        caption: How it is to be read.
        wide: It takes the whole width of the page.
    """

    title: str
    alt: str
    svg: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class ChartGroup:
    """Figures under one heading, with what has to be known to read them."""

    title: str
    note: str
    charts: tuple[Chart, ...]
