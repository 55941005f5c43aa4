"""Who moves what: which figures a run's log and its probe's table allow, each with its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from medmtl.reporting.balance.drawing import Look, beside
from medmtl.reporting.balance.grids import task_matrix
from medmtl.reporting.balance.pairs import Comparison, comparisons
from medmtl.reporting.balance.share_charts import NOTE as SHARES_NOTE
from medmtl.reporting.balance.share_charts import share_charts
from medmtl.reporting.balance.shares import read_shares
from medmtl.reporting.balance.told import line_chart, listed
from medmtl.reporting.balance.transfer import Transfer, flat_gaps, read_transfer
from medmtl.reporting.balance.trends import Trend, moves, names, needs_logarithm, probed, trends
from medmtl.reporting.chart import Chart, ChartGroup
from medmtl.reporting.tables import format_number

MAX_PAIRS = 6
"""Pairs of tasks whose cosines are drawn as lines; more become a table of means."""

MANY = 4
"""Tasks whose square of cells fits a narrow figure."""

_BAND = "Lines are means over neighboring updates; bands span 5 to 95 % of the updates."


def balance_charts(log: pd.DataFrame, probe: pd.DataFrame) -> tuple[ChartGroup, ...]:
    """Draws what there is: weights, norms and cosines, update shares, conflict, cooperation.

    Args:
        log: A run's log; may be empty.
        probe: The table of its looks at the tasks' gradients (``step``, ``measure``, ``tasks``, ``layer``,
            ``statistic``, ``value``); may be empty.

    Returns:
        Groups of figures, without those that would be empty.
    """
    tasks = names(log, "loss/")
    shares = read_shares(probe)
    groups = (
        ChartGroup("Weights and gradients", _BAND, tuple(_pull(log, probe, tasks))),
        ChartGroup("Update shares", SHARES_NOTE, tuple(share_charts(shares, tasks)) if shares else ()),
        ChartGroup("Conflict", _CONFLICT, tuple(_conflict_chart(one, tasks) for one in comparisons(probe))),
        ChartGroup("Cooperation", _COOPERATION, tuple(_cooperation(log, tasks))),
    )
    return tuple(group for group in groups if group.charts)


def _pull(log: pd.DataFrame, probe: pd.DataFrame, tasks: Sequence[str]) -> Iterator[Chart]:
    weights = trends(log, "weight/")
    if weights and moves(weights):
        yield line_chart("Task weights", weights, Look("Weight of the mean loss"), tasks)
    norms = trends(log, "gradient_norm/") or probed(probe, "gradient_norm")
    if norms:
        caption = (
            "Euclidean norm of the gradient of each task's mean loss, unweighted, over all parameters that it reaches."
        )
        yield line_chart("Gradient norms", norms, Look("Gradient norm"), tasks, caption)
    cosines = trends(log, "cosine/")
    if 0 < len(cosines) <= MAX_PAIRS:
        named = [replace(line, name=line.name.replace("|", " and ", 1)) for line in cosines]
        yield line_chart("Cosines between gradients", named, _COSINE, (), "Below 0 the two tasks are in conflict.")
    elif cosines:
        yield _cosine_matrix(cosines)


_COSINE = Look("Cosine", level=(0.0, "no conflict above"), limits=(-1.05, 1.05))


_COSINES = {0.0: "−1", 0.5: "0", 1.0: "1"}


def _cosine_matrix(cosines: Sequence[Trend]) -> Chart:
    pairs = {tuple(line.name.split("|", 1)): float(line.middle.mean()) for line in cosines}
    tasks = list(dict.fromkeys(task for pair in pairs for task in pair))
    means = np.array([[1.0 if a == b else pairs.get((a, b), pairs.get((b, a), np.nan)) for b in tasks] for a in tasks])
    texts = [["" if np.isnan(value) else format_number(float(value), 2) for value in row] for row in means]
    drawn = task_matrix((means + 1) / 2, texts, tasks, ("Task", "Task"), "Mean cosine", _COSINES)
    alt = f"Mean cosines between the gradients of {len(tasks)} tasks: " + listed(
        f"{a} and {b} {pairs[a, b]:.2f}" for a, b in pairs
    )
    caption = "Means over all updates; purple pairs are in conflict."
    return Chart("Mean cosines between gradients", alt, drawn, caption, wide=len(tasks) > MANY)


_CONFLICT = (
    "Left: two tasks on the same sample. Right: two samples of the same task, the spread that is there without any "
    "second task. Bands span 95 % of the pairs of a look."
)
_MEASURES = {
    "cosine": (
        "Cosine of gradients",
        Look("Cosine", (0.0, "no conflict above"), (-1.05, 1.05)),
        "1 is the same direction.",
    ),
    "magnitude": (
        "Magnitude similarity of gradients",
        Look("Magnitude similarity", limits=(0.0, 1.03)),
        "2|g||g′| / (|g|² + |g′|²): 1 for equal norms, near 0 where one gradient drowns the other.",
    ),
    "opposed": (
        "Share of opposed coordinates",
        Look("Opposed coordinates", (0.5, "random signs"), (0.0, 1.0), percent=True),
        "Coordinates in which the two gradients have opposite signs.",
    ),
}


def _conflict_chart(one: Comparison, tasks: Sequence[str]) -> Chart:
    title, look, caption = _MEASURES[one.measure]
    parts = [("Between tasks (same sample)", one.tasks), ("Between samples (same task)", one.samples)]
    shown = [(name, lines_) for name, lines_ in parts if lines_]
    told = listed(f"{line.name} {line.middle.mean():.2f}" for _, part in shown for line in part)
    return Chart(title, f"{title}, mean over all looks: {told}", beside(shown, look, tasks), caption, wide=True)


_COOPERATION = (
    "Measured in traced phases: one sub-model was updated, the others were held fixed, and all looked at the same images "
    "before and after."
)


def _cooperation(log: pd.DataFrame, tasks: Sequence[str]) -> Iterator[Chart]:
    gaps = flat_gaps(log)
    if gaps:
        look = Look("Added to the loss", (0.0, "no difference"))
        yield line_chart("What the perturbation adds to the loss", gaps, look, tasks, _BAND)
    drifts = trends(log, "drift/")
    if drifts:
        look = Look("Relative change of the features", percent=True, logarithmic=needs_logarithm(drifts))
        caption = (
            "Median over samples of ‖z′ − z‖ / ‖z‖ in one phase. A radius of perturbation above it covers what the "
            "other sub-models really do."
        )
        yield line_chart("Drift in a phase", drifts, look, tasks, caption)
    transfer = read_transfer(log, tasks)
    if transfer is not None:
        yield _transfer_chart(transfer)
        for task in transfer.tasks:
            yield from _added_chart(transfer, task)


def _transfer_chart(transfer: Transfer) -> Chart:
    mean, rose = transfer.mean(), transfer.rose()
    texts = [
        [
            "" if np.isnan(change) else f"{_signed(change)}\nrose {share:.0%}"
            for change, share in zip(*rows, strict=True)
        ]
        for rows in zip(mean, rose, strict=True)
    ]
    drawn = task_matrix(
        rose, texts, transfer.tasks, ("Phase of", "Loss of"), "Phases in which the loss rose", {0.5: "50%"}
    )
    told = listed(
        f"{loss} in phases of {phase} {_signed(mean[i, j])}"
        for i, phase in enumerate(transfer.tasks)
        for j, loss in enumerate(transfer.tasks)
        if np.isfinite(mean[i, j])
    )
    caption = (
        "Mean change of each loss in one phase, and how often it rose. Orange off the diagonal is negative transfer."
    )
    wide = len(transfer.tasks) > MANY
    return Chart("Transfer between tasks", f"Mean change of the loss of {told}", drawn, caption, wide)


def _added_chart(transfer: Transfer, task: str) -> Iterator[Chart]:
    added = transfer.added(task)
    if added:
        caption = "Running sums over traced phases: lines that rise are negative transfer."
        title = f"What phases did to the loss of {task}"
        yield line_chart(
            title, added, Look(f"Added to the loss of {task}", (0.0, "no change")), transfer.tasks, caption
        )


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + format_number(value)
