"""Problems whose task gradients are given numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from hypothesis import strategies as st
from optim_toys import built
from torch import nn

from medmtl.optim import Services, StepReport, TaskLoss, methods

AGGREGATION = [name for name in methods if methods.get(name).info.family == "aggregation"]
ON_PARAMETERS = [name for name in AGGREGATION if not methods.get(name).info.needs_features]


def names(count: int) -> tuple[str, ...]:
    return tuple(f"t{place}" for place in range(count))


class Given(nn.Module):
    """A batch maps tasks to rows g_k; the loss of task k is g_k · w + 1, its gradient g_k. No row, no label."""

    def __init__(self, tasks: tuple[str, ...], size: int, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.tasks = tasks
        self.w = nn.Parameter(torch.zeros(size, dtype=dtype))

    def counts(self, batch, tasks):
        return {task: 3 if task in batch else 0 for task in tasks}

    def losses(self, batch, tasks, buffers):
        return {task: TaskLoss(3 * (batch[task] @ self.w - batch[task] @ self.w.detach() + 1), 3) for task in tasks}


class Partly(nn.Module):
    """Every two of three tasks share a parameter, and all share one: which tasks reach what differs."""

    tasks = names(3)

    def __init__(self, tasks: tuple[str, ...] = tasks) -> None:
        super().__init__()
        self.tasks = tasks
        pairs = ("t1_t2", "t0_t2", "t0_t1", "t0_t1_t2")
        self.shared = nn.ParameterDict({pair: nn.Parameter(torch.zeros(4, dtype=torch.float64)) for pair in pairs})

    def counts(self, batch, tasks):
        return {task: 3 if task in batch else 0 for task in tasks}

    def losses(self, batch, tasks, buffers):
        def loss(task: str) -> TaskLoss:
            reached = torch.cat([value for pair, value in self.shared.items() if task in pair])
            return TaskLoss(3 * (batch[task] @ reached - (batch[task] @ reached).detach() + 1), 3)

        return {task: loss(task) for task in tasks}


def unit(named):
    return torch.optim.SGD([p for _, p in named], lr=1.0)


def follow(
    name: str, batches: list[Mapping[str, torch.Tensor]], *, tasks: tuple[str, ...] | None = None, **arguments: Any
) -> tuple[list[torch.Tensor], list[StepReport]]:
    """The directions of the steps, and their reports."""
    problem = Given(tasks or tuple(batches[0]), len(next(iter(batches[0].values()))))
    method, services = built(name, problem, unit, **arguments), Services(problem)
    directions, reports = [], []
    for batch in batches:
        before = problem.w.detach().clone()
        reports.append(method.update([batch], services))
        directions.append(before - problem.w.detach())
    return directions, reports


def direction(name: str, rows: torch.Tensor, **arguments: Any) -> torch.Tensor:
    """The direction of a first step."""
    return follow(name, [dict(zip(names(len(rows)), rows.double(), strict=True))], **arguments)[0][0]


def random_rows(tasks: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(tasks, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


entries = st.integers(-8, 8).map(lambda n: n / 4)


@st.composite
def row_sets(draw, least: int = 2, most: int = 5) -> torch.Tensor:
    """Rows that often conflict, coincide and depend on each other; none is zero."""
    count, size = draw(st.integers(least, most)), draw(st.integers(1, 5))
    row = st.lists(entries, min_size=size, max_size=size).filter(any)
    return torch.tensor(draw(st.lists(row, min_size=count, max_size=count)), dtype=torch.float64)
