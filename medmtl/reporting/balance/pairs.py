"""Conflicts of a probe's table as bands over updates: pairs of tasks on one sample, pairs of samples of one task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medmtl.reporting.balance.trends import Trend

MEASURES = ("cosine", "magnitude", "opposed")


@dataclass(frozen=True, eq=False)
class Comparison:
    """One measure of conflict, between tasks beside between samples.

    Attributes:
        measure: ``cosine``, ``magnitude`` or ``opposed``.
        tasks: Pairs of tasks on the same sample: none or one figure; its band spans 95 % of the pairs.
        samples: Pairs of samples of the same task, a figure a task.
    """

    measure: str
    tasks: tuple[Trend, ...]
    samples: tuple[Trend, ...]


def comparisons(probe: pd.DataFrame) -> tuple[Comparison, ...]:
    """The measures of a probe's table that hold numbers."""
    if probe.empty:
        return ()
    found = (
        Comparison(name, bands(probe, f"inter_task_{name}", "pairs of tasks"), bands(probe, f"inter_sample_{name}"))
        for name in MEASURES
    )
    return tuple(one for one in found if one.tasks or one.samples)


def bands(probe: pd.DataFrame, measure: str, name: str | None = None) -> tuple[Trend, ...]:
    """Mean and 2.5 to 97.5 % of a measure over updates.

    Args:
        probe: A probe's table.
        measure: Such as ``inter_sample_cosine``.
        name: Name of the one figure, whatever tasks were drawn; None makes one for each entry of ``tasks``.
    """
    rows = probe[probe["measure"] == measure].assign(value=lambda part: pd.to_numeric(part["value"], errors="coerce"))
    rows = rows.assign(step=pd.to_numeric(rows["step"]), tasks=rows["tasks"].astype(str) if name is None else name)
    return tuple(
        band for key, part in rows.groupby("tasks", sort=False) if len((band := _band(str(key), part)).steps) > 0
    )


def _band(name: str, rows: pd.DataFrame) -> Trend:
    table = rows.pivot_table(index="step", columns="statistic", values="value", aggfunc="mean").sort_index()
    table = table.reindex(columns=["mean", "low", "high"]).dropna()
    steps = table.index.to_numpy(dtype=float)
    return Trend(name, steps, *(table[column].to_numpy(dtype=np.float64) for column in table.columns))
