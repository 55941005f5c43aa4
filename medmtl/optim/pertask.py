"""One Adam per task: every task's gradient is normalized by its own moments before the steps are joined."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from medmtl.errors import ConfigError
from medmtl.optim.base import Gradients, MethodInfo, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.checks import check_choice
from medmtl.optim.gradients import add_gradients
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.services import Services


class PerTaskAdam(Optimizer):
    """Adam with moments and step counters per (task, parameter).

    A task that brings no gradient for a parameter leaves its moments and counter there untouched. Decay is decoupled
    and acts once a step, on parameters that any task reached. With one task, and on parameters of one task, this is
    exactly Adam (AdamW).

    Args:
        groups: Parameter groups with ``lr``, ``betas``, ``eps`` and ``weight_decay``.
        names: Parameter names, as the gradients use them.
        combine: ``sum`` or ``mean`` of the steps of the tasks that reach a parameter.
    """

    def __init__(
        self, groups: list[dict[str, Any]], names: Mapping[str, nn.Parameter], *, combine: str = "sum"
    ) -> None:
        super().__init__(groups, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0})
        self.combine = combine
        self._names = {id(parameter): name for name, parameter in names.items()}
        self._staged: dict[str, list[tuple[Gradients, int]]] = defaultdict(list)

    def accumulate(self, task: str, gradients: Gradients, count: int) -> None:
        """Stages a gradient; nothing is written before `commit`.

        Args:
            task: The task.
            gradients: Gradient of the task's mean loss over ``count`` samples; must not be changed until the commit.
            count: Labelled samples; several calls for one task are joined as one mean over all samples.
        """
        self._staged[task].append((gradients, count))

    @torch.no_grad()
    def commit(self) -> None:
        """Advances moments and parameters by all that was staged."""
        rows = {task: _mean(parts) for task, parts in self._staged.items()}
        reached = Counter(name for row in rows.values() for name in row)
        for group in self.param_groups:
            self._decay(group, reached)
            for task, row in rows.items():
                self._task_step(group, task, row, reached)
        self._staged.clear()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Commits, so that this is an ordinary optimizer to whoever steps it."""
        self.commit()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops what was staged, too."""
        self._staged.clear()
        super().zero_grad(set_to_none)

    def _decay(self, group: dict[str, Any], reached: Mapping[str, int]) -> None:
        moved = [p for p in group["params"] if reached.get(self._names[id(p)])]
        if moved and group["weight_decay"]:
            torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])

    def _task_step(self, group: dict[str, Any], task: str, row: Gradients, reached: Mapping[str, int]) -> None:
        parameters = [p for p in group["params"] if self._names[id(p)] in row]
        if not parameters:
            return
        names = [self._names[id(parameter)] for parameter in parameters]
        first, second, steps = self._advance(parameters, task, [row[name] for name in names], group["betas"])
        beta1, beta2 = group["betas"]
        roots = torch._foreach_sqrt(second)
        torch._foreach_div_(roots, [math.sqrt(1 - beta2**step) for step in steps])
        torch._foreach_add_(roots, group["eps"])
        shares = [1 / reached[name] if self.combine == "mean" else 1.0 for name in names]
        factors = [-group["lr"] * share / (1 - beta1**step) for share, step in zip(shares, steps, strict=True)]
        torch._foreach_addcdiv_(parameters, first, roots, factors)

    def _advance(
        self, parameters: list[nn.Parameter], task: str, gradients: list[Tensor], betas: tuple[float, float]
    ) -> tuple[list[Tensor], list[Tensor], list[int]]:
        states = [self.state[parameter] for parameter in parameters]
        for state, parameter in zip(states, parameters, strict=True):
            if f"{task}/step" not in state:
                state[f"{task}/first"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                state[f"{task}/second"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state[f"{task}/step"] = state.get(f"{task}/step", 0) + 1
        first = [state[f"{task}/first"] for state in states]
        second = [state[f"{task}/second"] for state in states]
        torch._foreach_lerp_(first, gradients, 1 - betas[0])
        torch._foreach_mul_(second, betas[1])
        torch._foreach_addcmul_(second, gradients, gradients, 1 - betas[1])
        return first, second, [state[f"{task}/step"] for state in states]


def _mean(parts: list[tuple[Gradients, int]]) -> Gradients:
    if len(parts) == 1:  # the usual case stays free of rounding
        return parts[0][0]
    samples = sum(count for _, count in parts)
    total: Gradients = {}
    for gradients, count in parts:
        add_gradients(total, {name: gradient * (count / samples) for name, gradient in gradients.items()})
    return total


@methods.register("adam_per_task")
class AdamPerTask(Method):
    """Trains with `PerTaskAdam`: a constant factor on a loss does not change the run (but for eps).

    Args:
        combine: ``sum`` or ``mean`` of the steps of the tasks that reach a parameter.
    """

    info = MethodInfo(
        name="adam_per_task",
        family="per-task optimizer",
        backward_passes="K",
        extra_memory="K gradients; 2 K moments of a parameter that K tasks reach",
        state="moments and step counters per task and parameter",
        needs_split=False,
        own_optimizer=True,
        mixed_precision="bf16; fp16 with a loss scale, unscaled before the moments",
        processes="losses, counts and each task's gradient are summed before the moments",
        paper="AdaTask, AAAI 2023, arXiv 2211.15055; Hervella et al., Neural Networks 170, 2024",
        evidence="second-hand and derived",
    )

    def __init__(self, *, combine: str = "sum") -> None:
        check_choice("adam_per_task.combine", combine, ("sum", "mean"))
        self.combine = combine

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        named = trainable(problem)
        groups = [_group(group) for group in optimizer_factory(named).param_groups]
        self.optimizer = PerTaskAdam(groups, dict(named), combine=self.combine)
        return [self.optimizer]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        found = list(services.task_gradients(window, counts, "collect"))
        for result in found:
            self.optimizer.accumulate(result.task, result.gradients, result.count)
        done = services.commit(self.optimizers, finite=all(result.finite for result in found))
        return StepReport(
            losses={result.task: result.loss for result in found},
            gradient_norms={result.task: result.norm for result in found},
            skipped=done.skipped,
        )


def _group(group: dict[str, Any]) -> dict[str, Any]:
    """Takes over the settings of an Adam-like group."""
    if "betas" not in group or "eps" not in group:
        raise ConfigError(
            "the optimizer is not an Adam", where="method 'adam_per_task'", remedy="choose adamw as the optimizer"
        )
    if group["weight_decay"] and not group.get("decoupled_weight_decay", True):
        raise ConfigError(
            "decay inside the gradient would be normalized away once a task",
            where="method 'adam_per_task'",
            found=f"weight_decay {group['weight_decay']:g} of a plain Adam",
            remedy="choose adamw as the optimizer",
        )
    return {key: group[key] for key in ("params", "lr", "betas", "eps", "weight_decay")}
