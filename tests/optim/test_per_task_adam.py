"""Per-task Adam against torch's Adam and the statements A1-A7 of its derivation."""

from __future__ import annotations

import pytest
import torch
from optim_toys import TASKS, Shared, adam, adamw, assert_same, batch_of, built, rows_of, run, weights_of
from test_gradient_surgery import Linear
from torch import nn

from medmtl.optim import PerTaskAdam, Services


def unit(named):
    return torch.optim.Adam([p for _, p in named], lr=0.1)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_one_task_is_torch_adam(kind: str) -> None:
    factory = {"adam": adam, "adamw": adamw}[kind]
    ours, plain = Shared(("a",)), Shared(("a",))
    optimizer = factory(plain.named_parameters())
    batches = [batch_of(seed=seed) for seed in range(20)]
    run("adam_per_task", ours, [[batch] for batch in batches], factory)
    for batch in batches:
        optimizer.zero_grad()
        plain.losses(batch, ("a",), "update")["a"].mean.backward()
        optimizer.step()
    assert_same(weights_of(plain), weights_of(ours), 1e-13)


def _stage(optimizer: PerTaskAdam, gradients: dict[str, dict[str, torch.Tensor]]) -> None:
    for task, row in gradients.items():
        optimizer.accumulate(task, row, 1)
    optimizer.commit()


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_one_task_parameters_are_exactly_adam(combine: str) -> None:
    generator = torch.Generator().manual_seed(0)
    trunk, head = (nn.Parameter(torch.randn(5, generator=generator, dtype=torch.float64)) for _ in range(2))
    copy = nn.Parameter(head.detach().clone())
    ours = PerTaskAdam([{"params": [trunk, head], "lr": 0.01}], {"trunk": trunk, "head": head}, combine=combine)
    plain = torch.optim.Adam([copy], lr=0.01)
    for _ in range(10):
        g1, g2, own = (torch.randn(5, generator=generator, dtype=torch.float64) for _ in range(3))
        _stage(ours, {"a": {"trunk": g1, "head": own}, "b": {"trunk": g2}})
        copy.grad = own
        plain.step()
        torch.testing.assert_close(head, copy, rtol=0, atol=1e-15)


def test_a_constant_factor_on_a_loss_changes_nothing() -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.3]])
    ends = []
    for factor in (1.0, 100.0):
        problem = Linear(rows * torch.tensor([[1.0], [factor]]))
        run("adam_per_task", problem, [[None]] * 10, unit)
        ends.append(problem.w.detach())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-6)


def test_first_step_is_the_sum_of_signs() -> None:
    problem = Linear(torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.3]]))
    run("adam_per_task", problem, [[None]], unit)
    torch.testing.assert_close(problem.w.detach(), torch.tensor([0.0, 0.0, -0.2]).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("combine", "factor"), [("sum", 3.0), ("mean", 1.0)])
def test_identical_losses(combine: str, factor: float) -> None:
    row = torch.tensor([[1.0, -2.0, 0.5]])
    many, one = Linear(row.repeat(3, 1)), Linear(row)
    run("adam_per_task", many, [[None]] * 5, unit, combine=combine)
    run("adam_per_task", one, [[None]] * 5, unit)
    torch.testing.assert_close(many.w.detach(), factor * one.w.detach())


def test_an_absent_task_keeps_moments_and_counter() -> None:
    problem = Shared()
    method, services = built("adam_per_task", problem), Services(problem)
    for _ in range(3):
        method.update([batch_of()], services)
    shared = problem.trunk[0].weight
    before = {key: torch.as_tensor(value).clone() for key, value in method.optimizer.state[shared].items()}
    method.update([batch_of(missing={"b": range(6)})], services)
    after = method.optimizer.state[shared]
    assert [after[f"{task}/step"] for task in TASKS] == [4, 3, 4]
    assert torch.equal(before["b/first"], after["b/first"])
    assert torch.equal(before["b/second"], after["b/second"])
    assert not torch.equal(before["a/first"], after["a/first"])


def test_staged_parts_of_a_task_join_as_one_mean() -> None:
    batch = batch_of()
    whole, parts = Shared(("a",)), Shared(("a",))
    ends = []
    for problem, pieces in ((whole, [batch]), (parts, [rows_of(batch, 0, 2), rows_of(batch, 2, 6)])):
        named = dict(problem.named_parameters())
        optimizer = PerTaskAdam([{"params": list(named.values()), "lr": 0.01}], named)
        for piece in pieces:
            loss = problem.losses(piece, ("a",), "update")["a"]
            grads = torch.autograd.grad(loss.mean, list(named.values()))
            optimizer.accumulate("a", dict(zip(named, grads, strict=True)), loss.count)
        optimizer.step()
        ends.append(weights_of(problem))
    assert_same(*ends, 1e-10)


def test_dropping_what_was_staged() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = PerTaskAdam([{"params": [parameter]}], {"p": parameter})
    optimizer.accumulate("a", {"p": torch.ones(2)}, 1)
    optimizer.zero_grad()
    optimizer.step()
    assert parameter.tolist() == [1, 1]
    assert not optimizer.state


def test_decay_acts_once_a_step_on_reached_parameters() -> None:
    reached, unreached = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = PerTaskAdam(
        [{"params": [reached, unreached], "lr": 0.1, "weight_decay": 0.5}], {"r": reached, "u": unreached}
    )
    _stage(optimizer, {"a": {"r": torch.zeros(1)}, "b": {"r": torch.zeros(1)}})
    assert reached.item() == pytest.approx(0.95)
    assert unreached.item() == 1.0
