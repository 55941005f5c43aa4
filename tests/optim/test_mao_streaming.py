"""Streaming against collecting: the same bits, less memory, and nothing left behind by an overflow."""

from __future__ import annotations

import itertools

import pytest
import torch
from mao_toys import Many, data, differing, snapshot
from optim_toys import adamw, assert_same, built, weights_of
from torch import nn

from medmtl.optim import LossScale, MultiAdaptiveOptimizer, Services
from medmtl.optim.pertask.streaming import SPIKE

RULES = [("adamw", "per_task"), ("adamw", "shared"), ("rmsprop", "per_task"), ("normalized_sgd", "per_task")]


@pytest.mark.parametrize(("form", "momentum"), RULES)
@pytest.mark.parametrize("combine", ["sum", "mean"])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_both_ways_end_in_the_same_bits(form: str, momentum: str, combine: str, k: int) -> None:
    ends = []
    for gradients in ("stream", "collect", "exact"):
        problem = Many(k, dtype=torch.float32)
        method = built("mao", problem, gradients=gradients, form=form, momentum=momentum, combine=combine)
        for seed in range(8):
            problem.absent = {f"t{seed % 4}"} if k > 1 else set()
            method.update([data(seed, k, dtype=torch.float32)], Services(problem))
        ends.append(snapshot(problem, method.optimizer))
    assert differing(ends[0], ends[1]) == differing(ends[0], ends[2]) == set()


def trained(k: int, gradients: str, form: str = "adamw", momentum: str = "per_task", steps: int = 4):
    problem = Many(k)
    method = built("mao", problem, adamw, gradients=gradients, form=form, momentum=momentum)
    services = Services(problem)
    for seed in range(steps):
        method.update([data(seed, k)], services)
    return problem, method, services


@pytest.mark.parametrize(("form", "momentum"), RULES)
@pytest.mark.parametrize(("k", "bad"), [(k, bad) for k in (1, 2, 3, 5) for bad in range(k)])
@pytest.mark.parametrize("gradients", ["collect", "exact"])
def test_an_overflow_leaves_every_bit(gradients: str, form: str, momentum: str, k: int, bad: int) -> None:
    problem, method, services = trained(k, gradients, form, momentum)
    before = snapshot(problem, method.optimizer)
    problem.broken = f"t{bad}"
    assert method.update([data(9, k)], services).skipped
    assert differing(before, snapshot(problem, method.optimizer)) == set()


@pytest.mark.parametrize(("form", "momentum"), RULES)
@pytest.mark.parametrize(("k", "bad"), [(k, bad) for k in (1, 2, 3, 5) for bad in range(k)])
def test_stream_an_overflow_leaves_bits_or_rounding(form: str, momentum: str, k: int, bad: int) -> None:
    problem, method, services = trained(k, "stream", form, momentum)
    before = snapshot(problem, method.optimizer)
    problem.broken = f"t{bad}"
    assert method.update([data(9, k)], services).skipped
    after = snapshot(problem, method.optimizer)
    earlier = {f"t{task}" for task in range(bad)} if bad > 1 else set()
    for key in differing(before, after):
        assert key.rpartition("/")[2] in ("first", "second")
        assert key.split("/tasks/")[1].split("/")[0] in earlier
        torch.testing.assert_close(after[key], before[key], rtol=1e-12, atol=1e-15)
    assert all(parameter.grad is None for parameter in problem.parameters())


@pytest.mark.parametrize("gradients", ["stream", "collect"])
@pytest.mark.parametrize("k", [2, 4])
def test_an_overflow_in_the_first_step_leaves_no_state(gradients: str, k: int) -> None:
    problem = Many(k)
    method = built("mao", problem, gradients=gradients)
    before = weights_of(problem)
    problem.broken = f"t{k - 1}"
    assert method.update([data(0, k)], Services(problem)).skipped
    assert not method.optimizer.state
    assert_same(before, weights_of(problem))


def test_after_an_overflow_the_run_goes_on_as_if_it_had_not_been() -> None:
    ends = []
    for broken in (None, "t3"):
        problem, method, services = trained(4, "stream")
        if broken:
            problem.broken = broken
            method.update([data(50, 4)], services)
            problem.broken = None
        for seed in range(10, 15):
            method.update([data(seed, 4)], services)
        ends.append(weights_of(problem))
    assert_same(*ends, 1e-12)


def test_a_spike_is_held_so_that_taking_it_back_loses_no_bit() -> None:
    problem, method, services = trained(4, "stream", steps=6)
    before = snapshot(problem, method.optimizer)
    problem.loud, problem.broken = {"t0": 1e3 * SPIKE}, "t3"
    assert method.update([data(9, 4)], services).skipped
    assert differing(before, snapshot(problem, method.optimizer)) == set()


def test_a_spike_changes_no_result() -> None:
    ends = []
    for gradients in ("stream", "collect"):
        problem, method, services = trained(4, gradients, steps=6)
        problem.loud = {"t1": 1e3 * SPIKE}
        method.update([data(9, 4)], services)
        ends.append(snapshot(problem, method.optimizer))
    assert differing(*ends) == set()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_overflow_says_nothing_of_what_is_usual(value: float, monkeypatch) -> None:
    """After it gradients are folded as before, and a spike is held as before."""
    problem, method, services = trained(4, "stream", steps=6)
    folds: list[int] = []
    true = MultiAdaptiveOptimizer.fold
    monkeypatch.setattr(MultiAdaptiveOptimizer, "fold", lambda self: (folds.append(1), true(self))[1])
    method.update([data(9, 4)], services)
    usual = len(folds)
    problem.broken, problem.harm = "t1", value
    assert method.update([data(10, 4)], services).skipped
    problem.broken = None
    folds.clear()
    method.update([data(11, 4)], services)
    assert len(folds) == usual == 2
    problem.loud = {"t0": 1e3 * SPIKE}
    folds.clear()
    method.update([data(12, 4)], services)
    assert folds == []


def test_an_error_in_a_later_backward_pass_is_taken_back_too() -> None:
    problem, method, services = trained(4, "stream")
    before = snapshot(problem, method.optimizer)

    def fail(gradient):
        raise ZeroDivisionError

    problem.heads["t3"].weight.register_hook(fail)
    with pytest.raises(ZeroDivisionError):
        method.update([data(9, 4)], services)
    after = snapshot(problem, method.optimizer)
    for key in differing(before, after):
        assert key.rpartition("/")[2] in ("first", "second")
        torch.testing.assert_close(after[key], before[key], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("gradients", "micro", "scaled", "expected"),
    [
        ("auto", 1, False, True),
        ("auto", 2, False, False),
        ("auto", 1, True, False),
        ("stream", 1, True, True),
        ("stream", 2, False, False),
        ("exact", 1, True, True),
        ("exact", 2, True, False),
        ("collect", 1, False, False),
    ],
)
def test_when_it_streams(monkeypatch, gradients: str, micro: int, scaled: bool, expected: bool) -> None:
    problem = Many(3)
    method = built("mao", problem, gradients=gradients)
    services = Services(problem, scale=LossScale(8.0) if scaled else None)
    taken = []
    streamed = services.gradient_stream
    monkeypatch.setattr(services, "gradient_stream", lambda *given: taken.append(1) or streamed(*given))
    method.update([data(seed, 3) for seed in range(micro)], services)
    assert bool(taken) is expected


def test_stream_under_a_loss_scale_is_the_same() -> None:
    ends = []
    for scale in (None, LossScale(1024.0)):
        problem = Many(3)
        method = built("mao", problem, gradients="stream")
        for seed in range(5):
            method.update([data(seed, 3)], Services(problem, scale=scale))
        ends.append(weights_of(problem))
    assert_same(*ends, 1e-12)


def test_one_forward_and_k_backward_passes() -> None:
    for gradients, k in itertools.product(("stream", "collect", "exact"), (1, 2, 4)):
        problem = Many(k)
        passes = {"forward": 0, "backward": 0}
        problem.trunk[0].register_forward_hook(lambda *_, p=passes: p.__setitem__("forward", p["forward"] + 1))
        problem.trunk[0].weight.register_hook(lambda _, p=passes: p.__setitem__("backward", p["backward"] + 1))
        built("mao", problem, gradients=gradients).update([data(0, k)], Services(problem))
        again = max(k - 2, 0) if gradients == "exact" else 0
        assert passes == {"forward": 1, "backward": k + again}


def test_a_loss_scale_with_looking_ahead_leaves_every_bit() -> None:
    problem, scale = Many(4), LossScale(1024.0)
    method, services = built("mao", problem, gradients="exact"), Services(problem, scale=scale)
    for seed in range(4):
        method.update([data(seed, 4)], services)
    before = snapshot(problem, method.optimizer)
    problem.broken = "t3"
    report = method.update([data(9, 4)], services)
    assert report.skipped
    assert scale.value == 512.0
    assert differing(before, snapshot(problem, method.optimizer)) == set()


def test_folding_by_hand() -> None:
    staged, folded = (nn.Parameter(torch.ones(3)) for _ in range(2))
    rows = {task: torch.randn(3, generator=torch.Generator().manual_seed(i)) for i, task in enumerate("abc")}
    ends = []
    for parameter, fold in ((staged, False), (folded, True)):
        optimizer = MultiAdaptiveOptimizer([("p", parameter)], combine="mean", weight_decay=0.1)
        for task, gradient in rows.items():
            optimizer.accumulate(task, {"p": gradient.clone()})
            if fold:
                optimizer.fold()
        optimizer.commit()
        ends.append(parameter.detach())
    assert torch.equal(*ends)
