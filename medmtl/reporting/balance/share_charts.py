"""The figures of update shares, each with its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from medmtl.reporting.balance.drawing import Look
from medmtl.reporting.balance.grids import layer_bars, layer_map
from medmtl.reporting.balance.shares import (
    Shares,
    by_layer,
    grouped,
    largest,
    leaning,
    of_task,
    over_layers,
    reached_by_all,
    thinned,
)
from medmtl.reporting.balance.told import line_chart
from medmtl.reporting.balance.trends import Array, Trend
from medmtl.reporting.chart import Chart

NOTE = (
    "rAU: the decaying average of squared updates that are due to a task, as a share of all tasks' (after AdaTask); "
    "only layers that several tasks reach. In the maps white is an even share, 1 by the number of tasks that reach the "
    "layer; hatched layers are out of the task's reach."
)


def share_charts(shares: Shares, tasks: Sequence[str]) -> Iterator[Chart]:
    """Mean shares over updates, bars by layer, and maps of layers by looks: of the largest share and of each task's.

    Args:
        shares: Which task moves which layer when.
        tasks: Names in the order of their colors.
    """
    yield _mean_chart(reached_by_all(shares), tasks)
    rows = grouped(shares)
    merged = f" Each row is the mean of up to {max(rows.merged)} layers." if max(rows.merged) > 1 else ""
    yield _bar_chart(rows, tasks, merged)
    columns = thinned(rows)
    yield _map_chart("Largest share in each layer", columns, largest(columns), "Largest share", merged)
    for task in shares.tasks:
        yield _map_chart(f"Share of {task}", columns, of_task(columns, task), f"Share of {task}", merged)


def _mean_chart(shares: Shares, tasks: Sequence[str]) -> Chart:
    mean, even = over_layers(shares), 1 / len(shares.tasks)
    drawn = [_known(Trend(name, shares.steps, row, row, row)) for name, row in zip(shares.tasks, mean.T, strict=True)]
    top = min(1.0, 1.15 * max(2 * even, float(np.nanmax(mean))))
    look = Look("Mean share of the update", (even, f"even: 1/{len(shares.tasks)}"), (0.0, top), percent=True)
    all_reach = bool((shares.reach == len(shares.tasks)).all())
    which = "layers that all tasks reach" if all_reach else "layers; a task counts only in those that it reaches"
    caption = f"Over {len(shares.layers)} {which}. Every layer counts once, whatever its size."
    return line_chart("Mean share over layers", drawn, look, tasks, caption)


def _bar_chart(rows: Shares, tasks: Sequence[str], merged: str) -> Chart:
    means = by_layer(rows)
    ruled = ", ".join(
        f"{layer} {shares[int(np.nanargmax(shares))]:.0%} {rows.tasks[int(np.nanargmax(shares))]}"
        for layer, shares in zip(rows.layers, means, strict=True)
        if np.isfinite(shares).any()
    )
    drawn = layer_bars(means, rows.layers, rows.tasks, tasks, rows.even)
    return Chart(
        "Share in each layer", f"Largest mean share in each layer: {ruled}", drawn, f"Means over all looks.{merged}"
    )


def _map_chart(title: str, columns: Shares, values: Array, label: str, merged: str) -> Chart:
    even = columns.even
    beside_white = f"{even[0]:.0%}\neven" if np.ptp(even) == 0 else "even"
    drawn = layer_map(leaning(values, even), columns.layers, columns.steps, label, beside_white)
    spread = f"from {np.nanmin(values):.0%} to {np.nanmax(values):.0%}, mean {np.nanmean(values):.0%}"
    alt = f"{title}, {len(columns.layers)} rows by {len(columns.steps)} looks: {spread}"
    return Chart(title, alt, drawn, f"Layers from input to output.{merged}")


def _known(line: Trend) -> Trend:
    known = np.isfinite(line.middle)
    return replace(line, steps=line.steps[known], middle=line.middle[known], low=line.low[known], high=line.high[known])
