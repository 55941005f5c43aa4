"""Gradients that wait for a commit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from medmtl.errors import TrainingError
from medmtl.optim.base import Gradients, TaskLoss
from medmtl.optim.checks import check_checkpointing, check_graph
from medmtl.optim.gradients import add_gradients, aligned, norm_of


@dataclass(frozen=True, slots=True)
class Staged:
    """What is staged of one task: the mean gradient of one call, or the sum over the samples of several.

    Attributes:
        gradients: By parameter name.
        count: Labelled samples in all.
        summed: Whether the gradients are sums, to be divided by the count.
        norm: Norm of the mean gradient before clipping, where it is known.
    """

    gradients: Gradients
    count: int
    summed: bool = False
    norm: float | None = None

    def joined(self, gradients: Gradients, count: int) -> Staged:
        """With the gradients of further samples of the same task."""
        total = self.gradients
        if not self.summed:
            total = {name: gradient * self.count for name, gradient in total.items()}
        add_gradients(total, {name: gradient * count for name, gradient in gradients.items()})
        return Staged(total, self.count + count, summed=True)

    @property
    def length(self) -> float:
        """The norm of the mean gradient."""
        if self.norm is not None:
            return self.norm
        return norm_of(self.gradients.values()) * (1 / self.count if self.summed else 1.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One task's gradient as the moments will see it: ``factor`` times ``gradients``."""

    gradients: Gradients
    factor: float = 1.0

    def of(self, tensors: list[Tensor]) -> list[Tensor]:
        """Some of its tensors with the factor."""
        return tensors if self.factor == 1.0 else list(torch._foreach_mul(tensors, self.factor))


def rows_of(staged: Mapping[str, Staged], clip: float | None) -> dict[str, Row] | None:
    """Rows with their factors for means and clipping; None when a gradient is not finite."""
    rows = {}
    for task, entry in staged.items():
        length = entry.length
        if not math.isfinite(length):
            return None
        factor = 1 / entry.count if entry.summed else 1.0
        if clip is not None and length > clip:
            factor *= clip / length
        rows[task] = Row(entry.gradients, factor)
    return rows


def check_differentiable(losses: Mapping[str, Tensor], seen: set[str]) -> None:
    """Accepts scalar losses whose gradients can be taken one by one.

    Args:
        losses: The loss of each task.
        seen: Tasks whose graphs were looked at before, which is not done again; those of ``losses`` are added.

    Raises:
        TrainingError: A loss that is no scalar or has no graph, or a re-entrant activation checkpoint; names the task.
    """
    for task, loss in losses.items():
        if loss.numel() != 1:
            raise TrainingError(
                "the loss is not a scalar",
                where=f"task '{task}'",
                found=f"shape {tuple(loss.shape)}",
                remedy="give the mean over its samples",
            )
    found = {task: TaskLoss(loss, 1) for task, loss in losses.items()}
    check_graph(found)
    for task in [task for task in found if task not in seen]:
        check_checkpointing(task, found[task])
        seen.add(task)


def check_unset(named: Iterable[tuple[str, Tensor]]) -> None:
    """Accepts parameters without ``.grad``, which the optimizer never reads.

    Raises:
        TrainingError: A parameter has one; names it.
    """
    for name, parameter in named:
        if parameter.grad is not None:
            raise TrainingError(
                "no gradient of any task is staged",
                where=f"parameter '{name}'",
                found="a gradient in .grad, which is not used",
                remedy="call optimizer.backward({task: loss}) instead of loss.backward()",
            )


def checked(task: str, gradients: Mapping[str, Tensor | None], count: int, known: Mapping[str, Tensor]) -> Gradients:
    """The gradients that are there, in the order of memory of their parameters.

    Raises:
        TrainingError: No sample, an unknown parameter, or a gradient of another shape.
    """
    if count < 1:
        raise TrainingError(
            "a task without labelled samples has no gradient",
            where=f"task '{task}'",
            found=f"count {count}",
            remedy="leave an absent task out",
        )
    found = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    for name, gradient in found.items():
        if name not in known:
            raise TrainingError("the gradient belongs to no parameter", where=f"task '{task}'", found=name)
        if gradient.shape != known[name].shape:
            raise TrainingError(
                "a gradient has another shape than its parameter",
                where=f"task '{task}', parameter '{name}'",
                found=f"{tuple(gradient.shape)} instead of {tuple(known[name].shape)}",
            )
    return {name: aligned(gradient, known[name]) for name, gradient in found.items()}
