"""Independent optimization: turns, optimizer states of their own, and what follows from them."""

from __future__ import annotations

import pytest
import torch
from mao_toys import Many, data
from optim_toys import adam, adamw, assert_same, batch_of, built, run, sgd, weights_of

from medmtl.optim import Services


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("order", ["fixed", "reversed", "random"])
def test_every_task_has_its_turn_in_every_round(order: str, steps: int) -> None:
    method = built("independent", Many(4), order=order, phase_steps=steps)
    plans = [method.plan(step) for step in range(4 * steps * 6)]
    rounds = [[plan.phase for plan in plans[at : at + 4 * steps : steps]] for at in range(0, len(plans), 4 * steps)]
    assert all(sorted(tasks) == ["t0", "t1", "t2", "t3"] for tasks in rounds)
    assert all(plan.tasks == (plan.phase,) for plan in plans)
    expected = {"fixed": ["t0", "t1", "t2", "t3"], "reversed": ["t3", "t2", "t1", "t0"]}.get(order)
    assert all(tasks == expected for tasks in rounds) if expected else len({tuple(tasks) for tasks in rounds}) > 1


def test_random_turns_are_a_function_of_seed_and_step() -> None:
    first, again, other = (built("independent", Many(4), order="random", seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(3)
    turns = [[method.plan(step).phase for step in range(24)] for method in (first, again, other)]
    assert turns[0] == turns[1] != turns[2]
    assert [again.plan(step).phase for step in reversed(range(24))] == turns[0][::-1]


@pytest.mark.parametrize("factory", [adam, adamw, sgd])
def test_equals_one_ordinary_optimizer_a_task(factory) -> None:
    ours, plain = Many(3), Many(3)
    own = {task: factory(plain.named_parameters()) for task in plain.tasks}
    run("independent", ours, [[data(step, 3)] for step in range(9)], factory)
    for step in range(9):
        task = plain.tasks[step % 3]
        own[task].zero_grad()
        plain.losses(data(step, 3), (task,), "update")[task].mean.backward()
        own[task].step()
    assert_same(weights_of(plain), weights_of(ours), 1e-14)


def test_a_factor_on_a_loss_changes_nothing_under_adam() -> None:
    ends = []
    for factor in (1.0, 2.0**6):
        problem = Many(3)
        problem.loud = {"t1": factor}
        run(
            "independent",
            problem,
            [[data(step, 3)] for step in range(12)],
            lambda n: torch.optim.Adam([p for _, p in n], eps=0.0),
        )
        ends.append(weights_of(problem))
    assert_same(*ends)


def test_moments_are_kept_where_a_task_reaches_only() -> None:
    problem = Many(3)
    method, _ = run("independent", problem, [[data(step, 3)] for step in range(3)], adam)
    for task, optimizer in zip(problem.tasks, method.optimizers, strict=True):
        reached = {id(p) for p in optimizer.state}
        assert reached == {id(p) for p in [*problem.trunk.parameters(), *problem.heads[task].parameters()]}


def test_the_turn_of_a_task_without_labels_passes() -> None:
    from optim_toys import Shared

    problem = Shared()
    method, services = built("independent", problem), Services(problem)
    reports = [method.update([batch_of(missing={"b": range(6)})], services) for _ in range(6)]
    assert [report.skipped for report in reports] == [False, True, False] * 2
    assert [report.phase for report in reports] == ["a", "b", "c"] * 2


def test_needs_only_the_labels_of_its_turn() -> None:
    from optim_toys import TASKS, Shared

    problem = Shared()
    method, services = built("independent", problem), Services(problem)
    reports = [method.update([batch_of(tasks=(TASKS[step % 3],))], services) for step in range(6)]
    assert [list(report.losses) for report in reports] == [[task] for task in TASKS * 2]
