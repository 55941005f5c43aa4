"""What the phases of alternating sub-models did to each other's losses, out of a run's log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medmtl.reporting.balance.trends import Array, Trend, binned, names, numbers, training_rows

PREFIX = "transfer/"


@dataclass(frozen=True, eq=False)
class Transfer:
    """Changes of losses in traced phases; a positive change is a loss that rose: negative transfer.

    Attributes:
        tasks: Names, in the order of rows and columns.
        steps: By (task of the phase, task of the loss): the updates at which traced phases ended.
        changes: By the same pairs: change of the mean loss in each of these phases.
    """

    tasks: tuple[str, ...]
    steps: dict[tuple[str, str], Array]
    changes: dict[tuple[str, str], Array]

    def mean(self) -> Array:
        """Mean change in a phase, (K phases, K losses); NaN where nothing was traced."""
        return self._each(lambda change: float(change.mean()))

    def rose(self) -> Array:
        """Share of the phases in which the loss rose, in [0, 1], (K phases, K losses)."""
        return self._each(lambda change: float((change > 0).mean()))

    def added(self, task: str) -> tuple[Trend, ...]:
        """What the phases of each task have added to the loss of one task so far: running sums over updates."""
        pairs = [(phase, task) for phase in self.tasks if (phase, task) in self.changes]
        return tuple(_running(phase, self.steps[phase, loss], self.changes[phase, loss]) for phase, loss in pairs)

    def _each(self, measure: Callable[[Array], float]) -> Array:
        table = np.full((len(self.tasks), len(self.tasks)), np.nan)
        for (phase, loss), change in self.changes.items():
            table[self.tasks.index(phase), self.tasks.index(loss)] = measure(change)
        return table


def read_transfer(log: pd.DataFrame, order: Sequence[str] = ()) -> Transfer | None:
    """Gathers the columns ``transfer/PHASE/LOSS``; None where nothing was traced.

    Args:
        log: A run's log.
        order: Tasks that come first, in this order.
    """
    rows = training_rows(log)
    steps, changes = {}, {}
    for name in names(rows, PREFIX):
        phase, _, loss = name.partition("/")
        found = numbers(rows, ("step", f"{PREFIX}{name}")).to_numpy()
        if loss and len(found):
            steps[phase, loss], changes[phase, loss] = found[:, 0], found[:, 1]
    traced = {task for pair in changes for task in pair}
    tasks = [task for task in order if task in traced] + sorted(traced - set(order))
    return Transfer(tuple(tasks), steps, changes) if changes else None


def _running(name: str, steps: Array, changes: Array) -> Trend:
    line = binned(name, steps, np.cumsum(changes))
    return Trend(name, line.steps, line.middle, line.middle, line.middle)


def flat_gaps(log: pd.DataFrame) -> tuple[Trend, ...]:
    """What the perturbation adds to each task's own loss: ``flat/T`` less ``loss/T`` of the same update."""
    rows = training_rows(log)
    found = {}
    for name in names(rows, "flat/"):
        if f"loss/{name}" in rows:
            table = numbers(rows, ("step", f"flat/{name}", f"loss/{name}")).to_numpy()
            found[name] = (table[:, 0], table[:, 1] - table[:, 2])
    return tuple(binned(name, steps, gap) for name, (steps, gap) in found.items() if len(steps))
