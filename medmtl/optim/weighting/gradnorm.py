"""GradNorm: gradient norms in proportion to how far each task lags behind."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import reduce
from typing import Any

import torch
from torch.optim import Optimizer

from medmtl.optim.base import Gradients, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.checks import check_number
from medmtl.optim.gradients import add_gradients, scale_gradients
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.results import TaskGradient
from medmtl.optim.services import Services
from medmtl.optim.weighting.frame import check_losses, softmax, weighting_info
from medmtl.optim.weighting.learned import (
    check_learning_rate,
    load_scalars,
    make_scalars,
    scalar_optimizer,
    scalar_state,
    set_slopes,
    values_of,
)
from medmtl.optim.weighting.reach import Reach, extended, load_reach, reach_state, shared


@methods.register("gradnorm")
class GradNorm(Method):
    """GradNorm: weights w = K softmax(u), learned so that the tasks' weighted gradient norms follow their progress.

    With G_k = ‖w_k g_k‖ on the shared parameters and the relative progress r_k = (L_k / L_k(0)) / its mean over the
    tasks, u takes one step down Σ |G_k - mean(G) r_k^α|, where mean(G) r_k^α is held constant. Because w_k is a
    factor, the derivative along w_k is ±‖g_k‖: no second backward pass is needed. The weights of the present tasks
    sum to their number, and they act on the whole gradient of their task, heads included.

    Shared are all parameters that at least two tasks have reached so far (as in LibMTL; the paper takes the last
    shared layer). L_k(0) is the loss of a task in its first step with labels (LibMTL: the mean of the first epoch).
    A task's weight rests while it is absent. Losses must not be negative, and L_k(0) must be positive.

    Args:
        alpha: Strength α, from 0 to 100, of the pull towards a common rate of progress; 0 makes the norms equal. 1.5 by
            default.
        learning_rate: Learning rate of u; that of the network when left out. Schedules act on it alike.
    """

    info = weighting_info(
        "gradnorm",
        paper="Chen et al., ICML 2018",
        evidence="library (LibMTL); the closed form of the slope is derived",
        state="K logits and their optimizer, first losses, names of shared parameters",
        backward_passes="K",
        extra_memory="1 gradient; K with several micro-batches",
        processes="losses, counts and each task's gradient are summed before its norm is taken",
        clipping="both",
    )

    def __init__(self, *, alpha: float = 1.5, learning_rate: float | None = None) -> None:
        check_number("gradnorm.alpha", alpha, least=0.0, most=100.0)
        check_learning_rate("gradnorm.learning_rate", learning_rate)
        self.alpha = float(alpha)
        self.learning_rate = learning_rate
        self._first: dict[str, float] = {}
        self._reach: Reach = {}

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self.logits = make_scalars(dict.fromkeys(problem.tasks, 0.0))
        own = scalar_optimizer("gradnorm", self.logits, optimizer_factory, self.learning_rate)
        return [optimizer_factory(trainable(problem)), *own]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        weights = gradnorm_weights(values_of(self.logits), counts)
        sums = _Sums(weights)
        for result in services.task_gradients(window, counts, "stream"):
            sums.add(result)
        first = self._first_losses(sums.losses)
        reach = extended(self._reach, sums.lengths)
        set_slopes(self.logits, self._slopes(sums, first, shared(reach)) if sums.finite else {})
        done = services.commit(self.optimizers, sums.direction, finite=sums.finite)
        if not done.skipped:
            self._first, self._reach = first, reach
        return StepReport(
            losses=sums.losses, weights=weights, gradient_norms=sums.norms, norm=done.norm, skipped=done.skipped
        )

    def _first_losses(self, losses: Mapping[str, float]) -> dict[str, float]:
        check_losses(self.info.name, losses, "zero or more")
        new = {task: loss for task, loss in losses.items() if task not in self._first}
        check_losses(self.info.name, new, "positive")
        return {**self._first, **new}

    def _slopes(self, sums: _Sums, first: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
        norms = {task: partial_norm(lengths, names) for task, lengths in sums.lengths.items()}
        progress = relative_progress(sums.losses, first)
        return gradnorm_slopes(sums.weights, norms, progress, self.alpha)

    def _own_state(self) -> dict[str, Any]:
        return {"logits": scalar_state(self.logits), "first": dict(self._first), "reach": reach_state(self._reach)}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        load_scalars(self.logits, state["logits"])
        self._first = dict(state["first"])
        self._reach = load_reach(state["reach"])


class _Sums:
    """What is kept of gradients that come one by one: their weighted sum, and their length on each parameter."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = weights
        self.direction: Gradients = {}
        self.lengths: dict[str, dict[str, float]] = {}
        self.losses: dict[str, float] = {}
        self.norms: dict[str, float] = {}
        self.finite = True

    def add(self, result: TaskGradient) -> None:
        self.losses[result.task] = result.loss
        self.norms[result.task] = result.norm
        self.finite = self.finite and result.finite
        self.lengths[result.task] = lengths_by_name(result.gradients)
        scale_gradients(result.gradients.values(), self.weights[result.task])
        add_gradients(self.direction, result.gradients)


def lengths_by_name(gradients: Gradients) -> dict[str, float]:
    """The Euclidean norm of the gradient on each parameter, read in one transfer."""
    if not gradients:
        return {}
    norms = torch._foreach_norm(list(gradients.values()))
    wide = reduce(torch.promote_types, (norm.dtype for norm in norms), torch.float32)
    return dict(zip(gradients, torch.stack([norm.to(wide) for norm in norms]).tolist(), strict=True))


def partial_norm(lengths: Mapping[str, float], names: Collection[str]) -> float:
    """The Euclidean norm over some parameters."""
    return math.hypot(*(length for name, length in lengths.items() if name in names))


def gradnorm_weights(logits: Mapping[str, float], tasks: Collection[str]) -> dict[str, float]:
    """K softmax over the present tasks."""
    return {task: len(tasks) * share for task, share in softmax({task: logits[task] for task in tasks}).items()}


def relative_progress(losses: Mapping[str, float], first: Mapping[str, float]) -> dict[str, float]:
    """Each loss over its first value, divided by the mean of these ratios; 1 for all when every loss is zero."""
    ratios = {task: loss / first[task] for task, loss in losses.items()}
    mean = math.fsum(ratios.values()) / len(ratios)
    return {task: ratio / mean if mean else 1.0 for task, ratio in ratios.items()}


def gradnorm_slopes(
    weights: Mapping[str, float], norms: Mapping[str, float], progress: Mapping[str, float], alpha: float
) -> dict[str, float]:
    """The derivative of Σ |w_k n_k - mean(w n) r_k^α| along the logits u of w = K softmax(u), the target constant."""
    mean = math.fsum(weights[task] * norm for task, norm in norms.items()) / len(norms)
    gaps = {task: weights[task] * norm - mean * progress[task] ** alpha for task, norm in norms.items()}
    along = {task: math.copysign(norms[task], gap) if gap else 0.0 for task, gap in gaps.items()}
    centre = math.fsum(weights[task] * slope for task, slope in along.items()) / len(along)
    return {task: weights[task] * (slope - centre) for task, slope in along.items()}
