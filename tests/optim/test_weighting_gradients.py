"""GradNorm and DB-MTL against loops written with autograd alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optim_toys import TASKS, Shared, assert_same, batch_of, built, sgd, weights_of
from torch import nn
from weighting_toys import BATCHES, Constant, ours

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim import Services, make_method
from medmtl.optim.weighting.gradnorm import gradnorm_slopes, gradnorm_weights, relative_progress
from medmtl.optim.weighting.reach import extended, shared

LENGTHS = st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.1, 5), st.floats(-2, 2)), min_size=1, max_size=5)


def trunk_of(problem: Shared) -> list[nn.Parameter]:
    return list(problem.trunk.parameters())


def mean_losses(problem: Shared, batch) -> torch.Tensor:
    losses = problem.losses(batch, TASKS, "update")
    return torch.stack([losses[task].mean for task in TASKS])


# gradnorm


def test_the_slope_equals_autograd_through_the_norms() -> None:
    """Double backward on a network: the gradient of the norms' loss along the logits."""
    problem = Shared()
    u = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64, requires_grad=True)
    first = {"a": 1.0, "b": 2.5, "c": 0.7}
    losses = mean_losses(problem, batch_of())
    weights = 3 * u.softmax(0)
    weighted = [
        torch.autograd.grad(w * loss, trunk_of(problem), create_graph=True)
        for w, loss in zip(weights, losses, strict=True)
    ]
    lengths = torch.stack([torch.cat([g.flatten() for g in row]).norm() for row in weighted])
    ratios = losses.detach() / torch.tensor(list(first.values()), dtype=torch.float64)
    target = (lengths.mean() * (ratios / ratios.mean()) ** 1.5).detach()
    (lengths - target).abs().sum().backward()

    named = dict(zip(TASKS, u.tolist(), strict=True))
    ours_w = gradnorm_weights(named, TASKS)
    norms = {task: float(lengths[i].detach()) / ours_w[task] for i, task in enumerate(TASKS)}
    progress = relative_progress(dict(zip(TASKS, losses.tolist(), strict=True)), first)
    slopes = gradnorm_slopes(ours_w, norms, progress, 1.5)
    assert list(slopes.values()) == pytest.approx(u.grad.tolist(), rel=1e-10)
    assert math.fsum(slopes.values()) == pytest.approx(0, abs=1e-12)


@given(LENGTHS, st.floats(0, 3))
def test_the_slope_equals_autograd(numbers: list, alpha: float) -> None:
    n, r, u = (torch.tensor(column, dtype=torch.float64) for column in zip(*numbers, strict=True))
    u.requires_grad_()
    lengths = len(numbers) * u.softmax(0) * n
    target = (lengths.mean() * r**alpha).detach()
    (lengths - target).abs().sum().backward()
    names = [str(i) for i in range(len(numbers))]
    weights = gradnorm_weights(dict(zip(names, u.tolist(), strict=True)), names)
    norms, progress = (dict(zip(names, column.tolist(), strict=True)) for column in (n, r))
    if float((lengths - target).detach().abs().min()) > 1e-9:  # the corner of the absolute value belongs to nobody
        slopes = gradnorm_slopes(weights, norms, progress, alpha)
        assert list(slopes.values()) == pytest.approx(u.grad.tolist(), rel=1e-8, abs=1e-10)
    assert math.fsum(weights.values()) == pytest.approx(len(numbers))


def test_gradnorm_equals_a_loop_with_double_backward() -> None:
    theirs = Shared()
    u = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = sgd([*theirs.named_parameters(), ("u", u)])
    first = None
    for batch in BATCHES:
        losses = mean_losses(theirs, batch)
        first = losses.detach() if first is None else first
        weights = 3 * u.softmax(0)
        rows = [torch.autograd.grad(loss, trunk_of(theirs), retain_graph=True) for loss in losses]
        lengths = torch.stack([torch.cat([g.flatten() for g in row]).norm() for row in rows]) * weights
        ratios = losses.detach() / first
        target = (lengths.mean() * (ratios / ratios.mean()) ** 0.7).detach()
        optimizer.zero_grad()
        (weights.detach() @ losses + (lengths - target).abs().sum()).backward()
        optimizer.step()
    problem, method, reports = ours("gradnorm", BATCHES, alpha=0.7)
    assert_same(weights_of(theirs), weights_of(problem), 1e-11)
    learned = torch.stack([method.logits[task].detach() for task in TASKS])
    torch.testing.assert_close(learned, u.detach(), rtol=1e-10, atol=1e-12)
    assert all(sum(report.weights.values()) == pytest.approx(3) for report in reports)
    assert len({round(float(value), 5) for value in learned}) == 3  # it did learn something


def test_gradnorm_with_alpha_zero_levels_the_norms() -> None:
    problem = Shared()
    method = built("gradnorm", problem, sgd, alpha=0.0, learning_rate=0.02)
    for group in method.optimizers[0].param_groups:
        group["lr"] = 0.0  # the network rests, so that the norms do
    services = Services(problem)
    for _ in range(300):
        report = method.update([batch_of()], services)
    names = shared(method._reach)
    assert names == {f"trunk.{name}" for name, _ in problem.trunk.named_parameters()}
    losses = mean_losses(problem, batch_of())
    rows = [torch.autograd.grad(loss, trunk_of(problem), retain_graph=True) for loss in losses]
    norms = [float(torch.cat([g.flatten() for g in row]).norm()) for row in rows]
    weighted = [report.weights[task] * norm for task, norm in zip(TASKS, norms, strict=True)]
    assert max(weighted) / min(weighted) < 1.15
    assert max(norms) / min(norms) > 1.3


def test_the_first_loss_is_that_of_the_first_presence() -> None:
    problem = Shared()
    method, services = built("gradnorm", problem), Services(problem)
    one = method.update([batch_of(missing={"c": range(6)})], services)
    two = method.update([batch_of(seed=4)], services)
    method.update([batch_of(seed=5)], services)
    assert method._first == {"a": one.losses["a"], "b": one.losses["b"], "c": two.losses["c"]}


def test_gradnorm_refuses_negative_losses_and_a_first_loss_of_zero() -> None:
    for bad, kind in ((-1.0, "zero or more"), (0.0, "positive")):
        problem = Constant({"a": 1.0, "b": bad})
        method = built("gradnorm", problem)
        with pytest.raises(TrainingError, match=rf"task 'b'.*'gradnorm' needs losses that are {kind}"):
            method.update([None], Services(problem))
        assert method._first == {}
        assert float(problem.free.detach()) == 0.0


def test_progress_of_solved_tasks_is_level() -> None:
    assert relative_progress({"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 2.0}) == {"a": 1.0, "b": 1.0}


def test_shared_parameters_are_remembered_while_tasks_are_absent() -> None:
    reach = extended({}, {"a": ["t", "ha"], "b": ["t", "hb"]})
    assert shared(reach) == {"t"}
    assert shared(extended(reach, {"a": ["ha"]})) == {"t"}
    assert shared(extended(reach, {"c": ["ha"]})) == {"t", "ha"}
    assert shared(extended({}, {"a": ["t"]})) == frozenset()


# db_mtl


def db_mtl_by_hand(batches: list, beta: float, sigma: float) -> Shared:
    problem = Shared()
    optimizer = sgd(problem.named_parameters())
    size = sum(parameter.numel() for parameter in trunk_of(problem))
    buffer = torch.zeros(3, size, dtype=torch.float64)
    for step, batch in enumerate(batches, start=1):
        optimizer.zero_grad()
        logs = (mean_losses(problem, batch) + 1e-8).log()
        rows = [torch.autograd.grad(log, trunk_of(problem), retain_graph=True) for log in logs]
        rows = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
        buffer = rows + (beta / step**sigma) * (buffer - rows)
        lengths = buffer.norm(dim=1)
        direction = ((lengths.max() / (lengths + 1e-8))[:, None] * buffer).sum(0)
        logs.sum().backward()  # for the heads
        nn.utils.vector_to_parameters(direction, [p.grad for p in trunk_of(problem)])
        for parameter, part in zip(
            trunk_of(problem), direction.split([p.numel() for p in trunk_of(problem)]), strict=True
        ):
            parameter.grad = part.view_as(parameter).clone()
        optimizer.step()
    return problem


@pytest.mark.parametrize(("beta", "sigma"), [(0.9, 0.0), (0.9, 0.5), (0.0, 0.0)])
def test_db_mtl_equals_the_rule_of_the_library(beta: float, sigma: float) -> None:
    theirs = db_mtl_by_hand(BATCHES, beta, sigma)
    problem, _, reports = ours("db_mtl", BATCHES, beta=beta, beta_sigma=sigma)
    assert_same(weights_of(theirs), weights_of(problem), 1e-11)
    assert all(set(report.gradient_norms) == set(TASKS) for report in reports)


def test_db_mtl_is_invariant_to_constant_factors() -> None:
    factors = {"a": 1.0, "b": 100.0, "c": 0.03}
    plain, scaled = Shared(), Shared()
    true = scaled.losses
    scaled.losses = lambda *a: {t: type(v)(factors[t] * v.sum, v.count) for t, v in true(*a).items()}  # type: ignore
    for problem in (plain, scaled):
        method, services = built("db_mtl", problem, sgd), Services(problem)
        for batch in BATCHES:
            method.update([batch], services)
    assert_same(weights_of(plain), weights_of(scaled), 1e-5)


def test_db_mtl_averages_rest_while_a_task_is_absent_and_stay_out_of_the_step() -> None:
    problem = Shared()
    method, services = built("db_mtl", problem, sgd), Services(problem)
    method.update([batch_of()], services)
    before = {name: value.clone() for name, value in method._averages["c"].items()}
    report = method.update([batch_of(missing={"c": range(6)})], services)
    assert_same(before, method._averages["c"])
    assert method._times == {"a": 2, "b": 2, "c": 1}
    assert set(report.weights) == {"a", "b"}


def test_db_mtl_keeps_averaging_in_a_step_with_one_task() -> None:
    problem = Shared()
    method, services = built("db_mtl", problem, sgd, beta=0.5), Services(problem)
    method.update([batch_of()], services)
    past = method._averages["a"]["trunk.0.weight"].clone()
    losses = mean_losses(problem, batch_of(seed=3))
    g = torch.autograd.grad((losses[0] + 1e-8).log(), problem.trunk[0].weight)[0]
    weight = problem.trunk[0].weight.detach().clone()
    method.update([batch_of(seed=3, missing={"b": range(6), "c": range(6)})], services)
    torch.testing.assert_close(method._averages["a"]["trunk.0.weight"], 0.5 * past + 0.5 * g)
    torch.testing.assert_close(
        problem.trunk[0].weight.detach(), weight - 0.01 * (0.5 * past + 0.5 * g), rtol=1e-6, atol=1e-9
    )


def test_db_mtl_names_a_negative_loss() -> None:
    problem = Constant({"a": 1.0, "b": -1.0})
    with pytest.raises(TrainingError, match=r"task 'b'.*'db_mtl' needs losses that are zero or more.*found -1"):
        built("db_mtl", problem).update([None], Services(problem))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("gradnorm", {"alpha": -1}, r"gradnorm\.alpha.*found -1"),
        ("gradnorm", {"alpha": 5000.0}, r"gradnorm\.alpha: out of range; found 5000\.0; use a number >= 0 and <= 100"),
        ("gradnorm", {"learning_rate": 0}, r"gradnorm\.learning_rate.*> 0"),
        ("db_mtl", {"beta": 1}, r"db_mtl\.beta.*found 1.*< 1"),
        ("db_mtl", {"beta_sigma": -0.5}, r"db_mtl\.beta_sigma"),
    ],
)
def test_bad_arguments_are_named(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method(name, **arguments)
