"""Losses that cannot be learned from, parts that cannot be trained: one line that names the place, nothing poisoned."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from optim_toys import (
    EVERY,
    PLAIN,
    SPLIT,
    TASKS,
    Shared,
    Split,
    assert_same,
    batch_of,
    built,
    problem_for,
    sgd,
    weights_of,
)
from torch import nn

from medmtl.errors import ConfigError, MedmtlError, TrainingError
from medmtl.optim import (
    LossNotFinite,
    LossNotFiniteAfterStep,
    LossOutOfRange,
    LossUnusable,
    Services,
    TaskLoss,
    make_method,
    methods,
)

NOT_NUMBERS = [float("nan"), float("inf"), "1", None, True, [1.0]]

# What cannot be negative, by the formula of the method; every other method takes any finite loss.
REFUSE_NEGATIVE = {"uw", "uw_o", "uw_so", "gls", "imtl_l", "famo", "gradnorm", "db_mtl", "dwa"}


def changed(problem, change) -> None:
    """Lets every loss of a task pass through a function, whatever way the method asks for it."""
    for part in ("losses", "losses_from"):
        if hasattr(problem, part):
            own = getattr(problem, part)
            setattr(problem, part, lambda *a, _own=own: {t: change(t, v) for t, v in _own(*a).items()})
    if hasattr(problem, "predict"):
        predict = problem.predict
        problem.predict = lambda batch, task, *rest: change(task, predict(batch, task, *rest))


def nothing_moved(problem, method, before, state) -> None:
    assert_same(before, weights_of(problem))
    assert_same(flat(state), flat(method.state_dict()))


def flat(state, prefix: str = "") -> dict[str, torch.Tensor]:
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{prefix}.{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for i, value in enumerate(state) for k, v in flat(value, f"{prefix}.{i}").items()}
    return {prefix: torch.as_tensor(state)} if isinstance(state, int | float | bool | torch.Tensor) else {}


@pytest.mark.parametrize("name", EVERY)
def test_a_negative_loss_is_used_or_refused_by_name(name: str) -> None:
    problem = problem_for(name)
    method, services = built(name, problem), Services(problem)
    method.update([batch_of()], services)
    before, state = weights_of(problem), copy.deepcopy(method.state_dict())
    changed(problem, lambda task, loss: TaskLoss(loss.sum - 1e4, loss.count) if task == "b" else loss)
    if name in REFUSE_NEGATIVE:
        with pytest.raises(LossOutOfRange, match=r"task 'b'.*found -\d"):
            method.update([batch_of()], services)
        nothing_moved(problem, method, before, state)
    else:
        assert not method.update([batch_of()], services).skipped


@pytest.mark.parametrize("name", EVERY)
def test_a_loss_without_a_graph_is_named(name: str) -> None:
    problem = problem_for(name)
    changed(problem, lambda task, loss: TaskLoss(loss.sum.detach(), loss.count) if task == "a" else loss)
    before = weights_of(problem)
    method, services = built(name, problem), Services(problem)
    with pytest.raises(TrainingError, match=r"task 'a'.*no gradient"):
        method.update([batch_of()], services)  # "a" is the first task of every plan
    assert_same(before, weights_of(problem))


@pytest.mark.parametrize("name", EVERY)
def test_an_unused_parameter_stays_and_hinders_nobody(name: str) -> None:
    plain, spare = problem_for(name), problem_for(name)
    if name in SPLIT:
        for task in TASKS:
            spare.predictors[task].register_parameter("spare", nn.Parameter(torch.ones(3, dtype=torch.float64)))
    else:
        spare.spare = nn.Linear(2, 2).double()
    before = weights_of(spare)
    for problem in (plain, spare):
        method, services = built(name, problem), Services(problem)
        for _ in range(4):
            method.update([batch_of()], services)
    after = weights_of(spare)
    assert_same({k: v for k, v in before.items() if "spare" in k}, {k: v for k, v in after.items() if "spare" in k})
    assert_same(weights_of(plain), {k: v for k, v in after.items() if "spare" not in k}, 1e-12)


@pytest.mark.parametrize("name", PLAIN)
def test_with_a_frozen_trunk_the_heads_learn(name: str) -> None:
    problem = problem_for(name)
    problem.trunk.requires_grad_(False)
    before = weights_of(problem)
    method, services = built(name, problem), Services(problem)
    for _ in range(3):
        assert not method.update([batch_of()], services).skipped
    after = weights_of(problem)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == {key for key in before if key.startswith("heads")}


@pytest.mark.parametrize("name", EVERY)
def test_a_task_with_nothing_to_train_is_named(name: str) -> None:
    problem = problem_for(name)
    if name in SPLIT:
        for part in (problem.encoders, problem.predictors):
            part["a"].requires_grad_(False)
        with pytest.raises(ConfigError, match=r"task 'a'.*nothing to train|nothing to train.*task 'a'"):
            built(name, problem)
        return
    problem.trunk.requires_grad_(False)
    problem.heads["a"].requires_grad_(False)
    with pytest.raises(TrainingError, match=r"task 'a'.*no gradient"):
        built(name, problem).update([batch_of()], Services(problem))


@pytest.mark.parametrize("name", ["mao", "pcgrad"])
def test_freezing_after_the_set_up_is_named(name: str) -> None:
    problem = Shared()
    method, services = built(name, problem), Services(problem)
    method.update([batch_of()], services)
    problem.heads["b"].weight.requires_grad_(False)
    with pytest.raises(TrainingError, match=r"'heads\.b\.weight'.*frozen"):
        method.update([batch_of()], services)


@pytest.mark.parametrize("name", EVERY)
def test_an_empty_window_is_a_skipped_update(name: str) -> None:
    problem = problem_for(name)
    before = weights_of(problem)
    assert built(name, problem).update([], Services(problem)).skipped
    assert_same(before, weights_of(problem))


# FAMO measures once more after its step.


@pytest.mark.parametrize("micro", [1, 2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_famo_after_a_step_that_spoils_the_losses(micro: int, bad: float) -> None:
    problem = Shared()
    method, services = built("famo", problem), Services(problem)
    window = [batch_of(seed=seed) for seed in range(micro)]
    method.update(window, services)
    state = copy.deepcopy(method.state_dict()["own"])
    taken = []
    hook = method.optimizers[0].register_step_post_hook(lambda *_: taken.append(1))
    changed(problem, lambda t, loss: TaskLoss(loss.sum * bad, loss.count) if taken and t == "b" else loss)
    with pytest.raises(LossNotFiniteAfterStep, match=r"task 'b'.*not finite after the step.*found"):
        method.update(window, services)
    assert_same(flat(state), flat(method.state_dict()["own"]))
    assert all(logit.grad is None for logit in method.logits.values())
    method.skip()
    hook.remove()
    taken.clear()
    assert not method.update(window, services).skipped  # as if the losses had come back: none of its numbers is spoiled
    assert all(torch.isfinite(value).all() for value in flat(method.state_dict()).values())


# MTCL does so where it traces a phase.


@pytest.mark.parametrize("phase_steps", [1, 2])
def test_mtcl_after_a_phase_that_spoils_the_losses(phase_steps: int) -> None:
    problem = Split()
    method = built("mtcl", problem, sgd, trace_every=1, phase_steps=phase_steps, flatness="none")
    services = Services(problem)
    for _ in range(phase_steps - 1):
        method.update([batch_of()], services)
    before, rates = weights_of(problem), [group["lr"] for group in method.param_groups]
    for group in method.param_groups:
        group["lr"] = 1e200
    with pytest.raises(LossNotFiniteAfterStep, match=r"task 'a'.*not finite after the step.*found"):
        method.update([batch_of()], services)
    after = weights_of(problem)
    assert any(not torch.equal(before[key], after[key]) for key in before)  # what the error says of them
    problem.load_state_dict(before)
    for group, rate in zip(method.param_groups, rates, strict=True):
        group["lr"] = rate
    method.skip()
    assert not method.update([batch_of()], services).skipped


def test_mtcl_before_a_phase_leaves_all_as_it_was() -> None:
    problem = Split()
    method, services = built("mtcl", problem, trace_every=1), Services(problem)
    before, state = weights_of(problem), copy.deepcopy(method.state_dict())
    changed(problem, lambda t, loss: TaskLoss(loss.sum * float("nan"), loss.count) if t == "b" else loss)
    with pytest.raises(LossNotFinite, match="task 'b'"):
        method.update([batch_of()], services)
    nothing_moved(problem, method, before, state)


def test_the_kinds_of_error() -> None:
    """A training loop catches one class for all that it may skip."""
    for kind in (LossNotFinite, LossOutOfRange, LossNotFiniteAfterStep):
        assert issubclass(kind, LossUnusable)
        assert issubclass(kind, MedmtlError)
    assert not issubclass(LossNotFiniteAfterStep, LossNotFinite)


# Arguments.

POSITIVE = [("uw_so", "temperature"), ("dwa", "temperature"), ("stch", "mu")]
AT_LEAST_ZERO = [("mtcl", "radius"), ("mtcl", "mix")]


@pytest.mark.parametrize(("name", "argument"), POSITIVE + AT_LEAST_ZERO)
@pytest.mark.parametrize("value", [-1.0, *NOT_NUMBERS], ids=str)
def test_temperatures_and_radii_out_of_range(name: str, argument: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"{name}\.{argument}.*found"):
        make_method(name, **{argument: value})


BOUNDED = [("uw", "initial", -50.0, 50.0), ("imtl_l", "initial", -50.0, 50.0), ("gradnorm", "alpha", 0.0, 100.0)]


@pytest.mark.parametrize(("name", "argument", "least", "most"), BOUNDED)
def test_numbers_that_are_raised_to_powers_are_bounded_and_bear_their_bounds(
    name: str, argument: str, least: float, most: float
) -> None:
    for value in (least - 0.1, most + 0.1, -1000.0, 5000.0):
        with pytest.raises(ConfigError, match=rf"{name}\.{argument}: out of range.*use a number >= .* and <= "):
            make_method(name, **{argument: value})
    for value in (least, most):
        problem = Shared()
        method, services = built(name, problem, sgd, **{argument: value}), Services(problem, clip_norm=1e-3)
        for seed in range(3):
            report = method.update([batch_of(seed=seed)], services)
            assert all(math.isfinite(weight) for weight in report.weights.values())
        assert all(tensor.isfinite().all() for tensor in problem.parameters())


@pytest.mark.parametrize(("name", "argument"), POSITIVE)
def test_zero_is_no_temperature(name: str, argument: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}\.{argument}.*found 0"):
        make_method(name, **{argument: 0})


@pytest.mark.parametrize("name", EVERY)
def test_arguments_of_another_method_are_named_with_their_owner(name: str) -> None:
    from medmtl.optim import argument_names

    mine = set(argument_names(methods.get(name)))
    others = {a: o for o in EVERY for a in argument_names(methods.get(o)) if a not in mine}
    for argument, owner in others.items():
        with pytest.raises(ConfigError, match=rf"{name}\.{argument}: the method has no such argument.*{owner}"):
            make_method(name, **{argument: 1})


@pytest.mark.parametrize("name", [name for name in EVERY if len(name) > 4])
def test_a_misspelled_method_is_suggested(name: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{name}'"):
        make_method(name[:2] + name[3:])


def test_no_task_is_refused_at_once() -> None:
    for problem in (Shared(()), Split(())):
        with pytest.raises(ConfigError, match="no task"):
            built("mtcl" if isinstance(problem, Split) else "equal", problem)
