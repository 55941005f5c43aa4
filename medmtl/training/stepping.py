"""One update: what a method is given for it, and the learning rate it is made with."""

from __future__ import annotations

from collections.abc import Sequence

from medmtl.config import TrainingConfig
from medmtl.data.loading import Batch
from medmtl.optim import LossScale, Method, MethodInfo, Services, StepReport
from medmtl.training.problem import NetworkProblem
from medmtl.training.processes import Processes
from medmtl.training.schedule import learning_rate_factor, set_learning_rates


def step_services(problem: NetworkProblem, training: TrainingConfig, processes: Processes) -> Services:
    """The gradients of a network's losses, in the precision, clipped and reduced as the configuration says."""
    return Services(
        problem,
        reducer=processes.reducer,
        scale=LossScale() if training.precision == "fp16" else None,
        clip_norm=training.clip_norm,
        clip_task_norm=training.clip_task_norm,
    )


def idle_limits(info: MethodInfo, training: TrainingConfig) -> list[str]:
    """A line for each limit of a norm that is set and that the method never looks at."""
    limits = {"clip_norm": ("direction", training.clip_norm), "clip_task_norm": ("tasks", training.clip_task_norm)}
    return [
        f"training.{name} has no effect with method '{info.name}'"
        for name, (kind, value) in limits.items()
        if value is not None and info.clipping not in (kind, "both")
    ]


def train_step(
    method: Method, services: Services, window: Sequence[Sequence[Batch]], *, step: int, total: int, warmup: float
) -> StepReport:
    """One update: sets the learning rate of this step and lets the method do the rest."""
    set_learning_rates(method.param_groups, learning_rate_factor(step, total, warmup))
    return method.update(window, services)
