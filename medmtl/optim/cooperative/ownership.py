"""Which parameters belong to which sub-model, and which part of a micro-batch to whose turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from torch import nn

from medmtl.errors import ConfigError
from medmtl.optim.base import Batch, PartedProblem, SplitProblem


def trainable_of(problem: SplitProblem, task: str) -> list[tuple[str, nn.Parameter]]:
    """The named parameters of a sub-model that need a gradient.

    Raises:
        ConfigError: There is none.
    """
    named = [(name, parameter) for name, parameter in problem.parameters_of(task) if parameter.requires_grad]
    if not named:
        raise ConfigError("the task's sub-model has nothing to train", where=f"task '{task}'")
    return named


def check_partition(owned: Mapping[str, list[tuple[str, nn.Parameter]]]) -> None:
    """Accepts sub-models that share nothing.

    Raises:
        ConfigError: A parameter belongs to two of them; names it.
    """
    owners = Counter(id(parameter) for named in owned.values() for _, parameter in named)
    for task, named in owned.items():
        for name, parameter in named:
            if owners[id(parameter)] > 1:
                raise ConfigError("a parameter belongs to two sub-models", where=f"task '{task}'", found=name)


def part_of(problem: SplitProblem, batch: Batch, task: str) -> Batch:
    """What of a micro-batch a turn of one task is about: all of it, unless the problem tells its parts apart."""
    return problem.part_of(batch, task) if isinstance(problem, PartedProblem) else batch
