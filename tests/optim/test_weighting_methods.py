"""Closed forms and library oracles of the loss-weighting methods."""

from __future__ import annotations

import math

import pytest
import torch
from optim_toys import TASKS, Shared, adam, adamw, assert_same, batch_of, built, rows_of, run, sgd, weights_of
from torchjd.scalarization import FAMO, UW
from weighting_toys import Constant

from medmtl.errors import TrainingError
from medmtl.optim import Services


def test_equal_is_the_plain_sum_of_means() -> None:
    ours, plain = Shared(norm="batch"), Shared(norm="batch")
    batches = [batch_of(seed=s, missing={"a": [1, 2], "b": [0]}) for s in range(4)]
    run("equal", ours, [[batch] for batch in batches])
    optimizer = adamw(plain.named_parameters())
    for batch in batches:
        optimizer.zero_grad()
        sum(loss.mean for loss in plain.losses(batch, TASKS, "update").values()).backward()
        optimizer.step()
    assert_same(weights_of(plain), weights_of(ours), 1e-12)


def test_uw_ends_at_one_over_twice_the_loss() -> None:
    values = {"a": 0.25, "b": 1.0, "c": 8.0}
    _, reports = run("uw", Constant(values), [[None]] * 4000, adam, learning_rate=0.05)
    assert reports[-1].weights == pytest.approx({task: 0.5 / value for task, value in values.items()}, rel=1e-4)


def test_uw_equals_the_library() -> None:
    ours, theirs = Shared(), Shared()
    scalarizer = UW(3).double()
    optimizer = sgd([*theirs.named_parameters(), *scalarizer.named_parameters()])
    method, services = built("uw", ours, sgd), Services(ours)
    for seed in range(6):
        batch = batch_of(seed=seed)
        method.update([batch], services)
        optimizer.zero_grad()
        losses = theirs.losses(batch, TASKS, "update")
        scalarizer(torch.stack([losses[task].mean for task in TASKS])).backward()
        optimizer.step()
    assert_same(weights_of(theirs), weights_of(ours), 1e-12)
    learned = torch.stack([method.log_variances[task].detach() for task in TASKS])
    torch.testing.assert_close(learned, scalarizer.log_var.detach())


def test_uw_numbers_have_no_decay_and_may_have_their_own_rate() -> None:
    method = built("uw", Shared(), adamw, learning_rate=0.5)
    assert [(group["lr"], group["weight_decay"]) for group in method.param_groups] == [(1e-2, 1e-2), (0.5, 0.0)]


def test_uw_numbers_are_outside_the_clip() -> None:
    problem = Constant({"a": 100.0})
    method = built("uw", problem, sgd)
    method.update([None], Services(problem, clip_norm=1e-20))
    assert float(method.log_variances["a"]) == pytest.approx(0.01 * (50 - 0.5))


def _library_famo(problem: Shared, batches: list, decay: float) -> FAMO:
    scalarizer = FAMO(3, weight_decay=decay).double()
    optimizer = sgd(problem.named_parameters())
    for batch in batches:
        losses = problem.losses(batch, TASKS, "update")
        optimizer.zero_grad()
        scalarizer(torch.stack([losses[task].mean for task in TASKS])).backward()
        optimizer.step()
        with torch.no_grad():
            after = problem.losses(batch, TASKS, "frozen")
            scalarizer.update(torch.stack([after[task].mean for task in TASKS]))
    return scalarizer


@pytest.mark.parametrize("decay", [1e-3, 0.1])
def test_famo_equals_the_library(decay: float) -> None:
    ours, theirs = Shared(norm="batch"), Shared(norm="batch")
    batches = [batch_of(seed=seed) for seed in range(12)]
    scalarizer = _library_famo(theirs, batches, decay)
    method, reports = run("famo", ours, [[batch] for batch in batches], sgd, weight_decay=decay)
    assert_same(weights_of(theirs), weights_of(ours), 1e-12)
    logits = torch.stack([method.logits[task].detach() for task in TASKS])
    torch.testing.assert_close(logits, scalarizer._w.detach(), rtol=1e-10, atol=1e-12)
    assert all(sum(report.weights.values()) == pytest.approx(1) for report in reports)
    assert len({round(float(value), 6) for value in logits}) == 3  # it did learn something


def test_famo_second_forward_leaves_buffers_alone() -> None:
    ours, once = Shared(norm="batch"), Shared(norm="batch")
    batch = batch_of()
    run("famo", ours, [[batch]])
    run("equal", once, [[batch]])
    assert_same(dict(once.named_buffers()), dict(ours.named_buffers()))


def test_famo_over_a_window_moves_buffers_once_a_micro_batch() -> None:
    ours, once = Shared(norm="batch"), Shared(norm="batch")
    window = [rows_of(batch_of(), 0, 3), rows_of(batch_of(), 3, 6)]
    run("famo", ours, [window])
    run("equal", once, [window])
    assert_same(dict(once.named_buffers()), dict(ours.named_buffers()))


@pytest.mark.parametrize(("name", "forwards"), [("equal", 1), ("uw", 1), ("pcgrad", 1), ("famo", 2)])
def test_forwards_are_at_their_floor(name: str, forwards: int) -> None:
    problem = Shared()
    run(name, problem, [[batch_of()]])
    assert problem.forwards == forwards


def test_famo_refuses_negative_losses() -> None:
    with pytest.raises(TrainingError, match=r"task 'b'.*-1"):
        run("famo", Constant({"a": 1.0, "b": -1.0}), [[None]])


def test_famo_accepts_them_above_a_bound() -> None:
    _, (report,) = run("famo", Constant({"a": 1.0, "b": -1.0}), [[None]], bound=-3.0)
    assert report.weights["a"] / report.weights["b"] == pytest.approx(2 / 4)
    assert math.isclose(sum(report.weights.values()), 1)
