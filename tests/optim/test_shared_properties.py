"""Properties of every method on drawn networks, labels and scales of losses: a search, where other tests have examples."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optim_toys import (
    EVERY,
    TASKS,
    adamw,
    assert_same,
    batch_of,
    built,
    problem_for,
    rows_of,
    sgd,
    takes_turns,
    weights_of,
)

from medmtl.optim import Problem, Services, StepReport, TaskLoss, make_method

STEPS = 5
# By the promise of their pages: along the direction no loss grows, to first order.
WITHOUT_CONFLICT = {"upgrad": 1e-9, "dual_proj": 1e-9, "mgda": 1e-9, "nash_mtl": 1e-9, "config": 1e-9, "fairgrad": 1e-4}

search = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class World:
    """A network, what each loss is multiplied by, and what each update sees."""

    seed: int
    norm: str
    factors: tuple[float, ...]
    missing: tuple[tuple[tuple[int, ...], ...], ...]
    micro: tuple[int, ...]

    def problem(self, name: str, tasks: tuple[str, ...] = TASKS) -> Any:
        """The network, its losses times their factors, under whatever name they are asked for."""
        problem = problem_for(name, tasks, norm=self.norm, seed=self.seed)
        by = dict(zip(TASKS, self.factors, strict=True))
        for part in ("losses_from", "predict"):
            if hasattr(problem, part):
                setattr(problem, part, _times(getattr(problem, part), by))
        return problem

    def windows(self) -> list[list[dict[str, Any]]]:
        """One for each update, of one or two micro-batches."""
        found = []
        for step, (missing, cut) in enumerate(zip(self.missing, self.micro, strict=True)):
            batch = batch_of(6, seed=self.seed + step, missing=dict(zip(TASKS, missing, strict=True)))
            found.append([batch] if not cut else [rows_of(batch, 0, cut), rows_of(batch, cut, 6)])
        return found


def _times(call: Any, by: dict[str, float]) -> Any:
    def scaled(batch: Any, *given: Any) -> Any:
        found = call(batch, *given)
        if isinstance(found, TaskLoss):
            return TaskLoss(found.sum * by[given[0]], found.count)
        return {task: TaskLoss(loss.sum * by[task], loss.count) for task, loss in found.items()}

    return scaled


rows_without_label = st.lists(st.integers(0, 5), max_size=6, unique=True).map(tuple)
worlds = st.builds(
    World,
    seed=st.integers(0, 1000),
    norm=st.sampled_from(["group", "batch"]),
    factors=st.tuples(*[st.floats(-2, 2).map(lambda power: 10**power)] * 3),
    missing=st.tuples(*[st.tuples(*[rows_without_label] * 3)] * STEPS),
    micro=st.tuples(*[st.sampled_from([0, 0, 2, 5])] * STEPS),
)


def trained(
    name: str, problem: Problem, windows: list[Any], factory: Any = adamw, state: Any = None
) -> tuple[Any, list[StepReport]]:
    """A method, from a saved state where one is given, and its reports."""
    method = built(name, problem, factory)
    if state is not None:
        method.load_state_dict(state)
    services = Services(problem)
    return method, [method.update(window, services) for window in windows]


def told(reports: list[StepReport]) -> list[Any]:
    """What is the same in two runs: all but the time."""
    return [
        (r.losses, r.counts, r.weights, r.gradient_norms, r.cosines, r.norm, r.skipped, r.measures) for r in reports
    ]


@pytest.mark.parametrize("name", EVERY)
@search
@given(world=worlds, cut=st.integers(0, STEPS))
def test_finite_of_the_same_shape_determined_and_saved_whole(name: str, world: World, cut: int) -> None:
    whole, windows = world.problem(name), world.windows()
    shapes = {key: value.shape for key, value in whole.state_dict().items()}
    _, reports = trained(name, whole, windows)
    assert {key: value.shape for key, value in whole.state_dict().items()} == shapes
    assert all(value.isfinite().all() for value in whole.state_dict().values())
    for report in reports:
        numbers = [*report.losses.values(), *report.weights.values(), *report.gradient_norms.values()]
        assert all(map(math.isfinite, [*numbers, *report.cosines.values(), report.norm or 0.0]))
        assert all(-1 - 1e-9 <= cosine <= 1 + 1e-9 for cosine in report.cosines.values())
    half = world.problem(name)
    method, first = trained(name, half, windows[:cut])
    file = io.BytesIO()
    torch.save((half.state_dict(), method.state_dict()), file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    other = world.problem(name)
    other.load_state_dict(weights)
    _, second = trained(name, other, windows[cut:], state=state)
    assert_same(weights_of(whole), weights_of(other))
    assert told(first + second) == told(reports)


@pytest.mark.parametrize("name", [name for name in EVERY if not takes_turns(name)])
@search
@given(world=worlds, order=st.permutations(TASKS))
def test_the_order_of_the_tasks_changes_nothing(name: str, world: World, order: list[str]) -> None:
    one, other = world.problem(name), world.problem(name, tuple(order))
    _, reports = trained(name, one, world.windows(), sgd if not make_method(name).info.own_optimizer else adamw)
    _, again = trained(name, other, world.windows(), sgd if not make_method(name).info.own_optimizer else adamw)
    assert_same(dict(sorted(weights_of(one).items())), dict(sorted(weights_of(other).items())), 1e-7)
    for first, second in zip(reports, again, strict=True):
        assert first.weights == pytest.approx(second.weights, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", EVERY)
@search
@given(world=worlds)
def test_one_task_is_plain_descent(name: str, world: World) -> None:
    factory = adamw if make_method(name).info.own_optimizer else sgd
    ours, plain = world.problem(name, ("a",)), world.problem(name, ("a",))
    method, services, optimizer = built(name, ours, factory), Services(ours), factory(plain.named_parameters())
    for window in world.windows():
        report = method.update(window, services)
        if not report.counts:
            continue
        optimizer.zero_grad()
        losses = [
            found["a"] for batch in window if (found := plain.losses(batch, ("a",), "update")) and found["a"].count
        ]
        total = sum(loss.sum for loss in losses) / sum(loss.count for loss in losses)
        (report.weights.get("a", 1.0) * total).backward()
        optimizer.step()
        if world.norm == "group":
            assert_same(weights_of(plain), weights_of(ours), 1e-9)


@pytest.mark.parametrize("name", WITHOUT_CONFLICT)
@search
@given(world=worlds)
def test_where_it_is_promised_no_loss_grows_along_the_step(name: str, world: World) -> None:
    problem = world.problem(name)
    problem.eval()  # batch norm is a fixed map here
    batch = batch_of(6, seed=world.seed)
    shared = list(problem.trunk.parameters())
    losses = problem.losses(batch, TASKS, "frozen")
    rows = [torch.autograd.grad(loss.mean, shared, retain_graph=True) for loss in losses.values()]
    before = [parameter.detach().clone() for parameter in shared]
    trained(name, problem, [[batch]], sgd)
    step = [old - new.detach() for old, new in zip(before, shared, strict=True)]
    length = math.sqrt(sum(float(part.square().sum()) for part in step))
    for row in rows:
        along = sum(float((g * part).sum()) for g, part in zip(row, step, strict=True))
        own = math.sqrt(sum(float(g.square().sum()) for g in row))
        assert along >= -WITHOUT_CONFLICT[name] * own * length
