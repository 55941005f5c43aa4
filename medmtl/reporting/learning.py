"""Figures of a learning log: losses, validation metrics and learning rate over epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from medmtl.reporting.canvas import MUTED, clean, drawing, ink, legend_below, name_axes, sheet, svg
from medmtl.reporting.chart import Chart

_SPLITS = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class Best:
    """The epoch that is marked, and why it is."""

    epoch: float
    label: str


def best_epoch(log: pd.DataFrame, chosen: float | None = None) -> Best | None:
    """Gives the epoch to mark: the chosen one, else that of the lowest validation loss, else none."""
    if chosen is not None:
        return Best(float(chosen), f"best epoch ({chosen:g})")
    if "loss" not in log or "split" not in log:
        return None
    losses = by_epoch(log, "val", "loss")
    if losses.empty:
        return None
    lowest = float(str(losses.idxmin()))
    return Best(lowest, f"lowest validation loss ({lowest:g})")


def by_epoch(log: pd.DataFrame, split: str, column: str) -> pd.Series:
    """Gives the mean of a column over each epoch's steps of one split, indexed by epoch; unknown values are left out."""
    rows = log.loc[log["split"] == split, ["epoch", column]].apply(pd.to_numeric, errors="coerce").dropna()
    mean: pd.Series = rows.groupby("epoch")[column].mean()
    return mean


def learning_curves(log: pd.DataFrame, chosen: float | None = None) -> tuple[Chart, ...]:
    """Draws one figure each: the loss, every task's loss, every task's validation metrics, learning rate.

    Args:
        log: The learning log of :class:`~medmtl.reporting.summary.RunSummary`; each point is the mean over an epoch.
        chosen: The epoch whose weights were kept; None marks the lowest validation loss.

    Returns:
        The figures; none for an empty log.
    """
    if log.empty or not {"epoch", "split"} <= set(log.columns):
        return ()
    best = best_epoch(log, chosen)
    panels = (
        (title, unit, {name: line for name, line in lines.items() if len(line)}) for title, unit, lines in _panels(log)
    )
    return tuple(_chart(title, unit, lines, best) for title, unit, lines in panels if lines)


Lines = Mapping[str, pd.Series]


def _panels(log: pd.DataFrame) -> Iterator[tuple[str, str, Lines]]:
    if "loss" in log:
        yield "Loss", "loss", _both(log, "loss")
    for task in _names(log, "loss/"):
        yield f"Loss of {task}", "loss", _both(log, f"loss/{task}")
    for task in dict.fromkeys(name.split("/")[0] for name in _names(log, "metric/")):
        names = _names(log, f"metric/{task}/")
        yield f"Validation metrics of {task}", "value", {n: by_epoch(log, "val", f"metric/{task}/{n}") for n in names}
    if "lr" in log:
        yield "Learning rate", "learning rate", {"learning rate": by_epoch(log, "train", "lr")}


def _both(log: pd.DataFrame, column: str) -> Lines:
    return {label: by_epoch(log, split, column) for split, label in _SPLITS.items()}


def _names(log: pd.DataFrame, prefix: str) -> list[str]:
    return [str(column).removeprefix(prefix) for column in log.columns if str(column).startswith(prefix)]


def _chart(title: str, unit: str, lines: Lines, best: Best | None) -> Chart:
    ends = (f"{name} from {line.iloc[0]:.3g} to {line.iloc[-1]:.3g}" for name, line in lines.items())
    marked = f"; marked: {best.label}" if best else ""
    return Chart(title, f"{title} over epochs: {', '.join(ends)}{marked}", _draw(unit, lines, best))


def _draw(unit: str, lines: Lines, best: Best | None) -> str:
    with drawing():
        figure, axes = sheet(4.6, 2.9 + 0.19 * ((len(lines) + 1) // 2))
        for index, (name, line) in enumerate(lines.items()):
            axes.plot(line.index, line.to_numpy(), label=clean(name), linewidth=2, **(_marks(line) | ink(index)))
        _mark(axes, best)
        name_axes(axes, "Epoch", unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
        legend_below(figure, axes, columns=2)
        return svg(figure)


def _marks(line: pd.Series) -> dict[str, Any]:
    return {"marker": "o", "markersize": 3.5 if len(line) > 1 else 6} if len(line) <= 30 else {}


def _mark(axes: Any, best: Best | None) -> None:
    if best is not None:
        axes.axvline(best.epoch, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label=clean(best.label), zorder=1)
