"""Toys of the per-task optimizers: a net with many tasks, one gradient that breaks, a reference by plain loops."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from medmtl.optim import MultiAdaptiveOptimizer, TaskLoss


class Many(nn.Module):
    """A trunk of two layers and K heads; `broken` names a task whose gradient is not finite, `loud` one to scale."""

    def __init__(self, k: int, *, width: int = 6, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.trunk = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
            self.heads = nn.ModuleDict({f"t{i}": nn.Linear(width, 1) for i in range(k)})
        self.tasks = tuple(self.heads)
        self.broken: str | None = None
        self.harm = float("inf")
        self.loud: dict[str, float] = {}
        self.absent: set[str] = set()
        self.to(dtype)

    def counts(self, batch, tasks):
        return {task: 0 if task in self.absent else len(batch["x"]) for task in tasks}

    def losses(self, batch, tasks, buffers):
        features = self.trunk(batch["x"])
        found = {}
        for task in tasks:
            if task not in self.absent:
                errors = (self.heads[task](features).squeeze(1) - batch["y"][:, self.tasks.index(task)]) ** 2
                total = errors.sum() * self.loud.get(task, 1.0)
                if task == self.broken:
                    total.register_hook(lambda gradient: gradient * self.harm)
                found[task] = TaskLoss(total, len(errors))
        return found


def data(seed: int, k: int, n: int = 5, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return {"x": x.to(dtype), "y": torch.randn(n, k, generator=generator, dtype=torch.float64).to(dtype)}


def snapshot(problem: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Everything that a skipped step must leave alone, copied and flat."""
    state = copy.deepcopy({"model": problem.state_dict(), "optimizer": optimizer.state_dict()})
    return flat(state)


def flat(state: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{prefix}/{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for i, value in enumerate(state) for k, v in flat(value, f"{prefix}/{i}").items()}
    return {prefix: state}


def equal(first: Any, second: Any) -> bool:
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def differing(before: dict, after: dict) -> set[str]:
    assert before.keys() == after.keys()
    return {key for key in before if not equal(before[key], after[key])}


class Reference:
    """The update written for one number at a time, from the formulas."""

    def __init__(self, form: str, momentum: str, combine: str, lr: float, betas, eps: float, decay: float) -> None:
        self.form, self.momentum, self.combine = form, momentum, combine
        self.lr, self.betas, self.eps, self.decay = lr, betas, eps, decay
        self.m: dict = {}
        self.v: dict = {}
        self.t: dict = {}

    def step(self, values: dict[str, list[float]], rows: dict[str, dict[str, list[float]]]) -> None:
        for name, value in values.items():
            present = [task for task in rows if name in rows[task]]
            if not present:
                continue
            for task in present:
                self.t[name, task] = self.t.get((name, task), 0) + 1
            self.t[name] = self.t.get(name, 0) + 1
            parts = [self.part(name, task, rows[task][name]) for task in present]
            for i in range(len(value)):
                total = sum(part[i] for part in parts) / (len(present) if self.combine == "mean" else 1)
                value[i] *= 1 - self.lr * self.decay
                value[i] -= self.lr * self.smoothed(name, i, total)

    def part(self, name: str, task: str, gradient: list[float]) -> list[float]:
        b1, b2 = self.betas
        t = self.t[name, task]
        tops = []
        for i, g in enumerate(gradient):
            key = (name, task, i)
            self.m[key] = b1 * self.m.get(key, 0.0) + (1 - b1) * g
            self.v[key] = b2 * self.v.get(key, 0.0) + (1 - b2) * g * g
            own = self.form != "rmsprop" and self.momentum == "per_task"
            tops.append(self.m[key] / (1 - b1**t) if own else g)
        if self.form == "normalized_sgd":
            norm = math.sqrt(sum(top * top for top in tops))
            return [top / (norm + self.eps) for top in tops]
        bias = 1.0 if self.form == "rmsprop" else 1 - b2**t
        return [top / (math.sqrt(self.v[name, task, i] / bias) + self.eps) for i, top in enumerate(tops)]

    def smoothed(self, name: str, i: int, total: float) -> float:
        if self.momentum == "per_task":
            return total
        b1 = self.betas[0]
        self.m[name, i] = b1 * self.m.get((name, i), 0.0) + (1 - b1) * total
        return self.m[name, i] / (1 - b1 ** self.t[name])


def stage(optimizer: MultiAdaptiveOptimizer, gradients: dict[str, dict[str, torch.Tensor]]) -> bool:
    for task, row in gradients.items():
        optimizer.accumulate(task, row)
    return optimizer.commit()
