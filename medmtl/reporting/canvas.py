"""Paper and ink of the figures: palette, axes, and matplotlib without its global state; imported only when drawing."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's colors (Color Universal Design, 2008) without yellow, which is too faint on white."""

LINES: tuple[str, ...] = ("-", "--", "-.", ":")
INK, MUTED, GRID = "#1b2430", "#5b6776", "#e3e8ee"

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same picture on every machine
    "font.size": 10.0,
    "text.parse_math": False,  # a sample or class named "a$b" is text, not a formula
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.labelsize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "svg.fonttype": "path",  # no font is needed to open the report
    "svg.hashsalt": "medmtl",  # equal input, equal bytes
}

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@contextmanager
def drawing() -> Iterator[None]:
    """Applies the style for the time of one drawing, and keeps a missing glyph of a foreign script from warning."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def sheet(width: float = 4.8, height: float = 3.5) -> tuple[Figure, Axes]:
    """Gives a new figure with one pair of axes; width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def sheets(width: float, height: float, columns: int) -> tuple[Figure, tuple[Axes, ...]]:
    """Gives a new figure with axes side by side that share their axis of values; width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    found = figure.subplots(1, columns, sharey=True, squeeze=False)
    return figure, tuple(found[0])


def svg(figure: Figure) -> str:
    """Renders a figure as SVG text, the same for the same input."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(figure: Figure, dpi: int = 150) -> bytes:
    """Renders a figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def clean(text: str, length: int = 48) -> str:
    """Makes untrusted text fit for a label: printable, cut, and not hidden by matplotlib's leading-underscore rule."""
    text = _UNPRINTABLE.sub(" ", text)
    text = text if len(text) <= length else text[: length - 1] + "…"
    return f" {text}" if text.startswith("_") else text


def ink(index: int) -> dict[str, str]:
    """Color and line style of the n-th line: no two of the first 28 share both."""
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": LINES[index % len(LINES)]}


def legend_below(figure: Figure, axes: Axes, *, columns: int = 1) -> None:
    """Puts the legend under the axes, where it hides no data; none for a figure without labels."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(handles)), handlelength=2.6)


def name_axes(axes: Axes, x: str, y: str) -> None:
    """Labels both axes."""
    axes.set_xlabel(clean(x, 60))
    axes.set_ylabel(clean(y, 48))


def unit_square(axes: Axes, names: Sequence[str] = ("x", "y")) -> None:
    """Shows the named axes from 0 to 1 with a hair of margin, so that a perfect curve does not vanish in the frame."""
    for name in names:
        axes.set(**{f"{name}lim": (-0.02, 1.02)})
