"""The part of an update that is a task's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from medmtl.optim.analysis import second_root
from medmtl.optim.base import Gradients
from medmtl.optim.pertask.rules import correction

if TYPE_CHECKING:
    from medmtl.optim.pertask.optimizer import MultiAdaptiveOptimizer


@torch.no_grad()
def attributed(
    optimizer: MultiAdaptiveOptimizer, gradients_by_task: Mapping[str, Gradients], *, taken: bool = False
) -> dict[str, Gradients]:
    """The step lr · g_k / (√v̂_k + eps) that each task's gradient alone would make; changes nothing.

    Args:
        optimizer: Whose moments and settings are used; v̂ is that after taking in the gradient, as in a step.
        gradients_by_task: Gradients by task and parameter name.
        taken: The optimizer took them in already, with the step just done.
    """
    reached = Counter(name for row in gradients_by_task.values() for name in row)
    steps: dict[str, Gradients] = {task: {} for task in gradients_by_task}
    for group in optimizer.param_groups:
        for name, parameter in zip(group["param_names"], group["params"], strict=True):
            share = 1 / reached[name] if optimizer.rule.combine == "mean" and reached[name] else 1.0
            for task, row in gradients_by_task.items():
                if name in row:
                    root = _denominator(optimizer, parameter, task, row[name], group["betas"][1], taken)
                    steps[task][name] = row[name] / (root + group["eps"]) * (group["lr"] * share)
    return steps


def _denominator(
    optimizer: MultiAdaptiveOptimizer, parameter: Tensor, task: str, gradient: Tensor, beta: float, taken: bool
) -> Tensor:
    form = optimizer.rule.kind
    if not form.second:
        norm: Tensor = torch.linalg.vector_norm(gradient)
        return norm
    known = optimizer.state.get(parameter, {}).get("tasks", {}).get(task, {})
    second, steps = known.get("second"), known.get("step", 0)
    if taken and second is not None:
        root: Tensor = (second / correction(beta, steps, corrected=form.corrected)).sqrt()
        return root
    return second_root(second, gradient, beta, correction(beta, steps + 1, corrected=form.corrected))
