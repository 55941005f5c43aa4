"""Alternating sub-models: turns, and what must not move."""

from __future__ import annotations

import pytest
import torch
from optim_toys import TASKS, Split, adamw, assert_same, batch_of, built, run, sgd, weights_of
from torch import nn

from medmtl.optim import Services, TaskLoss, frozen_buffers


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_plan_goes_round(steps: int) -> None:
    method = built("alternating", Split(), phase_steps=steps)
    turns = [method.plan(step) for step in range(6 * steps)]
    assert [plan.phase for plan in turns] == [task for task in TASKS * 2 for _ in range(steps)]
    assert all(plan.tasks == (plan.phase,) for plan in turns)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_the_others_stay_bit_for_bit_with_their_buffers(norm: str) -> None:
    problem = Split(norm=norm)
    method, services = built("alternating", problem, phase_steps=2), Services(problem)
    for step in range(12):
        before = weights_of(problem)
        report = method.update([batch_of(seed=step), batch_of(seed=step + 50)], services)
        after = weights_of(problem)
        assert report.phase == TASKS[(step // 2) % 3]
        mine = {key for key in before if key.split(".")[1] == report.phase}
        assert_same(
            {k: v for k, v in before.items() if k not in mine}, {k: v for k, v in after.items() if k not in mine}
        )
        assert all(not torch.equal(before[key], after[key]) for key in mine)


def test_needs_only_the_labels_of_its_own_task() -> None:
    problem = Split()
    method, services = built("alternating", problem), Services(problem)
    reports = [method.update([batch_of(tasks=(TASKS[step % 3],))], services) for step in range(6)]
    assert [list(report.losses) for report in reports] == [[task] for task in TASKS * 2]


def test_each_turn_is_descent_on_its_own_loss() -> None:
    problem, plain = Split(), Split()
    run("alternating", problem, [[batch_of()]] * 3, sgd)
    for task in TASKS:
        own = [parameter for _, parameter in plain.parameters_of(task)]
        gradients = torch.autograd.grad(plain.losses(batch_of(), (task,), "update")[task].mean, own)
        with torch.no_grad():
            for parameter, gradient in zip(own, gradients, strict=True):
                parameter -= 1e-2 * gradient
    assert_same(weights_of(plain), weights_of(problem), 1e-12)


class Game(nn.Module):
    """Two scalars: task x minimizes (x - y/2 - 1)², task y minimizes (y + x/2)²."""

    tasks = ("x", "y")

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.ParameterDict({name: nn.Parameter(torch.zeros((), dtype=torch.float64)) for name in "xy"})

    def counts(self, batch, tasks):
        return dict.fromkeys(tasks, 1)

    def losses(self, batch, tasks, buffers):
        raise AssertionError("the sub-models are trained one by one")

    def parameters_of(self, task):
        return [(f"values.{task}", self.values[task])]

    def encode(self, batch, task, buffers="update"):
        return self.values[task]

    def exchange(self, features):
        return features

    def lend(self, batch, task):
        return self.values[task]

    def predict(self, batch, task, own, others, buffers="update"):
        (other,) = others.values()
        assert not other.requires_grad
        return TaskLoss((own - other / 2 - 1) ** 2 if task == "x" else (own + other / 2) ** 2, 1)


def test_a_quadratic_game_reaches_its_nash_point() -> None:
    game = Game()
    run("alternating", game, [[None]] * 400, lambda named: torch.optim.SGD([p for _, p in named], lr=0.1))
    assert game.values["x"].item() == pytest.approx(0.8, abs=1e-9)
    assert game.values["y"].item() == pytest.approx(-0.4, abs=1e-9)


def test_optimizers_persist_over_phases() -> None:
    problem = Split(("a", "b"))
    method, _ = run("alternating", problem, [[batch_of()]] * 10, adamw)
    for optimizer in method.optimizers:
        assert {int(state["step"]) for state in optimizer.state.values()} == {5}


def test_frozen_buffers_keep_the_graph_usable() -> None:
    layer = nn.BatchNorm1d(3)
    before = weights_of(layer)
    with frozen_buffers(layer):
        out = layer(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    assert_same(before, weights_of(layer))
    out.square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.running_mean is dict(layer.named_buffers())["running_mean"]
