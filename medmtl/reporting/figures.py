"""Figures of results as SVG text: ROC, precision-recall, FROC, calibration, confusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from medmtl.evaluation.results import Confusion, Curve, CurveKind
from medmtl.reporting.canvas import (
    GRID,
    INK,
    MUTED,
    clean,
    drawing,
    ink,
    legend_below,
    name_axes,
    png,
    sheet,
    svg,
    unit_square,
)

_FALSE_POSITIVES = (0, 0.125, 0.25, 0.5, 1, 2, 4, 8)
_TICKS = ("0", "⅛", "¼", "½", "1", "2", "4", "8")
_MOST = 16.0
MAX_LINES = 7
"""Lines that one figure holds with a color each; a report spreads more over several figures."""


def roc(curves: Sequence[Curve]) -> str:
    """Draws receiver operating characteristics with the line of chance; both axes 0 to 1.

    Args:
        curves: Up to :data:`MAX_LINES` curves of one task; the first names the axes.

    Returns:
        SVG text.
    """
    return _draw(curves, _chance, unit=("x", "y"), height=4.4)


def precision_recall(curves: Sequence[Curve]) -> str:
    """Draws precision against recall; both axes 0 to 1. Arguments and result as :func:`roc`."""
    return _draw(curves, _nothing, unit=("x", "y"), height=4.4)


def calibration(curves: Sequence[Curve]) -> str:
    """Draws observed frequency against predicted probability with the diagonal. As :func:`roc`, with markers."""
    return _draw(curves, _ideal, unit=("x", "y"), height=4.4, marker="o", markersize=4.5)


def froc(curves: Sequence[Curve]) -> str:
    """Draws sensitivity (0 to 1) against false positives per image, as steps, linear to 1/8 and logarithmic above.

    Between two thresholds nothing is interpolated: the sensitivity at f is the best one reached with at most f false
    positives per image. Arguments and result as :func:`roc`.
    """
    return _draw(_shortened(curves), _per_image, unit=("y",), height=4.4, drawstyle="steps-post")


def froc_png(curves: Sequence[Curve]) -> bytes:
    """Draws the figure of :func:`froc` as PNG, for those who paste it elsewhere."""
    with drawing():
        return png(_drawn(_shortened(curves), _per_image, unit=("y",), height=4.4, drawstyle="steps-post"))


def curve_figure(kind: CurveKind, curves: Sequence[Curve]) -> str:
    """Draws curves of one kind by the kind's own function; arguments and result as :func:`roc`."""
    return _KINDS[kind](curves)


def confusion(matrix: Confusion) -> str:
    """Draws a confusion matrix: counts, shares of the row as shades and in percent; rows truth, columns prediction."""
    counts = np.asarray(matrix.matrix, dtype=float).reshape(len(matrix.labels), -1)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    with drawing():
        side = max(3.0, 1.1 + 0.68 * len(matrix.labels))
        figure, axes = sheet(side + 0.5, side)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
        _write_cells(axes, counts, shares)
        _label_classes(axes, [clean(label, 16) for label in matrix.labels])
        return svg(figure)


def _draw(
    curves: Sequence[Curve], ground: Callable[[Any, float], None], unit: Sequence[str], height: float, **line: Any
) -> str:
    with drawing():
        return svg(_drawn(curves, ground, unit, height, **line))


def _drawn(
    curves: Sequence[Curve], ground: Callable[[Any, float], None], unit: Sequence[str], height: float, **line: Any
) -> Any:
    figure, axes = sheet(4.8, height + 0.19 * _legend_rows(curves))
    ground(axes, max((x for curve in curves for x in curve.x if math.isfinite(x)), default=0.0))
    for index, curve in enumerate(curves):
        _draw_curve(axes, curve, ink(index), line)
    unit_square(axes, unit)
    if curves:
        name_axes(axes, curves[0].x_label, curves[0].y_label)
    legend_below(figure, axes)
    return figure


def _legend_rows(curves: Sequence[Curve]) -> int:
    return 1 + len(curves) + sum(len(curve.points) for curve in curves)


def _draw_curve(axes: Any, curve: Curve, style: dict[str, str], line: dict[str, Any]) -> None:
    axes.plot(curve.x, curve.y, label=clean(curve.title), linewidth=2, clip_on=False, zorder=3, **style, **line)
    if curve.low and curve.high:
        step = "post" if line.get("drawstyle") else None
        axes.fill_between(curve.x, curve.low, curve.high, step=step, color=style["color"], alpha=0.14, linewidth=0)
    for number, point in enumerate(curve.points):
        look = {"marker": "oDs^v"[number % 5], "color": style["color"], "markeredgecolor": "white", "linestyle": "none"}
        axes.plot([point.x], [point.y], label=clean(point.label), markersize=9, clip_on=False, zorder=4, **look)


def _nothing(axes: Any, largest: float) -> None:
    """Draws no reference: precision has none that holds for every prevalence."""


def _chance(axes: Any, largest: float) -> None:
    _diagonal(axes, "chance")


def _ideal(axes: Any, largest: float) -> None:
    _diagonal(axes, "ideal")


def _diagonal(axes: Any, label: str) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)), label=label, zorder=2)


def _per_image(axes: Any, largest: float) -> None:
    axes.set_xscale("symlog", linthresh=0.125, linscale=0.6, base=2)
    axes.set_xticks(_FALSE_POSITIVES, _TICKS)
    axes.minorticks_off()
    axes.set_xlim(0, max(8.0, largest))


def _shortened(curves: Sequence[Curve]) -> list[Curve]:
    """Ends curves of steps at 16 false positives per image: beyond it no reader looks, and the CSV has the rest."""
    return [_cut(curve) if any(x > _MOST for x in curve.x) else curve for curve in curves]


def _cut(curve: Curve) -> Curve:
    kept = [index for index, x in enumerate(curve.x) if x <= _MOST]
    taken = [*kept, kept[-1]] if kept else []
    return replace(
        curve,
        x=(*(curve.x[index] for index in kept), *(_MOST for _ in kept[-1:])),
        y=tuple(curve.y[index] for index in taken),
        low=tuple(curve.low[index] for index in taken if curve.low),
        high=tuple(curve.high[index] for index in taken if curve.high),
        points=tuple(point for point in curve.points if point.x <= _MOST),
    )


def _write_cells(axes: Any, counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        shade = "white" if shares[row, column] > 0.72 else INK
        text = f"{count:.0f}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=9, linespacing=1.35)


def _label_classes(axes: Any, labels: list[str]) -> None:
    axes.grid(visible=False)
    rotation = 35 if max(map(len, labels), default=0) > 7 else 0
    axes.set_xticks(range(len(labels)), labels, rotation=rotation, ha="right" if rotation else "center")
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True, which="minor", color=GRID, linewidth=1.5)
    name_axes(axes, "Prediction", "Truth")


_KINDS: dict[CurveKind, Callable[[Sequence[Curve]], str]] = {
    "roc": roc,
    "precision_recall": precision_recall,
    "froc": froc,
    "calibration": calibration,
}
