"""What the tests of the loss-weighting methods share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from optim_toys import TASKS, Shared, batch_of, built, sgd
from torch import nn

from medmtl.optim import Method, Services, StepReport, TaskLoss

VARIANTS = [
    ("equal", {}),
    ("fixed", {"weights": {"a": 2.0, "b": 0.5, "c": 0.0}}),
    ("fixed", {"weights": {"a": 2.0, "b": 0.5, "c": 1.0}, "normalize": True}),
    ("uw", {"initial": -0.5, "learning_rate": 0.05}),
    ("uw_o", {}),
    ("uw_so", {"temperature": 3.0}),
    ("uw_so", {"temperature": 3.0, "momentum": 0.7, "floor": 0.1}),
    ("uw_so", {"learned_temperature": True, "momentum": 0.5, "learning_rate": 0.1}),
    ("dwa", {"temperature": 0.5}),
    ("rlw", {"seed": 3}),
    ("gls", {}),
    ("imtl_l", {"initial": 0.2}),
    ("famo", {}),
    ("gradnorm", {"learning_rate": 0.3}),
    ("db_mtl", {"beta_sigma": 0.5}),
    ("stch", {"mu": 0.2}),
    ("stch", {"weights": {"a": 1.0, "b": 0.5, "c": 2.0}, "ideal": {"a": -1.0, "b": 0.1, "c": 0.0}}),
    ("stch", {"warmup_epochs": 1, "mu": 0.5}),
]
"""Every method of the family, with the arguments that its defaults leave unused."""

VARIANT_NAMES = [f"{name}-{'-'.join(arguments) or 'default'}" for name, arguments in VARIANTS]


class Constant(nn.Module):
    """Losses that no step can change much: one parameter with a tiny slope."""

    def __init__(self, values: dict[str, float]) -> None:
        super().__init__()
        self.values = values
        self.tasks = tuple(values)
        self.free = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def counts(self, batch, tasks):
        return dict.fromkeys(tasks, 2)

    def losses(self, batch, tasks, buffers):
        slopes = {task: 1e-12 if value else 0.0 for task, value in self.values.items()}  # zero stays zero
        return {task: TaskLoss(2 * self.values[task] + slopes[task] * self.free, 2) for task in tasks}


def overflow(problem: nn.Module) -> None:
    """From now on every gradient of the network is infinite."""
    for parameter in problem.parameters():
        parameter.register_hook(lambda gradient: gradient * float("inf"))


def only(tasks: tuple[str, ...], arguments: Mapping) -> dict:
    """Arguments for a problem with fewer tasks."""
    return {
        key: {task: value[task] for task in tasks} if isinstance(value, dict) else value
        for key, value in arguments.items()
    }


def train(
    method: Method, problem: nn.Module, windows: list, *, services: Services | None = None, epoch: int = 2
) -> list[StepReport]:
    """Trains with an end of epoch every few steps, told the mean of its losses."""
    services = services or Services(problem)
    reports, seen = [], {}
    for step, window in enumerate(windows):
        reports.append(method.update(window, services))
        for task, loss in reports[-1].losses.items():
            seen.setdefault(task, []).append(loss)
        if step % epoch == epoch - 1:
            method.end_epoch({task: sum(losses) / len(losses) for task, losses in seen.items()})
            seen = {}
    return reports


def by_hand(
    objective: Callable[[torch.Tensor], torch.Tensor],
    batches: list,
    *,
    learned: tuple = (),
    after: Callable[[int], None] = lambda step: None,
) -> Shared:
    """Plain SGD on a scalar made of the three mean losses, with PyTorch's autograd alone."""
    problem = Shared()
    optimizer = sgd([*problem.named_parameters(), *((str(i), p) for i, p in enumerate(learned))])
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        losses = problem.losses(batch, TASKS, "update")
        objective(torch.stack([losses[task].mean for task in TASKS])).backward()
        optimizer.step()
        after(step)
    return problem


def ours(name: str, batches: list, *, epoch: int = 2, **arguments) -> tuple[Shared, Method, list[StepReport]]:
    """The same network, batches and optimizer with one of our methods."""
    problem = Shared()
    method = built(name, problem, sgd, **arguments)
    return problem, method, train(method, problem, [[batch] for batch in batches], epoch=epoch)


BATCHES = [batch_of(seed=seed) for seed in range(8)]
