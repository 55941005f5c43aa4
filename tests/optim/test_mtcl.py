"""Cooperative training: turns, what must not move, equalities with simpler training, and the traces."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from optim_toys import TASKS, Split, adamw, assert_same, batch_of, built, rows_of, run, sgd, weights_of

from medmtl.errors import ConfigError
from medmtl.optim import Services, TaskLoss
from medmtl.optim.cooperative.objective import Flatness, Place, turn_loss
from medmtl.optim.cooperative.turns import Turns

KINDS = ("ascent", "adaptive_ascent", "uniform", "gaussian")
TARGETS = ("others", "own", "weights")


def windows(count: int) -> list[list[Any]]:
    return [[batch_of(seed=step)] for step in range(count)]


def trained(problem: Split | None = None, steps: int = 9, factory: Any = adamw, **arguments: Any) -> dict[str, Any]:
    network = problem or Split()
    run("mtcl", network, windows(steps), factory, **arguments)
    return weights_of(network)


@pytest.mark.parametrize("order", ["fixed", "reversed", "random"])
def test_every_round_has_every_task_once(order: str) -> None:
    turns = Turns(TASKS, warmup=4, phase_steps=2, order=order, seed=3)
    tasks = [turns.task(step) for step in range(4 + 6 * 6)]
    assert tasks[:4] == [None] * 4
    rounds = [tuple(tasks[start : start + 6 : 2]) for start in range(4, 40, 6)]
    assert tasks[4::2] == tasks[5::2]
    assert all(sorted(r) == sorted(TASKS) for r in rounds)
    assert (len(set(rounds)) > 1) == (order == "random")
    if order != "random":
        assert rounds[0] == (TASKS if order == "fixed" else TASKS[::-1])
    assert [turns.starts(step) for step in range(4, 8)] == [True, False, True, False]
    assert [turns.ends(step) for step in range(4, 8)] == [False, True, False, True]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_sub_model_in_turn_moves(kind: str, target: str) -> None:
    """O5 and O6, buffers included."""
    problem = Split(norm="batch")
    method = built("mtcl", problem, flatness=kind, target=target, warmup_steps=1, phase_steps=2)
    services = Services(problem)
    for step in range(9):
        before = weights_of(problem)
        report = method.update([batch_of(seed=step), batch_of(seed=step + 50)], services)
        after = weights_of(problem)
        moved = {key.split(".")[1] for key, value in before.items() if not torch.equal(value, after[key])}
        assert moved == (set(TASKS) if step == 0 else {report.phase})


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("levels", [1, None], ids=["first level", "whole encoder"])
def test_frozen_encoders_stay_and_the_rest_learns(levels: int | None, kind: str, target: str) -> None:
    problem = Split()
    for encoder in problem.encoders.values():
        encoder[:levels].requires_grad_(False)
    before = weights_of(problem)
    run("mtcl", problem, windows(6), flatness=kind, target=target, warmup_steps=1)
    after = weights_of(problem)
    still = {name for name, parameter in problem.named_parameters() if not parameter.requires_grad}
    assert still
    assert all(torch.equal(before[name], after[name]) for name in still)
    assert not any(torch.equal(before[name], after[name]) for name in before if name.startswith("predictors"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("still", [{"radius": 0.0}, {"mix": 0.0}])
def test_no_radius_or_no_share_is_plain_alternation(kind: str, still: dict[str, float]) -> None:
    """O4."""
    plain = Split()
    run("alternating", plain, windows(7))
    assert_same(trained(steps=7, flatness=kind, **still), weights_of(plain))


@pytest.mark.parametrize("kind", KINDS)
def test_one_task_is_single_task_training(kind: str) -> None:
    """O8."""
    problem, alone = Split(("a",)), Split(("a",))
    for name, network in (("mtcl", problem), ("equal", alone)):
        arguments = {"flatness": kind} if name == "mtcl" else {}
        run(name, network, windows(5), **arguments)
    assert_same(weights_of(problem), weights_of(alone))


def test_the_gradient_is_that_of_the_mixed_loss() -> None:
    """The update against autograd on (1 - a) L + a L(z + ε*), ε* written out by hand."""
    problem, twin, batch = Split(), Split(), batch_of()
    run("mtcl", problem, [[batch]], sgd, flatness="ascent", radius=0.3, relative=True, mix=0.4)
    z = {task: twin.lend(batch, task).requires_grad_() for task in ("b", "c")}
    own = twin.encode(batch, "a")
    clean = twin.predict(batch, "a", own, z)
    g = dict(zip(z, torch.autograd.grad(clean.sum, list(z.values()), retain_graph=True), strict=True))
    c = {task: z[task].detach().norm(dim=1, keepdim=True) for task in z}
    total = sum((c[t] * g[t].norm(dim=1, keepdim=True)) ** 2 for t in z).sqrt()
    moved = {t: z[t].detach() + 0.3 * c[t] ** 2 * g[t] / total for t in z}
    loss = 0.6 * clean.mean + 0.4 * twin.predict(batch, "a", own, moved).mean
    parameters = [p for _, p in twin.parameters_of("a")]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.data -= 1e-2 * gradient
    assert_same(weights_of(problem), weights_of(twin), 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_flat_loss_is_reported_beside_the_clean_one(kind: str) -> None:
    problem = Split()
    method, reports = run("mtcl", problem, windows(3), flatness=kind, radius=0.5)
    assert method.measure_names == tuple(f"flat/{task}" for task in TASKS)
    for report in reports:
        (task,) = report.losses
        assert set(report.measures) == {f"flat/{task}"}
        if kind in ("ascent", "adaptive_ascent"):  # a small step uphill of a smooth loss
            assert report.measures[f"flat/{task}"] > report.losses[task]


def test_the_losses_of_a_turn_add_over_micro_batches() -> None:
    problem, batch = Split(), batch_of(6)
    flatness = Flatness("uniform", radius=0.4, draws=3, antithetic=True)
    assert flatness.passes == 6
    whole = turn_loss(problem, batch, "b", "update", flatness, Place(step=4))
    parts = [
        turn_loss(problem, rows_of(batch, start, start + 2), "b", "update", flatness, Place(step=4, before=start))
        for start in (0, 2, 4)
    ]
    torch.testing.assert_close(sum(part.flat.sum for part in parts), whole.flat.sum, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", TARGETS)
def test_accumulation_equals_the_big_batch(kind: str, target: str) -> None:
    """Also where one micro-batch has no label of a task, and the ascent in the weights is that of the whole window."""
    big, small = Split(), Split()
    batch = batch_of(6, missing={"b": [0, 1, 4]})
    run("mtcl", big, [[batch]] * 6, flatness=kind, target=target)
    parts = [rows_of(batch, start, start + 2) for start in (0, 2, 4)]
    run("mtcl", small, [parts] * 6, flatness=kind, target=target)
    assert_same(weights_of(big), weights_of(small), 1e-9)


@pytest.mark.parametrize("relative", [True, False])
def test_the_ascent_in_the_weights_by_hand(relative: bool) -> None:
    """One step uphill of the whole window's loss in the weights of b and c, and the loss there."""
    problem, twin, batch = Split(), Split(), batch_of(6)
    parts = [rows_of(batch, 0, 1), rows_of(batch, 1, 6)]
    arguments = {"flatness": "ascent", "target": "weights", "radius": 0.3, "relative": relative, "mix": 1.0}
    run("mtcl", problem, [parts], sgd, **arguments)
    theirs = {t: {n: p.detach().clone().requires_grad_() for n, p in twin.parameters_of(t)} for t in ("b", "c")}

    def loss(weights: Any) -> torch.Tensor:
        shown = {t: twin.lend_with(batch, t, named) for t, named in weights.items()}
        return twin.predict(batch, "a", twin.encode(batch, "a"), shown).mean

    inputs = [value for named in theirs.values() for value in named.values()]
    found = torch.autograd.grad(loss(theirs), inputs, allow_unused=True)
    slopes = [torch.zeros_like(v) if g is None else g for v, g in zip(inputs, found, strict=True)]
    c = [v.detach().norm() if relative else torch.tensor(1.0) for v in inputs]
    length = sum(float((s * g.norm()) ** 2) for s, g in zip(c, slopes, strict=True)) ** 0.5
    moved = iter([v.detach() + 0.3 * s**2 * g / length for v, s, g in zip(inputs, c, slopes, strict=True)])
    there = {t: {name: next(moved) for name in named} for t, named in theirs.items()}
    own = [p for _, p in twin.parameters_of("a")]
    for parameter, gradient in zip(own, torch.autograd.grad(loss(there), own), strict=True):
        parameter.data -= 1e-2 * gradient
    assert_same(weights_of(problem), weights_of(twin), 1e-8)


def test_the_pass_ahead_of_a_window_leaves_no_trace() -> None:
    """Neither in running statistics, which count each micro-batch once, nor in the random numbers of dropout."""
    problem = Split(norm="batch")
    problem.encoders["a"].append(torch.nn.Dropout(0.5))
    batch, drawn = batch_of(6), []
    problem.encoders["a"][-1].register_forward_hook(lambda _, __, output: drawn.append(output.detach() == 0))
    torch.manual_seed(3)
    run("mtcl", problem, [[rows_of(batch, 0, 3), rows_of(batch, 3, 6)]], target="weights")
    assert int(problem.encoders["a"][1].num_batches_tracked) == 2
    ahead, rest = drawn[:2], [zeros for zeros in drawn[2:] if zeros.any()]
    assert torch.equal(ahead[0], rest[0])
    torch.manual_seed(3)
    random = torch.get_rng_state()
    run("mtcl", Split(), [[rows_of(batch, 0, 3), rows_of(batch, 3, 6)]], target="weights")
    assert torch.equal(random, torch.get_rng_state())


def test_a_batch_without_the_task_in_turn_changes_nothing() -> None:
    problem = Split()
    method, services = built("mtcl", problem), Services(problem)
    before = weights_of(problem)
    report = method.update([batch_of(missing={"a": range(6)})], services)
    assert report.skipped
    assert_same(before, weights_of(problem))


def test_swapped_order_swaps_the_results() -> None:
    """O9: two tasks with the same data and first weights."""
    batch = batch_of()
    batch["y"]["b"] = batch["y"]["a"].clone()

    def twins(order: str) -> dict[str, torch.Tensor]:
        problem = Split(("a", "b"))
        for part in (problem.encoders, problem.predictors):
            part["b"].load_state_dict(part["a"].state_dict())
        run("mtcl", problem, [[batch]] * 6, flatness="ascent", order=order)
        return weights_of(problem)

    forward, backward = twins("fixed"), twins("reversed")
    swapped = {k.replace(".a.", ".#.").replace(".b.", ".a.").replace(".#.", ".b."): v for k, v in backward.items()}
    assert_same(forward, swapped, 1e-12)


def test_warm_up_is_joint_descent_through_the_exchanged_features() -> None:
    problem, twin, batch = Split(), Split(), batch_of()
    run("mtcl", problem, [[batch]], sgd, warmup_steps=1)
    parameters = list(twin.parameters())
    total = sum(loss.mean for loss in twin.losses(batch, TASKS, "update").values())
    for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
        parameter.data -= 1e-2 * gradient
    assert_same(weights_of(problem), weights_of(twin), 1e-12)


def test_clamping_holds_weights_in_their_box() -> None:
    problem = Split()
    method = built("mtcl", problem, sgd_fast, warmup_steps=1, clamp=0.05)
    services = Services(problem)
    method.update([batch_of()], services)
    origin = weights_of(problem)
    for step in range(12):
        method.update([batch_of(seed=step)], services)
    for name, parameter in problem.named_parameters():
        width = 0.05 * origin[name].square().mean().sqrt()
        assert ((parameter.detach() - origin[name]).abs() <= width * (1 + 1e-9)).all()
    at_wall = [
        ((p.detach() - origin[n]).abs() > 0.049 * origin[n].square().mean().sqrt()).any()
        for n, p in problem.named_parameters()
    ]
    assert any(at_wall)


def test_clamping_without_warm_up_lets_biases_leave_zero() -> None:
    problem = Split()
    biases = {name: p for name, p in problem.named_parameters() if name.endswith("bias")}
    with torch.no_grad():
        for parameter in biases.values():
            parameter.zero_()
    method, services = built("mtcl", problem, sgd_fast, clamp=0.5, flatness="none"), Services(problem)
    for step in range(6):
        method.update([batch_of(seed=step)], services)
    largest = {name: float(parameter.detach().abs().max()) for name, parameter in biases.items()}
    for name, size in largest.items():
        before_a_norm = name.endswith(".0.bias")  # where group norm takes most of it away
        assert size <= 0.005 * (1 + 1e-9), name
        assert size > (0.0 if before_a_norm else 0.001), name


def sgd_fast(named: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for _, p in named], lr=0.3)


@pytest.mark.parametrize("phase_steps", [1, 2])
def test_the_trace_says_what_a_phase_did(phase_steps: int) -> None:
    problem = Split()
    method = built("mtcl", problem, trace_every=2, phase_steps=phase_steps)
    services = Services(problem)
    plans = [method.plan(step).tasks for step in range(9 * phase_steps)]
    assert [len(tasks) for tasks in plans] == [count for count in (3, 1, 3) for _ in range(3 * phase_steps)]
    batch = batch_of()
    told: list[str | None] = []
    for step in range(9 * phase_steps):
        if step % phase_steps == 0:
            before, z_before = problem_losses(problem, batch), {t: problem.lend(batch, t) for t in TASKS}
        report = method.update([batch], services)
        traced = {key: value for key, value in report.measures.items() if not key.startswith("flat")}
        assert bool(traced) == (len(plans[step]) == 3 and step % phase_steps == phase_steps - 1)
        assert set(traced) <= set(method.measure_names)
        if traced:
            i, after = report.phase, problem_losses(problem, batch)
            told.append(i)
            for j in TASKS:
                assert traced[f"transfer/{i}/{j}"] == pytest.approx(after[j] - before[j], abs=1e-12)
            moved = (problem.lend(batch, i) - z_before[i]).norm(dim=1) / z_before[i].norm(dim=1)
            assert traced[f"drift/{i}"] == pytest.approx(float(moved.median()))
    assert told == [*TASKS, *TASKS]  # of a traced round every task, whatever the interval


def test_a_phase_that_ends_without_labels_leaves_no_trace_to_the_next() -> None:
    problem = Split()
    method, services = built("mtcl", problem, trace_every=2, phase_steps=2), Services(problem)
    unlabelled = batch_of(missing={task: range(6) for task in TASKS})
    window = [
        *(batch_of() for _ in range(5)),
        unlabelled,
        batch_of(),
        batch_of(),
    ]  # the last two are of an untraced round
    reports = [method.update([batch], services) for batch in window]
    told = [any(key.startswith(("drift", "transfer")) for key in report.measures) for report in reports]
    assert told == [False, True, False, True, False, False, False, False]


def problem_losses(problem: Split, batch: dict[str, Any]) -> dict[str, float]:
    with torch.no_grad():
        return {task: float(loss.mean) for task, loss in problem.losses(batch, TASKS, "frozen").items()}


def test_the_trace_leaves_no_trace() -> None:
    assert_same(trained(steps=8, trace_every=1), trained(steps=8))


@pytest.mark.parametrize("kind", KINDS)
def test_flattening_lowers_sensitivity(kind: str) -> None:
    """With a large radius the predictor learns to lean less on what is lent."""

    def sensitivity(problem: Split) -> float:
        batch, total = batch_of(40, seed=9), 0.0
        for task in TASKS:
            found = turn_loss(problem, batch, task, "frozen", Flatness("ascent", radius=0.5), Place())
            total += float((found.flat.sum - found.clean.sum).detach()) / 40
        return total

    plain, flat = Split(), Split()
    batches = [[batch_of(40)]] * 150
    run("alternating", plain, batches)
    run("mtcl", flat, batches, flatness=kind, radius=0.5, mix=0.9)
    assert sensitivity(flat) < sensitivity(plain)


def test_weight_noise_goes_through_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Split()
    seen: list[float] = []
    own = problem.lend_with

    def spy(batch: Any, task: str, parameters: Any) -> torch.Tensor:
        for name, value in parameters.items():
            if name.startswith(f"encoders.{task}") and value.ndim > 1:
                kept = dict(problem.named_parameters())[name].detach()
                seen.append(float((value - kept).detach().norm() / kept.norm()))
        return own(batch, task, parameters)

    monkeypatch.setattr(problem, "lend_with", spy)
    run("mtcl", problem, windows(2), flatness="ascent", target="weights", radius=0.05)
    moved = [ratio for ratio in seen if ratio > 1e-9]
    assert moved
    assert max(moved) <= 0.05 * (1 + 1e-6)


class Unlendable(Split):
    lend_with = None


def test_arguments_out_of_range() -> None:
    for arguments, word in (
        ({"flatness": "sam"}, "mtcl.flatness"),
        ({"radius": -1}, "mtcl.radius"),
        ({"mix": 1.5}, "mtcl.mix"),
        ({"draws": 0}, "mtcl.draws"),
        ({"clamp": 0}, "mtcl.clamp"),
        ({"order": "up"}, "mtcl.order"),
    ):
        with pytest.raises(ConfigError, match=word):
            built("mtcl", Split(), **arguments)


def test_counts_of_passes() -> None:
    """The floor: K encoders with one gradient among them, and 1 + M predictor passes."""
    for arguments, passes in (
        ({"flatness": "ascent"}, 2),
        ({"flatness": "uniform", "draws": 3}, 4),
        ({"flatness": "none"}, 1),
    ):
        problem = Split()
        calls = {"encode": 0, "predict": 0}
        for name in calls:
            original = getattr(problem, name)

            def counted(*a: Any, _name: str = name, _original: Any = original, _calls: Any = calls, **k: Any) -> Any:
                _calls[_name] += 1
                return _original(*a, **k)

            setattr(problem, name, counted)
        run("mtcl", problem, windows(1), **arguments)
        assert calls == {"encode": 1, "predict": passes}


def test_task_losses_stay_sums() -> None:
    found = turn_loss(Split(), batch_of(missing={"a": [0, 1]}), "a", "update", Flatness("ascent"), Place())
    assert isinstance(found.mixed(0.5), TaskLoss)
    assert found.mixed(0.5).count == 4
