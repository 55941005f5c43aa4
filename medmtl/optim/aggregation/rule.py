"""What an entry of the table of aggregation methods says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

Prepare: TypeAlias = Callable[[Tensor, Mapping[str, float]], Tensor]
"""Gramian (K, K) and mean losses of the same K tasks to the Gramian that the library sees."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Numbers that a rule keeps by task from step to step; those of an absent task rest.

    Attributes:
        attribute: Where the library's object holds them.
        order: 1 for a number a task, 2 for a number an ordered pair of tasks.
        start: The first value; ``share`` is one over the number of tasks.
    """

    attribute: str
    order: Literal[1, 2] = 1
    start: float | Literal["share"] = 0.0

    def fresh(self, tasks: int) -> Tensor:
        """The first values for all tasks, float64."""
        value = 1 / tasks if self.start == "share" else self.start
        return torch.full((tasks,) * self.order, value, dtype=torch.float64)


@dataclass(frozen=True, slots=True)
class ByTask:
    """An argument with a value for each task, handed to the library for the tasks at hand.

    Attributes:
        argument: Its full name, for errors.
        values: Task to value; a task that is not named has ``default``.
        default: The value of the others.
        normalized: The values of the tasks at hand are scaled to the sum 1.
    """

    argument: str
    values: Mapping[str, float]
    default: float
    normalized: bool = False

    def vector(self, tasks: list[str]) -> Tensor:
        """The values of these tasks, float64."""
        values = torch.tensor([self.values.get(task, self.default) for task in tasks], dtype=torch.float64)
        return values / values.sum() if self.normalized else values


def per_trace(products: Tensor, losses: Mapping[str, float]) -> Tensor:
    """The Gramian scaled to trace 1, for rules whose weights do not depend on its scale.

    The library compares with absolute bounds; small gradients must not fall below them.
    """
    return products / products.diagonal().sum()


def as_it_is(products: Tensor, losses: Mapping[str, float]) -> Tensor:
    """The Gramian unchanged, for rules to which its scale matters."""
    return products


@dataclass(frozen=True, slots=True)
class Rule:
    """What an entry of the table makes of a method's arguments.

    Attributes:
        library: TorchJD's object: a Weighting of the Gramian, or, of coordinate rules, an Aggregator.
        prepare: What is done to the Gramian first.
        seed: Seed of the draws; None where nothing is drawn.
        kept: What the library's object keeps by task.
        by_task: Attribute of the library's object to the argument that fills it.
        first: Name of the argument and the task that comes first while it is present; else tasks are sorted.
    """

    library: Any
    prepare: Prepare = per_trace
    seed: int | None = None
    kept: tuple[Kept, ...] = ()
    by_task: Mapping[str, ByTask] = field(default_factory=dict)
    first: tuple[str, str] | None = None
