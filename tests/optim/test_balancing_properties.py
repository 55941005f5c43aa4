"""What every registered method must do, whatever it is."""

from __future__ import annotations

import io
import itertools

import pytest
import torch
from optim_toys import (
    EVERY,
    TASKS,
    adamw,
    assert_same,
    batch_of,
    built,
    loss_of,
    problem_for,
    rows_of,
    run,
    sgd,
    takes_turns,
    weights_of,
)

from medmtl.errors import CheckpointError, TrainingError
from medmtl.optim import LossScale, Services, StepReport, make_method

PARTIAL = {"a": [0, 3], "b": [0, 1, 2], "c": [4]}


@pytest.mark.parametrize("name", EVERY)
def test_loss_goes_down_and_all_is_finite(name: str) -> None:
    problem = problem_for(name)
    _, reports = run(name, problem, [[batch_of(missing=PARTIAL)]] * 90)
    first = {task: loss for report in reversed(reports) for task, loss in report.losses.items()}
    last = {task: loss for report in reports for task, loss in report.losses.items()}
    assert set(first) == set(TASKS)
    assert sum(last.values()) < 0.9 * sum(first.values())
    assert all(torch.isfinite(value).all() for value in problem.state_dict().values())
    assert all(report.seconds > 0 and not report.skipped for report in reports)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("cuts", [(2, 4), (1, 5), (3,)])
def test_micro_batches_equal_the_big_batch(name: str, cuts: tuple[int, ...]) -> None:
    batch = batch_of(missing=PARTIAL)
    edges = [0, *cuts, 6]
    window = [rows_of(batch, start, stop) for start, stop in itertools.pairwise(edges)]
    big, small = problem_for(name), problem_for(name)
    _, whole = run(name, big, [[batch]] * 4)
    _, parts = run(name, small, [window] * 4)
    assert_same(weights_of(big), weights_of(small), 1e-10)
    for one, other in zip(whole, parts, strict=True):
        assert one.losses == pytest.approx(other.losses, abs=1e-10)
        assert one.weights == pytest.approx(other.weights, abs=1e-10)
        assert one.counts == other.counts


@pytest.mark.parametrize("name", EVERY)
def test_one_task_is_plain_descent_at_the_reported_weight(name: str) -> None:
    factory = adamw if make_method(name).info.own_optimizer else sgd
    ours, plain = problem_for(name, ("a",)), problem_for(name, ("a",))
    optimizer = factory(plain.named_parameters())
    method, services = built(name, ours, factory), Services(ours)
    for seed in range(5):
        batch = batch_of(seed=seed, missing={"a": [1]})
        weight = method.update([batch], services).weights.get("a", 1.0)
        optimizer.zero_grad()
        (weight * plain.losses(batch, ("a",), "update")["a"].mean).backward()
        optimizer.step()
        assert_same(weights_of(plain), weights_of(ours), 1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_absent_task_equals_task_removed(name: str) -> None:
    if make_method(name).info.needs_split:
        pytest.skip("removing a sub-model changes the input of the others")
    if takes_turns(name):
        pytest.skip("the turn of an absent task passes")
    batch = batch_of(missing={"c": range(6)})
    full, removed = problem_for(name), problem_for(name, ("a", "b"))
    head = weights_of(full.heads["c"])
    run(name, full, [[batch]] * 5)
    run(name, removed, [[batch]] * 5)
    kept = {key: value for key, value in weights_of(full).items() if not key.startswith("heads.c")}
    assert_same(kept, weights_of(removed), 1e-12)
    assert_same(head, weights_of(full.heads["c"]))


@pytest.mark.parametrize("name", EVERY)
def test_absent_for_a_while_leaves_the_head_alone(name: str) -> None:
    problem = problem_for(name)
    method, services = built(name, problem), Services(problem)
    for _ in range(6):
        method.update([batch_of()], services)
    own = {key: value for key, value in weights_of(problem).items() if ".c." in key}
    for _ in range(6):
        method.update([batch_of(missing={"c": range(6)})], services)
    assert_same(own, {key: value for key, value in weights_of(problem).items() if ".c." in key})


@pytest.mark.parametrize("name", EVERY)
def test_order_of_tasks_does_not_matter(name: str) -> None:
    if make_method(name).info.needs_split or takes_turns(name):
        pytest.skip("the order of turns is the method")
    # Two tasks: the random order of a projection has no choice left.
    first, second = problem_for(name, ("a", "b")), problem_for(name, ("b", "a"))
    run(name, first, [[batch_of()]] * 5)
    run(name, second, [[batch_of()]] * 5)
    assert_same(dict(sorted(weights_of(first).items())), dict(sorted(weights_of(second).items())), 1e-10)


@pytest.mark.parametrize("name", EVERY)
def test_without_labels_nothing_moves(name: str) -> None:
    problem = problem_for(name)
    method, services = built(name, problem), Services(problem)
    method.update([batch_of()], services)
    before, state = weights_of(problem), method.state_dict()
    report = method.update([batch_of(missing={task: range(6) for task in TASKS})], services)
    assert report.skipped
    assert report.losses == {}
    assert report.counts == {}
    assert_same(before, weights_of(problem))
    assert {**method.state_dict(), "step": 1}.keys() == state.keys()
    assert method.step == 2


@pytest.mark.parametrize("name", EVERY)
def test_state_round_trip_continues_identically(name: str) -> None:
    windows = [[batch_of(seed=seed, missing=PARTIAL)] for seed in range(10)]
    whole = problem_for(name)
    _, expected = run(name, whole, windows)
    half = problem_for(name)
    method, _ = run(name, half, windows[:5])
    stream = io.BytesIO()
    torch.save({"model": half.state_dict(), "method": method.state_dict()}, stream)
    stream.seek(0)
    saved = torch.load(stream, weights_only=True)
    resumed = problem_for(name, seed=9)
    resumed.load_state_dict(saved["model"])
    torch.manual_seed(77)  # a global generator elsewhere must not matter
    other = built(name, resumed)
    other.load_state_dict(saved["method"])
    reports = [other.update(window, Services(resumed)) for window in windows[5:]]
    assert_same(weights_of(whole), weights_of(resumed))
    assert [report.losses for report in reports] == [report.losses for report in expected[5:]]
    assert [report.weights for report in reports] == [report.weights for report in expected[5:]]


@pytest.mark.parametrize("name", EVERY)
def test_two_runs_are_identical_and_the_global_generator_is_untouched(name: str) -> None:
    first, second = problem_for(name), problem_for(name)
    run(name, first, [[batch_of()]] * 4)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(name, second, [[batch_of()]] * 4)
    assert torch.equal(before, torch.get_rng_state())
    assert_same(weights_of(first), weights_of(second))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_its_task_and_moves_nothing(name: str, bad: float) -> None:
    problem = problem_for(name)
    problem.losses = _spoil(problem.losses, bad)  # type: ignore[method-assign]
    if hasattr(problem, "losses_from"):
        whole = problem.losses_from
        problem.losses_from = lambda *given: {t: _spoiled(v, t, bad) for t, v in whole(*given).items()}
    if hasattr(problem, "predict"):
        problem.predict = lambda batch, task, *_: _spoiled(
            loss_of(
                batch, task, problem.predictors[task](torch.cat([problem.encoders[t](batch["x"]) for t in TASKS], 1))
            ),
            task,
            bad,
        )
    before = weights_of(problem)
    method, services = built(name, problem), Services(problem)
    with pytest.raises(TrainingError, match=r"task 'a'.*not finite"):
        method.update([batch_of()], services)  # "a" is the first task of every plan
    assert_same(before, weights_of(problem))


def _spoiled(loss, task, bad):
    return type(loss)(loss.sum * bad, loss.count) if task == "a" else loss


def _spoil(losses, bad):
    return lambda batch, tasks, buffers: {t: _spoiled(v, t, bad) for t, v in losses(batch, tasks, buffers).items()}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("micro", [1, 2])
def test_an_overflow_leaves_all_state_untouched(name: str, micro: int) -> None:
    problem = problem_for(name)
    scale = LossScale(4.0)
    method, services = built(name, problem), Services(problem, scale=scale)
    batch = batch_of()
    window = [batch] if micro == 1 else [rows_of(batch, 0, 3), rows_of(batch, 3, 6)]
    method.update(window, services)
    before, state = weights_of(problem), _flat(method.state_dict())
    for parameter in problem.parameters():  # a weight of 1/loss would undo a mere scale
        parameter.register_hook(lambda gradient: gradient * float("inf"))
    report = method.update(window, services)
    assert report.skipped
    assert scale.value == 2.0
    assert_same(before, weights_of(problem))
    after = _flat(method.state_dict())
    assert after.pop(".step") == state.pop(".step") + 1
    assert after.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(after[key])), key
    assert all(parameter.grad is None for parameter in problem.parameters())


def _flat(state, prefix=""):
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in _flat(value, f"{prefix}.{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for i, value in enumerate(state) for k, v in _flat(value, f"{prefix}.{i}").items()}
    return {prefix: state} if isinstance(state, int | float | bool | torch.Tensor) else {}


@pytest.mark.parametrize("name", EVERY)
def test_a_loss_scale_changes_nothing(name: str) -> None:
    plain, scaled = problem_for(name), problem_for(name)
    run(name, plain, [[batch_of()]] * 4)
    method, services = built(name, scaled), Services(scaled, scale=LossScale(1024.0))
    for _ in range(4):
        method.update([batch_of()], services)
    assert_same(weights_of(plain), weights_of(scaled), 1e-10)


@pytest.mark.parametrize("name", EVERY)
def test_bf16_autocast_inside_the_problem(name: str) -> None:
    problem = problem_for(name).float()
    batch = batch_of()
    batch = {"x": batch["x"].float(), "y": {task: y.float() for task, y in batch["y"].items()}}
    for part in ("losses", "features", "losses_from", "encode", "predict"):
        if hasattr(problem, part):
            setattr(problem, part, torch.autocast("cpu", dtype=torch.bfloat16)(getattr(problem, part)))
    _, reports = run(name, problem, [[batch]] * 4)
    assert not any(report.skipped for report in reports)
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in problem.parameters())


@pytest.mark.parametrize("name", EVERY)
def test_a_frozen_part_stays(name: str) -> None:
    problem = problem_for(name)
    frozen = next(parameter for parameter in problem.parameters() if parameter.ndim == 4).requires_grad_(False)
    before = frozen.clone()
    run(name, problem, [[batch_of()]] * 4)
    assert torch.equal(before, frozen)


@pytest.mark.parametrize("name", EVERY)
def test_schedules_reach_every_group(name: str) -> None:
    problem = problem_for(name)
    method, services = built(name, problem), Services(problem)
    for _ in range(3):
        method.update([batch_of()], services)
    for group in method.param_groups:
        group["lr"] = 0.0
    before = weights_of(problem)
    for _ in range(3):
        method.update([batch_of()], services)
    assert_same(before, weights_of(problem))
    owned = {id(p) for group in method.param_groups for p in group["params"]}
    assert {id(parameter) for parameter in problem.parameters()} <= owned


@pytest.mark.parametrize("name", EVERY)
def test_state_of_other_tasks_is_refused(name: str) -> None:
    state = built(name, problem_for(name)).state_dict()
    other = built(name, problem_for(name, ("a", "b")))
    with pytest.raises(CheckpointError, match="another tasks"):
        other.load_state_dict(state)
    with pytest.raises(CheckpointError, match="another method"):
        other.load_state_dict({**state, "method": "x"})


@pytest.mark.parametrize("name", EVERY)
def test_report_speaks_of_present_tasks_only(name: str) -> None:
    problem = problem_for(name)
    _, reports = run(name, problem, [[batch_of(missing={"b": range(6), "a": [0]})]] * 3)
    for report in reports:
        assert isinstance(report, StepReport)
        assert "b" not in {*report.losses, *report.counts, *report.weights, *report.gradient_norms}
        assert report.counts.get("a", 5) == 5
