"""Figures of a comparison as SVG text: Δm against seconds, trade-offs between tasks, sensitivity to the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from medmtl.comparison.collecting import Results
from medmtl.comparison.content import Tried
from medmtl.comparison.spec import SINGLE_TASK
from medmtl.comparison.summarizing import ALL_TASKS, Row
from medmtl.evaluation.deltas import non_dominated
from medmtl.reporting.canvas import INK, MUTED, PALETTE, clean, drawing, ink, legend_below, name_axes, sheet, svg

_MARKS = "osD^vP*X"


def delta_against_seconds(rows: Sequence[Row]) -> str | None:
    """Δm (lower is better) against seconds a step, with the intervals; None where no row has both."""
    marks = _marks([row.name for row in rows])
    points = [(row, row.delta_m[ALL_TASKS]) for row in rows if ALL_TASKS in row.delta_m]
    points = [(row, delta) for row, delta in points if math.isfinite(delta.mean + row.cost.step_seconds)]
    if not points:
        return None
    with drawing():
        figure, axes = _sheet(5.4, 3.8 + 0.19 * len(points))
        axes.axhline(0, color=MUTED, linewidth=1, linestyle="--", label="single task")
        for row, delta in points:
            errors = _errors(delta.mean, delta.interval.low, delta.interval.high)
            look = {"label": clean(row.name), "capsize": 3, **marks[row.name]}
            axes.errorbar([row.cost.step_seconds], [delta.mean], yerr=errors, **look)
        name_axes(axes, "Seconds a step (median)", "Δm in % (lower is better)")
        legend_below(figure, axes, columns=2)
        return svg(figure)


def trade_off(rows: Sequence[Row], results: Results, first: int, second: int) -> str:
    """Two figures against each other, a point a row with its spread over seeds, and lines of the single-task networks.

    Args:
        rows: The rows.
        results: What they are made from.
        first: Place of the figure on the horizontal axis.
        second: Place of the one on the vertical axis.
    """
    marks = _marks([row.name for row in rows])
    with drawing():
        figure, axes = _sheet(5.0, 3.8 + 0.1 * len(rows))
        for row in rows:
            x, y = row.scores[first], row.scores[second]
            if row.name == SINGLE_TASK:
                axes.axvline(x.mean, color=MUTED, linewidth=1, linestyle="--", label="single task")
                axes.axhline(y.mean, color=MUTED, linewidth=1, linestyle="--")
                continue
            spread = {"xerr": _finite(x.sd), "yerr": _finite(y.sd)}
            axes.errorbar([x.mean], [y.mean], label=clean(row.name), capsize=2, **spread, **marks[row.name])
        names = results.names()
        name_axes(axes, *(f"{names[place]} {_arrow(results, place)}" for place in (first, second)))
        legend_below(figure, axes, columns=2)
        return svg(figure)


def validation_front(tried: Sequence[Tried], first: str, second: str, order: Sequence[str]) -> str | None:
    """All candidates on validation, two tasks against each other, with the front of those that nobody beats.

    Args:
        tried: The candidates, with single-task ones among them.
        first: Task on the horizontal axis.
        second: Task on the vertical axis.
        order: Names of all rows: a row has the same mark in all figures.

    Returns:
        SVG text; None with fewer than two points.
    """
    both = [item for item in tried if {first, second} <= set(item.by_task)]
    points = np.array([[item.by_task[first], item.by_task[second]] for item in both]).reshape(-1, 2)
    if np.isfinite(points).all(axis=1).sum() < 2:
        return None
    rows, marks = list(dict.fromkeys(item.row for item in both)), _marks(order)
    with drawing():
        figure, axes = _sheet(5.0, 3.8 + 0.1 * len(rows))
        front = points[non_dominated(points)]
        front = front[np.argsort(front[:, 0], kind="stable")]
        axes.plot(front[:, 0], front[:, 1], color=INK, linewidth=1, zorder=1, label="front")
        for row in rows:
            mine = points[[item.row == row for item in both]]
            axes.plot(mine[:, 0], mine[:, 1], label=clean(row), **marks[row])
        _single_lines(axes, tried, first, second)
        name_axes(axes, f"{first} on validation ↑", f"{second} on validation ↑")
        legend_below(figure, axes, columns=2)
        return svg(figure)


def rate_sensitivity(tried: Sequence[Tried]) -> str | None:
    """Validation score against the learning rate, a line a series, the best variant at each rate; None with one rate."""
    lines: dict[str, dict[float, float]] = {}
    for item in tried:
        if math.isfinite(item.score):
            line = lines.setdefault(item.series, {})
            line[item.rate] = max(item.score, line.get(item.rate, -math.inf))
    lines = {series: line for series, line in lines.items() if len(line) > 1}
    if not lines:
        return None
    with drawing():
        figure, axes = _sheet(5.4, 3.6 + 0.19 * len(lines))
        for index, (series, line) in enumerate(lines.items()):
            rates = sorted(line)
            scores = [line[rate] for rate in rates]
            axes.plot(rates, scores, label=clean(series), marker=_MARKS[index % len(_MARKS)], **ink(index))
        axes.set_xscale("log")
        every = sorted({rate for line in lines.values() for rate in line})
        axes.set_xticks(every, [f"{rate:g}" for rate in every])
        axes.minorticks_off()
        name_axes(axes, "Learning rate", "Validation score (higher is better)")
        legend_below(figure, axes, columns=2)
        return svg(figure)


def _single_lines(axes: Any, tried: Sequence[Tried], first: str, second: str) -> None:
    for task, draw in ((first, axes.axvline), (second, axes.axhline)):
        scores = [item.score for item in tried if item.series == f"{SINGLE_TASK}/{task}" and math.isfinite(item.score)]
        if scores:
            label = "best single task" if task == first else None
            draw(max(scores), color=MUTED, linewidth=1, linestyle="--", label=label)


def _sheet(width: float, height: float) -> tuple[Any, Any]:
    """Figure and axes; drawn with keywords from dictionaries, which matplotlib's types do not take."""
    return sheet(width, height)


def _marks(rows: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Marker and color of every row but the single-task one, the same in all figures."""
    return {
        row: {"marker": _MARKS[place % len(_MARKS)], "color": PALETTE[place % len(PALETTE)], "linestyle": "none"}
        for place, row in enumerate(row for row in rows if row != SINGLE_TASK)
    }


def _arrow(results: Results, place: int) -> str:
    return "↑" if results.higher_is_better[place] else "↓"


def _errors(value: float, low: float, high: float) -> list[list[float]] | None:
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
