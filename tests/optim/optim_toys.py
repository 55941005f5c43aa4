"""Small problems in float64 for the balancing methods."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from medmtl.optim import Buffers, Method, Problem, Services, TaskLoss, frozen_buffers, make_method, methods

TASKS = ("a", "b", "c")
PLAIN = [name for name in methods if not methods.get(name).info.needs_split]
SPLIT = [name for name in methods if methods.get(name).info.needs_split]
EVERY = list(methods)


def adamw(named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for _, p in named], lr=1e-2, weight_decay=1e-2)


def adam(named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for _, p in named], lr=1e-2)


def sgd(named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for _, p in named], lr=1e-2)


def trunk(norm: str) -> nn.Module:
    layer = nn.GroupNorm(2, 4) if norm == "group" else nn.BatchNorm2d(4)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), layer, nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


def labelled(batch: Mapping[str, Any], task: str) -> torch.Tensor:
    return ~torch.isnan(batch["y"][task])


def loss_of(batch: Mapping[str, Any], task: str, output: torch.Tensor) -> TaskLoss:
    known = labelled(batch, task)
    errors = (output.squeeze(1)[known] - batch["y"][task][known]) ** 2
    return TaskLoss(errors.sum(), int(known.sum()))


class Shared(nn.Module):
    """One trunk, one head a task."""

    def __init__(self, tasks: tuple[str, ...] = TASKS, *, norm: str = "group", seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = trunk(norm)
            heads = {task: nn.Linear(16, 1) for task in TASKS}
        self.heads = nn.ModuleDict({task: heads[task] for task in tasks})
        self.tasks = tasks
        self.forwards = 0
        self.double()

    def counts(self, batch: Mapping[str, Any], tasks: tuple[str, ...]) -> dict[str, int]:
        return {task: int(labelled(batch, task).sum()) for task in tasks}

    def losses(self, batch: Mapping[str, Any], tasks: tuple[str, ...], buffers: Buffers) -> dict[str, TaskLoss]:
        return self.losses_from(batch, self.features(batch, tasks, buffers), tasks, buffers)

    def features(self, batch: Mapping[str, Any], tasks: tuple[str, ...], buffers: Buffers) -> torch.Tensor:
        self.forwards += 1
        with frozen_buffers(self) if buffers == "frozen" else contextlib.nullcontext():
            return self.trunk(batch["x"])

    def losses_from(
        self, batch: Mapping[str, Any], features: torch.Tensor, tasks: tuple[str, ...], buffers: Buffers
    ) -> dict[str, TaskLoss]:
        return {t: loss_of(batch, t, self.heads[t](features)) for t in tasks if labelled(batch, t).any()}


class Split(nn.Module):
    """One sub-model a task; predictors read the features of all."""

    def __init__(self, tasks: tuple[str, ...] = TASKS, *, norm: str = "group", seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoders = nn.ModuleDict({task: trunk(norm) for task in tasks})
            self.predictors = nn.ModuleDict({task: nn.Linear(16 * len(tasks), 1) for task in tasks})
        self.tasks = tasks
        self.double()

    def counts(self, batch: Mapping[str, Any], tasks: tuple[str, ...]) -> dict[str, int]:
        return {task: int(labelled(batch, task).sum()) for task in tasks}

    def losses(self, batch: Mapping[str, Any], tasks: tuple[str, ...], buffers: Buffers) -> dict[str, TaskLoss]:
        features = {task: self.encode(batch, task, buffers) for task in self.tasks}
        return {t: self.predict(batch, t, features[t], {o: z for o, z in features.items() if o != t}) for t in tasks}

    def parameters_of(self, task: str) -> Iterable[tuple[str, nn.Parameter]]:
        for part in ("encoders", "predictors"):
            for name, parameter in getattr(self, part)[task].named_parameters():
                yield f"{part}.{task}.{name}", parameter

    def encode(self, batch: Mapping[str, Any], task: str, buffers: Buffers = "update") -> torch.Tensor:
        with frozen_buffers(self) if buffers == "frozen" else contextlib.nullcontext():
            return self.encoders[task](batch["x"])

    def exchange(self, features: torch.Tensor) -> torch.Tensor:
        return features

    def lend(self, batch: Mapping[str, Any], task: str) -> torch.Tensor:
        with torch.no_grad():
            return self.lend_with(batch, task, {})

    def lend_with(self, batch: Mapping[str, Any], task: str, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        encoder, start = self.encoders[task], f"encoders.{task}."
        mine = {name.removeprefix(start): value for name, value in parameters.items() if name.startswith(start)}
        mode = encoder.training
        encoder.eval()
        try:
            return torch.func.functional_call(encoder, mine, (batch["x"],))
        finally:
            encoder.train(mode)

    def predict(
        self,
        batch: Mapping[str, Any],
        task: str,
        own: torch.Tensor,
        others: Mapping[str, torch.Tensor],
        buffers: Buffers = "update",
    ) -> TaskLoss:
        joined = torch.cat([own, *(others[name] for name in sorted(others))], 1)
        return loss_of(batch, task, self.predictors[task](joined))


def batch_of(
    n: int = 6, *, seed: int = 1, missing: Mapping[str, Iterable[int]] | None = None, tasks: Iterable[str] = TASKS
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, 5, 5, generator=generator, dtype=torch.float64)
    y = {task: torch.randn(n, generator=generator, dtype=torch.float64) + 1 for task in TASKS}
    for task, rows in (missing or {}).items():
        y[task][list(rows)] = float("nan")
    return {"x": x, "y": {task: y[task] for task in tasks}}


def rows_of(batch: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    return {"x": batch["x"][start:stop], "y": {task: y[start:stop] for task, y in batch["y"].items()}}


def problem_for(name: str, tasks: tuple[str, ...] = TASKS, **kind: Any) -> Any:
    return (Split if methods.get(name).info.needs_split else Shared)(tasks, **kind)


def built(name: str, problem: Problem, factory: Callable[..., Any] = adamw, **arguments: Any) -> Method:
    method = make_method(name, **arguments)
    method.build(problem, factory)
    return method


def takes_turns(name: str) -> bool:
    """Whether an update trains some of the tasks only."""
    method = built(name, problem_for(name))
    return any(len(method.plan(step).tasks) < len(TASKS) for step in range(3))


def run(name: str, problem: Any, windows: Iterable[list[Any]], factory: Callable[..., Any] = adamw, **arguments: Any):
    """Builds and trains; returns method and reports."""
    method = built(name, problem, factory, **arguments)
    services = Services(problem)
    return method, [method.update(window, services) for window in windows]


def weights_of(problem: nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(problem.state_dict())


def assert_same(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor], tolerance: float = 0.0) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(
            value, second[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )
