"""DB-MTL: balance of loss scales by the logarithm, and of gradient lengths by the largest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from medmtl.optim.base import Gradients, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.checks import check_number
from medmtl.optim.gradients import combine, norm_of, scale_gradients
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.results import TaskGradient
from medmtl.optim.services import Services
from medmtl.optim.weighting.frame import check_losses, check_share, weighting_info
from medmtl.optim.weighting.reach import Reach, extended, load_reach, reach_state, shared

_EPSILON = 1e-8


@methods.register("db_mtl")
class DualBalancing(Method):
    """DB-MTL: moving averages of the gradients of log L, each brought to the length of the longest, then added.

    On the shared parameters, for each present task: m_k ← g_k + (β / n_k^σ) (m_k - g_k), where g_k is the gradient of
    log(L_k + 1e-8) and n_k counts the steps with labels of the task; m_k starts at 0 without bias correction, as in
    LibMTL. The direction is Σ α_k m_k with α_k = max_j ‖m_j‖ / (‖m_k‖ + 1e-8). Parameters of one task get the plain
    gradient of log L_k. A constant factor on a loss changes nothing, but for the 1e-8.

    Shared are all parameters that at least two tasks have reached so far. The average of an absent task rests, and
    the task is left out of sum and maximum. The reported weight is α_k / (L_k + 1e-8). Losses must not be negative.

    Args:
        beta: β, the share of the past, from 0 (no average) to below 1; 0.9 by default, as in LibMTL.
        beta_sigma: σ >= 0, how fast that share falls with the steps; 0 by default, as in LibMTL.
    """

    info = weighting_info(
        "db_mtl",
        paper="Lin et al.: Dual-Balancing for Multi-Task Learning",
        evidence="library (LibMTL)",
        state="K averaged gradients of the shared parameters, their names, K step counters",
        backward_passes="K",
        extra_memory="2 K gradients (K of them stay between steps)",
        mixed_precision="bf16; fp16 with a loss scale, unscaled before the averages",
        processes="losses, counts and each task's gradient are summed before the averages",
        clipping="both",
    )

    def __init__(self, *, beta: float = 0.9, beta_sigma: float = 0.0) -> None:
        check_share("db_mtl.beta", beta)
        check_number("db_mtl.beta_sigma", beta_sigma, least=0.0)
        self.beta = float(beta)
        self.beta_sigma = float(beta_sigma)
        self._averages: dict[str, Gradients] = {}
        self._times: dict[str, int] = {}
        self._reach: Reach = {}

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self._devices = {name: parameter.device for name, parameter in trainable(problem)}
        return [optimizer_factory(trainable(problem))]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        found = list(services.task_gradients(window, counts, "collect"))
        losses = {result.task: result.loss for result in found}
        norms = {result.task: result.norm for result in found}
        check_losses(self.info.name, losses, "zero or more")
        if not all(result.finite for result in found):
            services.commit(self.optimizers, {}, finite=False)
            return StepReport(losses=losses, gradient_norms=norms, skipped=True)
        reach = extended(self._reach, {result.task: result.gradients for result in found})
        names = shared(reach)
        rows = {result.task: self._smoothed(result, names) for result in found}
        factors = length_factors({task: norm_of(_part(row, names).values()) for task, row in rows.items()})
        direction = combine(list(rows.values()), list(factors.values()), names)
        done = services.commit(self.optimizers, direction)
        if not done.skipped:
            self._remember(rows, names, reach)
        return StepReport(
            losses=losses,
            weights={task: factor / (losses[task] + _EPSILON) for task, factor in factors.items()},
            gradient_norms=norms,
            norm=done.norm,
            skipped=done.skipped,
        )

    def _smoothed(self, result: TaskGradient, names: Collection[str]) -> Gradients:
        """The gradient of the log loss, averaged with the past on the shared parameters; the row is used up."""
        scale_gradients(result.gradients.values(), 1 / (result.loss + _EPSILON))
        keep = self.beta / (self._times.get(result.task, 0) + 1) ** self.beta_sigma
        blend(_part(result.gradients, names), self._averages.get(result.task, {}), keep)
        return result.gradients

    def _remember(self, rows: Mapping[str, Gradients], names: Collection[str], reach: Reach) -> None:
        for task, row in rows.items():
            self._averages[task] = {**self._averages.get(task, {}), **_part(row, names)}
            self._times[task] = self._times.get(task, 0) + 1
        self._reach = reach

    def _own_state(self) -> dict[str, Any]:
        averages = {task: dict(average) for task, average in self._averages.items()}
        return {"averages": averages, "times": dict(self._times), "reach": reach_state(self._reach)}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._averages = {
            task: {name: value.to(self._devices[name]) for name, value in average.items()}
            for task, average in state["averages"].items()
        }
        self._times = dict(state["times"])
        self._reach = load_reach(state["reach"])


def blend(row: Gradients, past: Gradients, keep: float) -> None:
    """Row ← row + keep (past - row) in place; an entry without a past is averaged with zero."""
    old = [name for name in row if name in past]
    if old:
        torch._foreach_lerp_([row[name] for name in old], [past[name] for name in old], keep)
    scale_gradients([gradient for name, gradient in row.items() if name not in past], 1 - keep)


def length_factors(norms: Mapping[str, float]) -> dict[str, float]:
    """What brings each length to the largest; 1 for a gradient of length zero."""
    longest = max(norms.values())
    return {task: longest / (norm + _EPSILON) if norm else 1.0 for task, norm in norms.items()}


def _part(gradients: Gradients, names: Collection[str]) -> Gradients:
    return {name: gradient for name, gradient in gradients.items() if name in names}
