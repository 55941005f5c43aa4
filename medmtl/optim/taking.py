"""One task's gradient: its backward pass, the sum over processes, the scale, the vote on overflow, the clip."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn

from medmtl.optim.base import Gradients, TaskLoss
from medmtl.optim.checks import check_checkpointing, check_trainable
from medmtl.optim.gradients import gradients_of, norm_of, scale_gradients
from medmtl.optim.reduction import Reducer, sum_gradients
from medmtl.optim.results import TaskGradient
from medmtl.optim.scaling import LossScale


class GradientTaker:
    """Takes gradients as every process must see them.

    Args:
        parameters: The trainable parameters by name.
        reducer: Sums over processes.
        scale: Loss scale, where there is one.
        clip_norm: Largest norm of each task's gradient.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], reducer: Reducer, scale: LossScale | None, clip_norm: float | None
    ) -> None:
        self._parameters = parameters
        self._reducer = reducer
        self._scale = scale
        self._clip_norm = clip_norm
        self._seen: set[str] = set()

    @property
    def factor(self) -> float:
        """What every loss is multiplied by before its backward pass."""
        return self._scale.value if self._scale else 1.0

    def take(
        self, task: str, losses: dict[str, TaskLoss], counts: Mapping[str, int], *, keep: bool = False
    ) -> Gradients:
        """This process's part of one task's gradient, scaled; none where the task has no labels here.

        Args:
            task: The task.
            losses: The losses of one micro-batch with their common graph.
            counts: The present tasks with their counts over window and processes.
            keep: The graph stays for another round; else it may go with the last task that has labels here.

        Raises:
            TrainingError: The network's activation checkpointing would hide parameters from the task, or a parameter
                was frozen since this was made.
        """
        if task not in losses:
            return {}
        if task not in self._seen:
            check_checkpointing(task, losses[task])
            self._seen.add(task)
        last = next(reversed(losses))
        factor = self.factor / counts[task]
        try:
            return gradients_of(losses[task].sum, self._parameters, keep_graph=keep or task != last, factor=factor)
        except RuntimeError:
            check_trainable(self._parameters)
            raise

    def result(self, task: str, row: Gradients, count: int, loss: float) -> TaskGradient:
        """The gradient of a whole window as the methods see it.

        Args:
            task: The task.
            row: This process's scaled gradient; changed in place.
            count: Labelled samples over window and processes.
            loss: Mean loss.
        """
        gradients = self.finish(row)
        norm = norm_of(gradients.values())
        finite = self.vote(math.isfinite(norm))
        if finite and self._clip_norm is not None and norm > self._clip_norm:
            scale_gradients(gradients.values(), self._clip_norm / norm)
        return TaskGradient(task, gradients, count, loss, norm, finite)

    def finish(self, gradients: Gradients) -> Gradients:
        """Sums over processes, then unscales."""
        total = sum_gradients(self._reducer, gradients, self._parameters)
        scale_gradients(total.values(), 1.0 / self.factor)
        return total

    def vote(self, finite: bool) -> bool:
        """Whether every process found what it looked at finite."""
        return self._reducer.sum([float(not finite)])[0] == 0
