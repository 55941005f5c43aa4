"""Rows of a run's tables as figures over updates: means over bins of neighboring updates, and their spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]

BINS = 120
"""Points of a line: about what a figure of ten centimeters shows."""


@dataclass(frozen=True, eq=False)
class Trend:
    """One figure over updates.

    Attributes:
        name: What it is of: a task, or a pair of tasks.
        steps: Number of the update in the middle of each bin, rising.
        middle: Mean over the bin.
        low: Lower end of the band.
        high: Upper end of the band.
    """

    name: str
    steps: Array
    middle: Array
    low: Array
    high: Array


def numbers(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns as floats, without rows in which one of them is unknown."""
    found = frame.loc[:, list(columns)].apply(pd.to_numeric, errors="coerce").astype(float)
    known: pd.DataFrame = found.replace([np.inf, -np.inf], np.nan).dropna()
    return known


def training_rows(log: pd.DataFrame) -> pd.DataFrame:
    """The rows of updates; none for a log that has no steps."""
    return log[log["split"] == "train"] if {"step", "split"} <= set(log.columns) else log.iloc[:0]


def names(log: pd.DataFrame, prefix: str) -> list[str]:
    """What follows the prefix in the log's columns, in their order."""
    return [str(column).removeprefix(prefix) for column in log.columns if str(column).startswith(prefix)]


def trends(log: pd.DataFrame, prefix: str, bins: int = BINS) -> tuple[Trend, ...]:
    """The figures of all columns with a prefix, such as ``weight/``; columns without a number are left out.

    Args:
        log: A run's log.
        prefix: Beginning of the columns' names; the rest names the figure.
        bins: Largest number of points.
    """
    rows = training_rows(log)
    series = {name: numbers(rows, ("step", f"{prefix}{name}")).to_numpy() for name in names(rows, prefix)}
    return tuple(binned(name, row[:, 0], row[:, 1], bins) for name, row in series.items() if len(row))


def probed(probe: pd.DataFrame, measure: str) -> tuple[Trend, ...]:
    """One measure of a probe's table over updates, for each entry of its column ``tasks``; no bins, no band."""
    if probe.empty:
        return ()
    rows = probe[probe["measure"] == measure]
    found = {str(name): numbers(part, ("step", "value")).to_numpy() for name, part in rows.groupby("tasks", sort=False)}
    return tuple(Trend(name, row[:, 0], row[:, 1], row[:, 1], row[:, 1]) for name, row in found.items() if len(row))


def binned(name: str, steps: Array, values: Array, bins: int = BINS) -> Trend:
    """Means over at most ``bins`` bins of equal width in updates; the band spans 5 to 95 % of each bin's values."""
    if len(steps) <= bins:
        return Trend(name, steps, values, values, values)
    edges = np.linspace(steps.min(), steps.max(), bins + 1)
    place = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, bins - 1)
    groups = [place == index for index in np.unique(place)]

    def each(measure: Callable[[Array], Any], of: Array) -> Array:
        return np.array([measure(of[group]) for group in groups], dtype=float)

    ends = [each(lambda part, q=share: np.quantile(part, q), values) for share in (0.05, 0.95)]  # type: ignore[misc]
    return Trend(name, each(np.mean, steps), each(np.mean, values), *ends)


def moves(lines: Sequence[Trend]) -> bool:
    """Whether any of the figures ever changes: constants need no picture."""
    return any(float(np.ptp(np.concatenate([line.low, line.high]))) > 0 for line in lines)


def needs_logarithm(lines: Sequence[Trend], ratio: float = 30.0) -> bool:
    """Whether a linear axis would hide some of the figures: all positive, and far apart."""
    values = np.concatenate([line.middle for line in lines])
    return bool(values.min() > 0 and values.max() > ratio * values.min())
