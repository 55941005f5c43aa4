"""Methods that weigh losses: one backward pass for all tasks together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from medmtl.optim.base import MethodInfo, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.checks import check_at_least, check_number
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.services import Services

_PROCESSES = "losses, counts and the one gradient are summed"
_EPSILON = 1e-8


def task_scalars(tasks: tuple[str, ...], value: float) -> dict[str, nn.Parameter]:
    """One learned number a task, float64 on the CPU; an absent task's number gets no gradient and stays."""
    return {task: nn.Parameter(torch.tensor(value, dtype=torch.float64)) for task in tasks}


def _values(scalars: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    return {task: scalar.detach().clone() for task, scalar in scalars.items()}


def _load_values(scalars: Mapping[str, nn.Parameter], saved: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for task, scalar in scalars.items():
            scalar.copy_(saved[task])


@methods.register("equal")
class Equal(Method):
    """The plain sum of the mean losses; with one task, ordinary single-task training."""

    info = MethodInfo(
        name="equal",
        family="weighting",
        backward_passes="1",
        extra_memory="none",
        state="none",
        needs_split=False,
        own_optimizer=False,
        mixed_precision="bf16; fp16 with a loss scale",
        processes=_PROCESSES,
        paper="-",
        evidence="definition",
    )

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        return [optimizer_factory(trainable(problem))]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        weights = dict.fromkeys(counts, 1.0)
        losses = services.backward(window, counts, weights)
        done = services.commit(self.optimizers)
        return StepReport(losses=losses, weights=weights, norm=done.norm, skipped=done.skipped)


@methods.register("uw")
class UncertaintyWeighting(Method):
    """Learned log-variances s: the sum of ½ exp(-s) L + ½ s, whose optimum has weight 1/(2 L).

    Args:
        initial: First value of every s.
        learning_rate: Learning rate of s; that of the network when left out. Schedules act on it alike.
    """

    info = MethodInfo(
        name="uw",
        family="weighting",
        backward_passes="1",
        extra_memory="K numbers",
        state="K log-variances and their optimizer",
        needs_split=False,
        own_optimizer=False,
        mixed_precision="bf16; fp16 with a loss scale; weights in float64",
        processes=_PROCESSES,
        paper="Kendall, Gal, Cipolla, CVPR 2018",
        evidence="library (the form as coded by TorchJD and LibMTL)",
    )

    def __init__(self, *, initial: float = 0.0, learning_rate: float | None = None) -> None:
        check_number("uw.initial", initial)
        if learning_rate is not None:
            check_number("uw.learning_rate", learning_rate, above=0.0)
        self.initial = float(initial)
        self.learning_rate = learning_rate

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self.log_variances = task_scalars(problem.tasks, self.initial)
        own = optimizer_factory([(f"log_variance.{task}", s) for task, s in self.log_variances.items()])
        for group in own.param_groups:
            group["weight_decay"] = 0.0  # decay would pull every weight towards one half
            group["lr"] = self.learning_rate or group["lr"]
        return [optimizer_factory(trainable(problem)), own]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        weights = {task: 0.5 * math.exp(-float(self.log_variances[task].detach())) for task in counts}
        losses = services.backward(window, counts, weights)
        for task, s in self.log_variances.items():
            s.grad = torch.tensor(0.5 - weights[task] * losses[task], dtype=s.dtype) if task in counts else None
        done = services.commit(self.optimizers)
        return StepReport(losses=losses, weights=weights, norm=done.norm, skipped=done.skipped)

    def _own_state(self) -> dict[str, Any]:
        return {"log_variances": _values(self.log_variances)}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        _load_values(self.log_variances, state["log_variances"])


@methods.register("famo")
class Famo(Method):
    """Decreases all losses at about the same relative rate; learns from the losses after the step.

    With z = softmax(w) and D = L - bound: weights z/(D c) with c = Σ z/D, which sum to 1; then the losses of the
    same window again, and one Adam step on w along Jᵀ(log D before - log D after), J the Jacobian of the softmax.

    Args:
        learning_rate: Learning rate of w; schedules do not act on it.
        weight_decay: Decay of w.
        bound: Lower bound of all losses.
    """

    info = MethodInfo(
        name="famo",
        family="weighting",
        backward_passes="1",
        extra_memory="K numbers",
        state="K logits and their Adam",
        needs_split=False,
        own_optimizer=False,
        mixed_precision="bf16; fp16 with a loss scale; weights in float64",
        processes=_PROCESSES,
        paper="Liu, Feng, Stone, Liu, NeurIPS 2023",
        evidence="library (TorchJD)",
        extra_forwards="1 without gradient; 2 when a window has several micro-batches",
    )

    def __init__(self, *, learning_rate: float = 0.025, weight_decay: float = 1e-3, bound: float = 0.0) -> None:
        check_number("famo.learning_rate", learning_rate, above=0.0)
        check_number("famo.weight_decay", weight_decay, least=0.0)
        check_number("famo.bound", bound)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.bound = bound

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self.logits = task_scalars(problem.tasks, 0.0)
        self._adam = Adam(self.logits.values(), lr=self.learning_rate, weight_decay=self.weight_decay)
        return [optimizer_factory(trainable(problem))]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        measured = services.losses(window, counts)
        check_at_least(measured.means, self.bound)
        weights = self._weights(measured.means)
        losses = services.backward(window, counts, weights, measured=measured)
        done = services.commit(self.optimizers)
        if not done.skipped:
            after = services.measure(window, counts)
            self._learn({task: self._log(losses[task]) - self._log(after[task]) for task in counts})
        return StepReport(losses=losses, weights=weights, norm=done.norm, skipped=done.skipped)

    def _log(self, loss: float) -> float:
        return math.log(max(loss - self.bound, 0.0) + _EPSILON)

    def _weights(self, means: Mapping[str, float]) -> dict[str, float]:
        z = torch.stack([self.logits[task].detach() for task in means]).softmax(0).tolist()
        ratios = [share / (mean - self.bound + _EPSILON) for share, mean in zip(z, means.values(), strict=True)]
        return {task: ratio / sum(ratios) for task, ratio in zip(means, ratios, strict=True)}

    def _learn(self, change: Mapping[str, float]) -> None:
        z = torch.stack([self.logits[task].detach() for task in change]).softmax(0)
        delta = torch.tensor(list(change.values()), dtype=z.dtype)
        for task, gradient in zip(change, z * (delta - z @ delta), strict=True):
            self.logits[task].grad = gradient
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def _own_state(self) -> dict[str, Any]:
        return {"logits": _values(self.logits), "adam": self._adam.state_dict()}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        _load_values(self.logits, state["logits"])
        self._adam.load_state_dict(state["adam"])
