"""Draws fields of numbers: layers by updates, shares by layer, tasks by tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medmtl.reporting.balance.drawing import STEP, percent
from medmtl.reporting.balance.trends import Array
from medmtl.reporting.canvas import GRID, INK, MUTED, clean, drawing, ink, legend_below, name_axes, sheet, svg

DIVERGING = "PuOr_r"
"""Purple below, orange above, white between: told apart with every common color vision deficiency."""

_HATCHES = ("", "//", "..", "xx")


def layer_map(shades: Array, layers: Sequence[str], steps: Array, label: str, even: str = "even") -> str:
    """Draws shares as a heat map, layers from top to bottom and looks from left to right.

    Args:
        shades: From 0 (nothing) over 0.5 (an even share, white) to 1 (everything), (S, L); NaN is hatched.
        layers: Names, (L,).
        steps: Updates of the looks, (S,).
        label: What the colors mean.
        even: What stands beside white.

    Returns:
        SVG text.
    """
    with drawing():
        figure, axes = sheet(4.8, _height(len(layers)))
        image = axes.imshow(shades.T, cmap=_colors(), vmin=0, vmax=1, aspect="auto", interpolation="none")
        _hatch(axes)
        axes.grid(visible=False)
        axes.set_yticks(range(len(layers)), [clean(layer, 30) for layer in layers])
        axes.tick_params(axis="y", length=0, labelsize=8)
        _step_ticks(axes, steps)
        axes.set_xlabel(STEP)
        _bar(figure, axes, image, label, {0.5: even})
        return svg(figure)


def layer_bars(values: Array, layers: Sequence[str], names: Sequence[str], tasks: Sequence[str], even: Array) -> str:
    """Draws mean shares as one bar a layer, from top to bottom, with lines where even shares would meet.

    Args:
        values: Mean shares, (L, K); NaN counts as nothing.
        layers: Names, (L,).
        names: Names of the tasks, (K,).
        tasks: Names in the order of their colors.
        even: Even share of each layer, (L,).

    Returns:
        SVG text.
    """
    with drawing():
        figure, axes = sheet(4.8, _height(len(layers)) + 0.19 * ((len(names) + 2) // 2))
        order, left = [*tasks, *(name for name in names if name not in tasks)], np.zeros(len(layers))
        for index, name in enumerate(names):
            width, place = np.nan_to_num(values[:, index]), order.index(name)
            look: dict[str, Any] = {"color": ink(place)["color"], "hatch": _HATCHES[place % len(_HATCHES)]}
            axes.barh(range(len(layers)), width, left=left, height=0.82, label=clean(name), edgecolor="white", **look)
            left = left + width
        for row, share in enumerate(even):
            places = [number * share for number in range(1, round(1 / share))]
            axes.vlines(places, row - 0.5, row + 0.5, color=INK, linewidth=1.3, linestyle=(0, (2, 2)), zorder=4)
        axes.set_yticks(range(len(layers)), [clean(layer, 30) for layer in layers])
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.set(xlim=(0, 1), ylim=(len(layers) - 0.4, -0.6))
        axes.xaxis.set_major_formatter(percent)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Mean share of the update (dashed: even shares)")
        legend_below(figure, axes, columns=2)
        return svg(figure)


def task_matrix(
    shades: Array,
    texts: Sequence[Sequence[str]],
    tasks: Sequence[str],
    axes_names: tuple[str, str],
    bar: str,
    ticks: Mapping[float, str],
) -> str:
    """Draws a square of tasks by tasks with a text in each cell.

    Args:
        shades: Color of each cell in [0, 1], (K, K), 0.5 white; NaN is hatched.
        texts: Text of each cell.
        tasks: Names, (K,).
        axes_names: What rows and columns are.
        bar: What the colors mean.
        ticks: What stands beside the colors, by shade.

    Returns:
        SVG text.
    """
    with drawing():
        side = max(2.6, 0.9 + 0.8 * len(tasks))
        figure, axes = sheet(side + 1.5, side + 0.4)
        image = axes.imshow(shades, cmap=_colors(), vmin=0, vmax=1, interpolation="none")
        for (row, column), shade in np.ndenumerate(shades):
            color = "white" if _is_dark(image.to_rgba(np.array([shade]))[0]) else INK
            style: dict[str, Any] = {"color": color, "fontsize": 9, "linespacing": 1.35}
            axes.text(column, row, texts[row][column], ha="center", va="center", **style)
        _frame_cells(axes, [clean(task, 16) for task in tasks])
        name_axes(axes, axes_names[1], axes_names[0])
        _bar(figure, axes, image, bar, ticks)
        return svg(figure)


def _colors() -> Any:
    return mpl.colormaps[DIVERGING].with_extremes(bad=(0, 0, 0, 0))  # the hatched ground shows


def _height(rows: int) -> float:
    return 1.5 + 0.185 * max(rows, 5)


def _step_ticks(axes: Axes, steps: Array) -> None:
    count = min(len(steps), 6)
    places = np.unique(np.linspace(0, len(steps) - 1, count).round().astype(int))
    axes.set_xticks(places, [f"{steps[place]:.0f}" for place in places])


def _bar(figure: Figure, axes: Axes, image: Any, label: str, ticks: Mapping[float, str]) -> None:
    """The scale of colors, with 0, 1 and what else is named beside it."""
    told = {0.0: "0%", 1.0: "100%", **ticks}
    bar = figure.colorbar(image, ax=axes, ticks=sorted(told), pad=0.03, fraction=0.06, aspect=28)
    bar.ax.set_yticklabels([told[tick] for tick in sorted(told)])
    bar.ax.tick_params(labelsize=8, length=2)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=9)


def _is_dark(color: Array) -> bool:
    return float(color[:3] @ np.array([0.2126, 0.7152, 0.0722])) < 0.45  # luminance after ITU-R BT.709


def _hatch(axes: Axes) -> None:
    """What is unknown shows the ground, which no color of the scale resembles."""
    axes.patch.set(facecolor="white", edgecolor=MUTED, hatch="////", linewidth=0)


def _frame_cells(axes: Axes, labels: Sequence[str]) -> None:
    _hatch(axes)
    axes.grid(visible=False)
    turned = max(map(len, labels), default=0) > 8
    axes.set_xticks(range(len(labels)), labels, rotation=35 if turned else 0, ha="right" if turned else "center")
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    edges = np.arange(len(labels) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, which="minor", color=GRID, linewidth=1.5)
