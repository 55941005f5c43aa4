"""FAMO: equal relative progress of all tasks, learned from the losses before and after each step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Adam, Optimizer

from medmtl.optim.base import OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.checks import after_step, check_at_least, check_number
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.services import Services
from medmtl.optim.weighting.frame import softmax, weighting_info
from medmtl.optim.weighting.learned import load_scalars, make_scalars, scalar_state, set_slopes, values_of

_EPSILON = 1e-8


@methods.register("famo")
class Famo(Method):
    """Decreases all losses at about the same relative rate; learns from the losses after the step.

    With z = softmax(w) and D = L - bound: weights z/(D c) with c = Σ z/D, which sum to 1; then the losses of the
    same window again, and one Adam step on w along Jᵀ(log D before - log D after), J the Jacobian of the softmax.
    Where the losses after a step are not finite, that step stands, w and its Adam stay, and the update ends with
    `LossNotFiniteAfterStep`.

    Args:
        learning_rate: Learning rate of w; schedules do not act on it.
        weight_decay: Decay of w.
        bound: Lower bound of all losses.
    """

    info = weighting_info(
        "famo",
        paper="Liu, Feng, Stone, Liu, NeurIPS 2023",
        evidence="library (TorchJD)",
        state="K logits and their Adam",
        extra_memory="K numbers",
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
        self.logits = make_scalars(dict.fromkeys(problem.tasks, 0.0))
        self._adam = Adam(self.logits.values(), lr=self.learning_rate, weight_decay=self.weight_decay)
        return [optimizer_factory(trainable(problem))]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        measured = services.losses(window, counts)
        check_at_least(measured.means, self.bound)
        shares = self._shares(counts)
        weights = famo_weights(measured.means, shares, self.bound)
        losses = services.backward(window, counts, weights, measured=measured)
        done = services.commit(self.optimizers)
        if not done.skipped:
            with after_step():
                after = services.measure(window, counts)
            set_slopes(self.logits, famo_slopes(losses, after, shares, self.bound))
            self._adam.step()
            self._adam.zero_grad(set_to_none=True)
        return StepReport(losses=losses, weights=weights, norm=done.norm, skipped=done.skipped)

    def _shares(self, counts: Mapping[str, int]) -> dict[str, float]:
        logits = values_of(self.logits)
        return softmax({task: logits[task] for task in counts})

    def _own_state(self) -> dict[str, Any]:
        return {"logits": scalar_state(self.logits), "adam": self._adam.state_dict()}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        load_scalars(self.logits, state["logits"])
        self._adam.load_state_dict(state["adam"])


def famo_weights(means: Mapping[str, float], shares: Mapping[str, float], bound: float) -> dict[str, float]:
    """The factor of each loss in the gradient of Σ z log D / c; the factors sum to 1."""
    ratios = {task: shares[task] / (mean - bound + _EPSILON) for task, mean in means.items()}
    total = math.fsum(ratios.values())
    return {task: ratio / total for task, ratio in ratios.items()}


def famo_slopes(
    before: Mapping[str, float], after: Mapping[str, float], shares: Mapping[str, float], bound: float
) -> dict[str, float]:
    """Jᵀ(log D before - log D after), J the Jacobian of the softmax whose value is ``shares``."""
    fall = {task: _log(loss, bound) - _log(after[task], bound) for task, loss in before.items()}
    centre = math.fsum(shares[task] * fall[task] for task in fall)
    return {task: shares[task] * (change - centre) for task, change in fall.items()}


def _log(loss: float, bound: float) -> float:
    return math.log(max(loss - bound, 0.0) + _EPSILON)
