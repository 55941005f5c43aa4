"""What the services hand to a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medmtl.optim.base import Gradients, TaskLoss


@dataclass(frozen=True, slots=True)
class WindowLosses:
    """Mean losses of a whole window, ready for one backward pass.

    Attributes:
        means: Mean loss of each present task over all micro-batches and processes.
        graph: The losses with their graph when the window is one micro-batch; else the forward runs again.
    """

    means: dict[str, float]
    graph: Mapping[str, TaskLoss] | None


@dataclass(frozen=True, slots=True)
class TaskGradient:
    """The gradient of one task's mean loss over the whole window and all processes.

    Attributes:
        task: The task.
        gradients: By parameter name, unscaled and clipped; what the task does not reach has no entry.
        count: Labelled samples.
        loss: Mean loss.
        norm: Euclidean norm before clipping.
        finite: False on every process when any entry (``collect``: of any task) is not finite.
    """

    task: str
    gradients: Gradients
    count: int
    loss: float
    norm: float
    finite: bool


@dataclass(frozen=True, slots=True)
class Commit:
    """Whether a step was taken, and the norm of its direction before clipping."""

    skipped: bool
    norm: float
