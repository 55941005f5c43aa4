"""A plain PyTorch module and one loss a task as a problem: what a researcher needs to use the methods alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from medmtl.errors import ConfigError, TrainingError, suggestion
from medmtl.optim.base import Batch, Buffers, TaskLoss
from medmtl.optim.buffers import frozen_buffers

SampleLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Outputs (m, ...) and labels (m, ...) of the labelled samples to losses (m, ...), as ``reduction="none"`` gives them."""

Labels: TypeAlias = Mapping[str, Tensor | None]


class PlainProblem:
    """A module with several outputs, and a loss for each: a `Problem` without any further code.

    A batch is a pair ``(inputs, labels)``: ``module(inputs)`` gives a mapping of task names to outputs (n, ...), and
    ``labels`` maps task names to labels (n, ...). A task that is not in ``labels``, or None there, is absent from the
    batch. Samples without a label of a task never reach its loss function, so that a NaN cannot spread through a
    gradient. The loss of a sample is the mean over its entries.

    Args:
        module: The network.
        losses: Task name to its loss function, which must not average over the samples.
        forward: Outputs of a batch; ``module(batch[0])`` when left out.
        labels: Labels of a batch; ``batch[1]`` when left out.
        known: Which samples have a label, (n,) bool from labels (n, ...); `known_rows` when left out.

    Raises:
        ConfigError: No task.
    """

    def __init__(
        self,
        module: nn.Module,
        losses: Mapping[str, SampleLoss],
        *,
        forward: Callable[[Batch], Mapping[str, Tensor]] | None = None,
        labels: Callable[[Batch], Labels] | None = None,
        known: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if not losses:
            raise ConfigError("there is no task to train", where="losses", remedy="give a loss function a task")
        self.module = module
        self._losses = dict(losses)
        self._forward: Callable[[Batch], Mapping[str, Tensor]] = forward or (lambda batch: module(batch[0]))
        self._labels: Callable[[Batch], Labels] = labels or (lambda batch: batch[1])
        self._known = known or known_rows

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in the order of the loss functions."""
        return tuple(self._losses)

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """All parameters of the module."""
        return self.module.named_parameters()

    def counts(self, batch: Batch, tasks: tuple[str, ...]) -> dict[str, int]:
        """How many samples carry a label of each task."""
        return {task: int(rows.sum()) for task, (_, rows) in self._labelled(batch, tasks).items()}

    def losses(self, batch: Batch, tasks: tuple[str, ...], buffers: Buffers) -> dict[str, TaskLoss]:
        """One forward pass, and the sum of the losses of each task's labelled samples.

        Raises:
            TrainingError: No output for a task, outputs and labels of different lengths, or a loss that was averaged.
        """
        present = {task: found for task, found in self._labelled(batch, tasks).items() if found[1].any()}
        if not present:
            return {}
        with frozen_buffers(self.module) if buffers == "frozen" else nullcontext():
            outputs = self._forward(batch)
        return {task: self._loss(task, outputs, labels, rows) for task, (labels, rows) in present.items()}

    def _labelled(self, batch: Batch, tasks: tuple[str, ...]) -> dict[str, tuple[Tensor, Tensor]]:
        labels = self._labels(batch)
        if labels and not any(task in labels for task in self._losses):
            name = next(iter(labels))
            remedy = suggestion(str(name), self._losses)
            raise TrainingError("the labels of the batch are of no task", found=repr(name), remedy=remedy)
        given = {task: values for task in tasks if (values := labels.get(task)) is not None}
        return {task: (values, self._known(values)) for task, values in given.items()}

    def _loss(self, task: str, outputs: Mapping[str, Tensor], labels: Tensor, rows: Tensor) -> TaskLoss:
        if task not in outputs:
            raise _error(task, "the network has no output for it", outputs=", ".join(map(str, outputs)))
        output = outputs[task]
        if len(output) != len(rows):
            raise _error(task, "outputs and labels differ in length", outputs=len(output), labels=len(rows))
        place = rows.to(output.device)
        losses = self._losses[task](output[place], labels.to(output.device)[place])
        count = int(rows.sum())
        if losses.ndim == 0 or len(losses) != count:
            raise _error(task, 'the loss is not one a sample: use reduction="none"', shape=tuple(losses.shape))
        return TaskLoss(losses.reshape(count, -1).mean(dim=1).sum(), count)


def known_rows(labels: Tensor) -> Tensor:
    """Which samples have a label, (n,) bool: no NaN among its entries or, of whole numbers, none below 0.

    Args:
        labels: Labels (n, ...).
    """
    entries = labels.flatten(1) if labels.ndim > 1 else labels[:, None]
    if labels.is_floating_point() or labels.is_complex():
        return ~entries.isnan().any(dim=1)
    if labels.dtype == torch.bool:
        return torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    return (entries >= 0).all(dim=1)


def _error(task: str, what: str, **found: Any) -> TrainingError:
    told = ", ".join(f"{name} {value}" for name, value in found.items())
    return TrainingError(what, where=f"task '{task}'", found=told)
