"""PCGrad against its closed form, the library and brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optim_toys import Shared, assert_same, batch_of, built, run, sgd, weights_of
from torch import nn
from torchjd.aggregation import PCGrad as LibraryPCGrad

from medmtl.optim import Services, TaskLoss
from medmtl.optim.gradients import add_gradients, combine, cosines, gradients_of, gramian, shared_names


class Linear(nn.Module):
    """Task k has the loss g_k · w, so its gradient is g_k."""

    def __init__(self, gradients: torch.Tensor) -> None:
        super().__init__()
        self.rows = gradients.double()
        self.tasks = tuple(f"t{k}" for k in range(len(gradients)))
        self.w = nn.Parameter(torch.zeros(gradients.shape[1], dtype=torch.float64))

    def counts(self, batch, tasks):
        return dict.fromkeys(tasks, 3)

    def losses(self, batch, tasks, buffers):
        return {task: TaskLoss(3 * (self.rows[self.tasks.index(task)] @ self.w), 3) for task in tasks}


def direction(rows: torch.Tensor, name: str = "pcgrad") -> torch.Tensor:
    problem = Linear(rows)
    run(name, problem, [[None]], lambda named: torch.optim.SGD([p for _, p in named], lr=1.0))
    return -problem.w.detach()


finite = st.floats(-3, 3, width=32)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(finite, min_size=3, max_size=3), min_size=2, max_size=2))
def test_two_tasks_follow_the_closed_form(rows: list[list[float]]) -> None:
    g1, g2 = torch.tensor(rows, dtype=torch.float64)
    expected = g1 + g2
    if (inner := g1 @ g2) < 0:
        expected = expected - inner / (g2 @ g2) * g2 - inner / (g1 @ g1) * g1
    torch.testing.assert_close(direction(torch.stack([g1, g2])), expected, rtol=1e-6, atol=1e-6)


def test_no_conflict_is_the_plain_sum() -> None:
    rows = torch.tensor([[1.0, 0.0, 2.0], [1.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
    torch.testing.assert_close(direction(rows), rows.double().sum(0))


def test_three_tasks_equal_the_library_under_the_same_draws() -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.3], [0.2, 1.0, -3.0]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = LibraryPCGrad()(rows.double())
    torch.testing.assert_close(direction(rows), expected)


def test_surgery_sees_shared_parameters_only() -> None:
    problem = Shared()
    batch = batch_of()
    before = weights_of(problem)
    method, services = built("pcgrad", problem, sgd), Services(problem)
    grads = {}
    for task in problem.tasks:
        loss = problem.losses(batch, (task,), "update")[task].mean
        grads[task] = torch.autograd.grad(loss, problem.heads[task].weight)[0]
    report = method.update([batch], services)
    for task, gradient in grads.items():
        torch.testing.assert_close(problem.heads[task].weight, before[f"heads.{task}.weight"] - 0.01 * gradient)
    assert set(report.cosines) == {"a|b", "a|c", "b|c"}


def test_a_seed_changes_the_order_and_nothing_else() -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.3], [0.2, 1.0, -3.0]])
    found = set()
    for seed in range(8):
        problem = Linear(rows)
        run("pcgrad", problem, [[None]], sgd, seed=seed)
        found.add(tuple(round(value, 9) for value in problem.w.tolist()))
    assert len(found) > 1


def test_stream_equals_collect_and_autograd() -> None:
    problem = Shared()
    batch = batch_of(missing={"a": [0], "c": [1, 2]})
    services = Services(problem)
    counts = services.counts([batch], problem.tasks)
    stream = {r.task: r for r in services.task_gradients([batch], counts, "stream")}
    collect = {r.task: r for r in services.task_gradients([batch], counts, "collect")}
    named = dict(problem.named_parameters())
    for task in problem.tasks:
        loss = problem.losses(batch, (task,), "update")[task].mean
        expected = gradients_of(loss, named, keep_graph=False)
        assert_same(expected, stream[task].gradients, 1e-12)
        assert_same(expected, collect[task].gradients, 1e-12)
        norm = torch.cat([g.flatten() for g in expected.values()]).norm()
        assert stream[task].norm == pytest.approx(float(norm))
        assert not any(name.startswith("heads.") and f".{task}." not in name for name in expected)


def test_per_task_clip() -> None:
    problem = Shared()
    services = Services(problem, clip_task_norm=1e-3)
    counts = services.counts([batch_of()], problem.tasks)
    for result in services.task_gradients([batch_of()], counts):
        clipped = torch.cat([g.flatten() for g in result.gradients.values()]).norm()
        assert float(clipped) == pytest.approx(1e-3)
        assert result.norm > 1e-3


def test_gramian_and_cosines_against_dense_products() -> None:
    rows = [{"p": torch.tensor([1.0, 2.0]), "q": torch.tensor([[3.0]])}, {"p": torch.tensor([-1.0, 1.0])}]
    dense = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 1.0, 0.0]])
    torch.testing.assert_close(gramian(rows, ["p", "q"]), (dense @ dense.T).double())
    assert shared_names(rows) == ["p"]
    assert cosines(["x", "y"], gramian(rows, ["p"]))["x|y"] == pytest.approx(1 / 10**0.5)
    assert cosines(["x", "y"], torch.zeros(2, 2)) == {}
    assert combine(rows, [2.0, 3.0], ["p"])["q"].tolist() == [[3.0]]


def test_gradients_that_share_memory_are_separated() -> None:
    a, b = (nn.Parameter(torch.zeros(3)) for _ in range(2))
    found = gradients_of((a + b).sum(), {"a": a, "b": b}, keep_graph=False)
    add_gradients(found, {"a": torch.ones(3)})
    assert found["a"].tolist() == [2, 2, 2]
    assert found["b"].tolist() == [1, 1, 1]
