"""The frame of every balancing method, and the one way to make a method by name."""

from __future__ import annotations

import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch.optim import Optimizer

from medmtl.errors import CheckpointError, ConfigError, suggestion
from medmtl.optim.analysis import ordinary_updates
from medmtl.optim.base import (
    FeatureProblem,
    Gradients,
    MethodInfo,
    OptimizerFactory,
    Plan,
    Problem,
    SplitProblem,
    StepReport,
    Window,
)
from medmtl.optim.services import Services
from medmtl.registry import Registry


class Method(ABC):
    """One way to turn the losses of several tasks into one update.

    The constructor takes the method's arguments only; `build` brings the problem. After that, one `update` a step.
    """

    info: ClassVar[MethodInfo]

    def build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> None:
        """Makes the optimizers and the method's own parameters.

        Args:
            problem: What is minimized.
            optimizer_factory: Makes an ordinary optimizer from named parameters.

        Raises:
            ConfigError: No task, nothing to train, or a network that this method cannot use.
        """
        self._check_problem(problem)
        self.tasks = tuple(problem.tasks)
        self.step = 0
        self.parameters = dict(trainable(problem))
        self.optimizers = self._build(problem, optimizer_factory)

    @property
    def measure_names(self) -> tuple[str, ...]:
        """Names of what `StepReport.measures` may hold, known once built: a log's columns."""
        return ()

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """All parameter groups, for schedules; read it anew after `load_state_dict`, which makes new ones."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def plan(self, step: int) -> Plan:
        """What update number ``step`` (from 0) needs; a pure function of the number, so that loaders may look ahead."""
        return Plan(self.tasks)

    def update(self, window: Window, services: Services) -> StepReport:
        """Does one update; without a label of any planned task it does nothing and says so.

        Args:
            window: The micro-batches, which together act as one big batch.
            services: Losses, gradients and steps for this problem.

        Raises:
            TrainingError: A loss that is not finite, or that this method cannot use; no parameter was changed, unless
                it is a `LossNotFiniteAfterStep`.
        """
        start = time.perf_counter()
        plan = self.plan(self.step)
        counts = services.counts(window, plan.tasks)
        report = self._update(window, counts, services) if counts else StepReport(skipped=True)
        self.step += 1
        return replace(report, counts=counts, phase=plan.phase, seconds=time.perf_counter() - start)

    def skip(self) -> None:
        """Counts an update that could not be done, so that plans and schedules go on."""
        self.step += 1

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Hears the mean training losses of an epoch; most methods do not care."""
        return

    def attributed_updates(
        self, gradients_by_task: Mapping[str, Gradients], *, taken: bool = False
    ) -> dict[str, Gradients]:
        """The part of an update that is each task's own, for analysis; changes nothing.

        Args:
            gradients_by_task: Gradients by task and parameter name, times the task's weight where the method has one.
            taken: They are those of the update just done, which the moments hold already; else of the one to come.

        Returns:
            lr · g_k / (√v̂ + eps) with the second moments of the ordinary optimizer, which all tasks share; lr · g_k
            for an optimizer without.
        """
        return ordinary_updates(self.optimizers, self.parameters, gradients_by_task, taken=taken)

    def state_dict(self) -> dict[str, Any]:
        """All state: position, optimizers, the method's own numbers and random state; plain types and tensors."""
        return {
            "method": self.info.name,
            "tasks": list(self.tasks),
            "step": self.step,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "own": self._own_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a saved state up again, after `build` with the same problem.

        Raises:
            CheckpointError: The state belongs to another method or to other tasks.
        """
        for key, mine in (("method", self.info.name), ("tasks", list(self.tasks))):
            if state.get(key) != mine:
                raise CheckpointError(
                    f"the saved balancing state has another {key}",
                    found=repr(state.get(key)),
                    remedy=f"this run has {mine!r}",
                )
        self.step = int(state["step"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._load_own_state(state["own"])

    @abstractmethod
    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        """Makes the optimizers."""

    @abstractmethod
    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        """Does one update with the present tasks, at least one."""

    def _own_state(self) -> dict[str, Any]:
        return {}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        return

    def _check_problem(self, problem: Problem) -> None:
        where = f"method '{self.info.name}'"
        if not problem.tasks:
            raise ConfigError("there is no task to train", where=where, remedy="name at least one task")
        if not any(parameter.requires_grad for _, parameter in problem.named_parameters()):
            raise ConfigError("no parameter needs a gradient", where=where, remedy="unfreeze a part of the network")
        if self.info.needs_split and not isinstance(problem, SplitProblem):
            raise ConfigError(
                "this method needs a network with one sub-model a task",
                where=where,
                found=type(problem).__name__,
                remedy="choose a cooperative network, or another method",
            )
        if self.info.needs_features and not isinstance(problem, FeatureProblem):
            raise ConfigError(
                "this method needs a network with one shared part whose features all tasks read",
                where=where,
                found=type(problem).__name__,
                remedy="choose a network with a shared encoder, or another method",
            )


methods: Registry[type[Method]] = Registry("balancing method")
"""All methods by name."""

DEFAULT_METHOD = "equal"


def make_method(name: str | None = None, /, **arguments: Any) -> Method:
    """Makes a method by name; it still has to be built.

    Args:
        name: The method; None is plain training with equal weights.
        **arguments: The method's own arguments.

    Raises:
        ConfigError: An unknown method, an argument that it does not have, or a value out of range.
    """
    kind = methods.get(name or DEFAULT_METHOD, where="method")
    known = argument_names(kind)
    for argument in arguments:
        if argument not in known:
            raise ConfigError(
                "the method has no such argument",
                where=f"{kind.info.name}.{argument}",
                remedy=_remedy(argument, known),
            )
    return kind(**arguments)


def argument_names(kind: type[Method]) -> tuple[str, ...]:
    """The arguments that a method takes."""
    return tuple(p.name for p in inspect.signature(kind).parameters.values() if p.kind is p.KEYWORD_ONLY)


def _remedy(argument: str, known: tuple[str, ...]) -> str:
    owners = [name for name in methods if argument in argument_names(methods.get(name))]
    return f"it belongs to: {', '.join(owners)}" if owners else suggestion(argument, known)


def trainable(problem: Problem) -> list[tuple[str, Any]]:
    """The named parameters that need a gradient."""
    return [(name, parameter) for name, parameter in problem.named_parameters() if parameter.requires_grad]
