"""Draws how much losses rise with the radius of a perturbation: noise on the left, the worst direction on the right."""

from __future__ import annotations

import pandas as pd

from medmtl.reporting.canvas import MUTED, clean, drawing, ink, legend_below, name_axes, sheets, svg

_TITLES = {"noise": "Gaussian noise", "worst": "Steepest ascent"}


def flatness_figure(table: pd.DataFrame) -> str:
    """Draws a table of rises with their intervals.

    Args:
        table: Columns task, direction (``noise``, ``worst``), radius, rise, low and high.

    Returns:
        SVG text.
    """
    tasks = list(dict.fromkeys(table["task"]))
    with drawing():
        figure, several = sheets(9.2, 3.4 + 0.19 * ((len(tasks) + 3) // 4), len(_TITLES))
        for axes, (direction, title) in zip(several, _TITLES.items(), strict=True):
            axes.axhline(0, color=MUTED, linewidth=1)
            for index, task in enumerate(tasks):
                rows = table[(table["task"] == task) & (table["direction"] == direction)].sort_values("radius")
                style = ink(index)
                x, rise, low, high = (rows[name].to_numpy(float) for name in ("radius", "rise", "low", "high"))
                axes.plot(
                    x,
                    rise,
                    marker="o",
                    markersize=3.5,
                    label=clean(task),
                    color=style["color"],
                    linestyle=style["linestyle"],
                )
                axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
            axes.set_title(title, fontsize=10, loc="left")
            name_axes(
                axes, "Radius, as a share of the features' size", "" if axes is not several[0] else "Rise of the loss"
            )
        legend_below(figure, several[0], columns=4)
        return svg(figure)
