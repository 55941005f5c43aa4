"""Draws lines with bands over updates: one axes, or two side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from medmtl.reporting.balance.trends import Trend
from medmtl.reporting.canvas import INK, MUTED, clean, drawing, ink, legend_below, name_axes, sheet, sheets, svg

STEP = "Update"


@dataclass(frozen=True)
class Look:
    """How an axis of values looks.

    Attributes:
        label: Quantity and unit.
        level: A line across, with its words; None for none.
        limits: Ends of the axis; None = those of the data.
        logarithmic: Powers of ten.
        percent: Shares are written in percent.
    """

    label: str
    level: tuple[float, str] | None = None
    limits: tuple[float, float] | None = None
    logarithmic: bool = False
    percent: bool = False


def lines(trends: Sequence[Trend], look: Look, tasks: Sequence[str] = ()) -> str:
    """Draws figures over updates, each with its band.

    Args:
        trends: The figures.
        look: The axis of values.
        tasks: Names in the order of their colors, so that a task has the same color in every figure.

    Returns:
        SVG text.
    """
    with drawing():
        figure, axes = sheet(4.6, 2.9 + 0.19 * ((len(trends) + 2) // 2))
        _plot(axes, trends, tasks)
        _finish(axes, look)
        name_axes(axes, STEP, look.label)
        legend_below(figure, axes, columns=2)
        return svg(figure)


def beside(parts: Sequence[tuple[str, Sequence[Trend]]], look: Look, tasks: Sequence[str] = ()) -> str:
    """Draws several sets of figures side by side on one scale, each below its title.

    Args:
        parts: Title and figures of each axes, from left to right.
        look: The axis of values, the same for all.
        tasks: As in :func:`lines`.

    Returns:
        SVG text, about twice as wide as that of :func:`lines`.
    """
    with drawing():
        rows = max((len(trends) + 2) // 2 for _, trends in parts)
        figure, several = sheets(9.2, 3.2 + 0.19 * rows, len(parts))
        for axes, (title, trends) in zip(several, parts, strict=True):
            _plot(axes, trends, tasks)
            _finish(axes, look)
            axes.set_title(clean(title), fontsize=10, loc="left")
            axes.set_xlabel(STEP)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, handlelength=2.6)
        several[0].set_ylabel(look.label)
        return svg(figure)


def _plot(axes: Axes, trends: Sequence[Trend], tasks: Sequence[str]) -> None:
    order = [*tasks, *(trend.name for trend in trends if trend.name not in tasks)]
    for trend in trends:
        style: dict[str, Any] = {"linewidth": 1.8, "zorder": 3, **_style(trend.name, order, tasks)}
        if len(trend.steps) <= 30:
            style |= {"marker": "o", "markersize": 3.5 if len(trend.steps) > 1 else 6}
        axes.plot(trend.steps, trend.middle, label=clean(trend.name), **style)
        if not np.array_equal(trend.low, trend.high):
            axes.fill_between(trend.steps, trend.low, trend.high, color=style["color"], alpha=0.15, linewidth=0)


def _style(name: str, order: Sequence[str], tasks: Sequence[str]) -> dict[str, str]:
    """The color of a task; among tasks, what is none is black."""
    return ink(order.index(name)) if name in tasks or not tasks else {"color": INK}


def _finish(axes: Axes, look: Look) -> None:
    if look.level is not None:
        value, words = look.level
        axes.axhline(value, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label=words, zorder=2)
    if look.logarithmic:
        _powers(axes)
    if look.limits is not None:
        axes.set_ylim(*look.limits)
    if look.percent or look.logarithmic:  # plain text: formulas are not parsed, see the canvas
        axes.yaxis.set_major_formatter(percent if look.percent else FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.margins(x=0.02)


percent = FuncFormatter(lambda value, _: f"{100 * value:.3g}%")
"""Shares in percent, the small ones with their decimals."""


def _powers(axes: Axes) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 1000 * low else (1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_formatter(NullFormatter())
