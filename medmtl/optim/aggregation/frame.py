"""The frame of all methods that compare the tasks' gradients: K backward passes, then one direction."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from medmtl.errors import ConfigError, suggestion
from medmtl.optim.aggregation.rule import Rule
from medmtl.optim.base import Gradients, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.gradients import cosines, gramian, shared_names
from medmtl.optim.method import Method, trainable
from medmtl.optim.services import Services


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one step knows: the present tasks, their mean losses and gradients, and how these relate.

    Attributes:
        losses: Mean loss of each present task, in the order of ``rows``.
        rows: The gradients, one a task.
        shared: The parameters that at least two of the tasks reach.
        products: Gramian of the rows over the shared parameters, (K, K), float64, CPU.
    """

    losses: Mapping[str, float]
    rows: list[Gradients]
    shared: list[str]
    products: Tensor

    @property
    def tasks(self) -> list[str]:
        """The present tasks."""
        return list(self.losses)


@dataclass(frozen=True, slots=True)
class Decision:
    """The direction of a step, the tasks' weights where there are any, and how to keep what was learned.

    ``remember`` is called when the step was taken, and never when it was skipped.
    """

    direction: Gradients
    weights: Mapping[str, float]
    remember: Callable[[], None]


class Aggregation(Method):
    """A method given by a `Rule` on the gradients over shared parameters; others get their plain gradient."""

    entry: ClassVar[Callable[..., Rule]]

    def __init__(self, **arguments: Any) -> None:
        self.rule = type(self).entry(**arguments)
        seed = self.rule.seed
        self._random = None if seed is None else torch.Generator().manual_seed(seed)

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        for setting in self.rule.by_task.values():
            for task in setting.values:
                _check_task(setting.argument, task, problem.tasks)
        if self.rule.first is not None:
            _check_task(*self.rule.first, problem.tasks)
        self._kept = {kept.attribute: kept.fresh(len(problem.tasks)) for kept in self.rule.kept}
        return [optimizer_factory(trainable(problem))]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        found = list(services.task_gradients(window, counts, "collect"))
        losses = {result.task: result.loss for result in found}
        norms = {result.task: result.norm for result in found}
        rows = [result.gradients for result in found]
        shared = shared_names(rows)
        products = gramian(rows, shared)
        if not (all(result.finite for result in found) and _finite(products)):
            services.commit(self.optimizers, {}, finite=False)
            return StepReport(losses=losses, gradient_norms=norms, skipped=True)
        decision = self._decide(Gathered(losses, rows, shared, products))
        done = services.commit(self.optimizers, decision.direction)
        if not done.skipped:
            decision.remember()
        return StepReport(
            losses=losses,
            weights=decision.weights,
            gradient_norms=norms,
            cosines=cosines(list(losses), products),
            norm=done.norm,
            skipped=done.skipped,
        )

    @abstractmethod
    def _decide(self, step: Gathered) -> Decision:
        """Chooses the direction and changes no state."""

    def _order(self, tasks: list[str]) -> list[int]:
        """Places of the tasks in the order of the rule: what it draws or prefers must not follow the caller's."""
        first = self.rule.first[1] if self.rule.first else None
        return sorted(range(len(tasks)), key=lambda place: (tasks[place] != first, tasks[place]))

    def _own_state(self) -> dict[str, Any]:
        random = {} if self._random is None else {"random": self._random.get_state()}
        return random | {"kept": {name: values.clone() for name, values in self._kept.items()}}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        if self._random is not None:
            self._random.set_state(state["random"].cpu())
        self._kept = {name: values.cpu().clone() for name, values in state["kept"].items()}

    def _settle(self, tasks: list[str], like: Tensor) -> None:
        """Hands the library's object the values of these tasks."""
        for attribute, setting in self.rule.by_task.items():
            setattr(self.rule.library, attribute, setting.vector(tasks).to(like))


def _finite(products: Tensor) -> bool:
    return all(math.isfinite(value) for row in products.tolist() for value in row)


def _check_task(argument: str, task: str, tasks: tuple[str, ...]) -> None:
    if task not in tasks:
        raise ConfigError("unknown task", where=argument, found=f"'{task}'", remedy=suggestion(task, tasks))
