"""Methods with one sub-model a task: one task is trained at a time, the others lend their features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from medmtl.errors import ConfigError
from medmtl.optim.base import (
    Batch,
    Buffers,
    MethodInfo,
    OptimizerFactory,
    Plan,
    Problem,
    SplitProblem,
    StepReport,
    TaskLoss,
    Window,
)
from medmtl.optim.checks import check_number
from medmtl.optim.method import Method, methods
from medmtl.optim.services import Services


@methods.register("alternating")
class Alternating(Method):
    """Trains the sub-models in turn, each on its own loss, the others held fixed with their buffers.

    This is gradient play: its fixed points are Nash points, not in general minima of the sum of the losses.

    Args:
        phase_steps: Updates of one task before the next one's turn.
    """

    info = MethodInfo(
        name="alternating",
        family="cooperative",
        backward_passes="1, through one sub-model",
        extra_memory="features of the K - 1 other tasks",
        state="K optimizers and the place in the round",
        needs_split=True,
        own_optimizer=False,
        mixed_precision="bf16; fp16 with a loss scale",
        processes="losses, counts and the one gradient are summed",
        paper="after Wu et al., arXiv 2309.12090",
        evidence="reconstruction, without the flat-minima term",
        extra_forwards="encoders of the other tasks, without gradient",
    )

    def __init__(self, *, phase_steps: int = 1) -> None:
        check_number("alternating.phase_steps", phase_steps, least=1, whole=True)
        self.phase_steps = phase_steps

    def plan(self, step: int) -> Plan:
        """The one task whose turn it is."""
        task = self.tasks[(step // self.phase_steps) % len(self.tasks)]
        return Plan((task,), phase=task)

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self.problem = cast(SplitProblem, problem)
        owned = {task: _trainable(self.problem, task) for task in problem.tasks}
        _check_partition(owned)
        self._by_task = {task: optimizer_factory(named) for task, named in owned.items()}
        return list(self._by_task.values())

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        (task,) = counts
        losses = services.backward(window, counts, {task: 1.0}, forward=self._losses)
        done = services.commit([self._by_task[task]])
        return StepReport(losses=losses, weights={task: 1.0}, norm=done.norm, skipped=done.skipped)

    def _losses(self, batch: Batch, tasks: tuple[str, ...], buffers: Buffers) -> dict[str, TaskLoss]:
        (task,) = tasks
        with torch.no_grad():
            others = {o: _detached(self.problem.encode(batch, o, "frozen")) for o in self.tasks if o != task}
        own = self.problem.encode(batch, task, buffers)
        return {task: self.problem.predict(batch, task, own, others, buffers)}


def _detached(features: Any) -> Any:
    """Cuts tensors in dictionaries, lists and tuples off their graph: an encoder may return a bare parameter."""
    if isinstance(features, torch.Tensor):
        return features.detach()
    if isinstance(features, Mapping):
        return {key: _detached(value) for key, value in features.items()}
    if isinstance(features, list | tuple):
        return [_detached(value) for value in features]
    return features


def _trainable(problem: SplitProblem, task: str) -> list[tuple[str, nn.Parameter]]:
    named = [(name, parameter) for name, parameter in problem.parameters_of(task) if parameter.requires_grad]
    if not named:
        raise ConfigError("the task's sub-model has nothing to train", where=f"task '{task}'")
    return named


def _check_partition(owned: dict[str, list[tuple[str, nn.Parameter]]]) -> None:
    owners = Counter(id(parameter) for named in owned.values() for _, parameter in named)
    for task, named in owned.items():
        for name, parameter in named:
            if owners[id(parameter)] > 1:
                raise ConfigError("a parameter belongs to two sub-models", where=f"task '{task}'", found=name)
