"""The frame of methods that turn losses into weights and take one backward pass for all tasks together."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from torch.optim import Optimizer

from medmtl.errors import ConfigError, suggestion
from medmtl.optim.base import MethodInfo, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.checks import LossOutOfRange, check_number
from medmtl.optim.method import Method, trainable
from medmtl.optim.services import Services

Accepted = Literal["any", "zero or more", "positive"]
"""The losses that a method can use."""

MEASURED = "0; 1 without gradient when a window has several micro-batches"
"""Extra forwards of a method whose weights depend on the losses of the window."""


class LossWeighting(Method):
    """Losses, then one weight a task, then one backward pass.

    A new method says in `_weights` what the weights are, a pure function of the losses and of its state. State that
    moves is written in `_accept`, which only a step that was taken reaches: an overflow leaves it as it was.
    """

    measures: ClassVar[bool] = False
    """Whether the weights depend on the losses of the whole window, which are then measured first."""

    accepts: Accepted = "any"
    """The losses that the method can use; others end the step with an error before anything is written."""

    @abstractmethod
    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        """The factor of each present task's mean loss; must not change state.

        Args:
            tasks: The present tasks.
            means: Their mean losses over the window; empty unless the method `measures`.
        """

    def _trained(self, weights: Mapping[str, float]) -> Mapping[str, float]:
        """The weights of the tasks that take part in the backward pass; all of them unless a method leaves some out."""
        return weights

    def _prepare(self, means: Mapping[str, float], weights: Mapping[str, float]) -> None:
        """Sets the gradients of learned numbers before the step."""
        return

    def _accept(self, means: Mapping[str, float]) -> None:
        """Moves the state after a step that was taken."""
        return

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        return [optimizer_factory(trainable(problem))]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        measured = services.losses(window, counts) if self.measures else None
        means = measured.means if measured else {}
        check_losses(self.info.name, means, self.accepts)
        weights = self._weights(tuple(counts), means)
        losses = services.backward(window, counts, self._trained(weights), measured=measured)
        check_losses(self.info.name, losses, self.accepts)
        self._prepare(losses, weights)
        done = services.commit(self.optimizers)
        if not done.skipped:
            self._accept(losses)
        return StepReport(losses=losses, weights=weights, norm=done.norm, skipped=done.skipped)


def weighting_info(
    name: str,
    *,
    paper: str,
    evidence: str,
    state: str = "none",
    backward_passes: str = "1",
    extra_memory: str = "none",
    mixed_precision: str = "bf16; fp16 with a loss scale; weights in float64",
    processes: str = "losses, counts and the one gradient are summed",
    extra_forwards: str = "0",
    clipping: Literal["direction", "tasks", "both"] = "direction",
) -> MethodInfo:
    """The facts of a loss-weighting method; what most of them share is filled in."""
    return MethodInfo(
        name=name,
        family="weighting",
        backward_passes=backward_passes,
        extra_memory=extra_memory,
        state=state,
        needs_split=False,
        own_optimizer=False,
        mixed_precision=mixed_precision,
        processes=processes,
        paper=paper,
        evidence=evidence,
        extra_forwards=extra_forwards,
        clipping=clipping,
    )


def softmax(logits: Mapping[str, float]) -> dict[str, float]:
    """Softmax over names in float64, with the maximum subtracted; the order of the names does not matter.

    Args:
        logits: Finite numbers or minus infinity, at least one finite.
    """
    peak = max(logits.values())
    powers = {name: math.exp(value - peak) for name, value in logits.items()}
    total = math.fsum(powers.values())
    return {name: power / total for name, power in powers.items()}


def check_losses(method: str, means: Mapping[str, float], accepted: Accepted) -> None:
    """Accepts losses that the method can use.

    Raises:
        LossOutOfRange: A negative loss, or a loss of zero where it must be positive; names the task.
    """
    for task, mean in means.items():
        if accepted != "any" and (mean < 0 or (mean == 0 and accepted == "positive")):
            raise LossOutOfRange(
                f"'{method}' needs losses that are {accepted}",
                where=f"task '{task}'",
                found=f"{mean:g}",
                remedy="choose another loss for this task, or another method",
            )


def check_share(where: str, value: object) -> None:
    """Accepts a number from 0 on and below 1.

    Raises:
        ConfigError: Anything else.
    """
    check_number(where, value, least=0.0)
    if value >= 1:  # type: ignore[operator]
        raise ConfigError("out of range", where=where, found=repr(value), remedy="use a number >= 0 and < 1")


def check_flag(where: str, value: object) -> None:
    """Accepts true or false.

    Raises:
        ConfigError: Anything else.
    """
    if not isinstance(value, bool):
        raise ConfigError("not a truth value", where=where, found=repr(value), remedy="use true or false")


def check_numbers(where: str, values: object, *, least: float | None = None, above: float | None = None) -> None:
    """Accepts a mapping of task names to numbers within their range; None is no mapping and passes.

    Raises:
        ConfigError: Anything else.
    """
    if values is None:
        return
    if not isinstance(values, Mapping):
        raise ConfigError("not a mapping", where=where, found=repr(values), remedy="give one number a task name")
    for task, value in values.items():
        check_number(f"{where}.{task}", value, least=least, above=above)


def check_tasks(where: str, names: Iterable[str] | None, tasks: tuple[str, ...]) -> None:
    """Accepts names that are exactly the tasks of the problem; None passes.

    Raises:
        ConfigError: A name that is no task, or a task without a name.
    """
    if names is None:
        return
    given = list(names)
    for name in given:
        if name not in tasks:
            raise ConfigError("there is no such task", where=where, found=f"'{name}'", remedy=suggestion(name, tasks))
    missing = [task for task in tasks if task not in given]
    if missing:
        raise ConfigError("tasks are missing", where=where, found=", ".join(given), remedy=f"add {', '.join(missing)}")
