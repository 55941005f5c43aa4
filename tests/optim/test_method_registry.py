"""Making a method by name, and what is refused before training."""

from __future__ import annotations

import re

import pytest
import torch
from optim_toys import (
    EVERY,
    Shared,
    Split,
    adam,
    adamw,
    assert_same,
    batch_of,
    built,
    problem_for,
    run,
    sgd,
    weights_of,
)
from pydantic import TypeAdapter, ValidationError

from medmtl.blocks import Seed
from medmtl.errors import ConfigError
from medmtl.optim import Services, TaskLoss, argument_names, make_method, methods
from medmtl.optim.checks import MAX_SEED


def test_the_default_is_plain_training() -> None:
    assert make_method().info.name == "equal"


@pytest.mark.parametrize("name", EVERY)
def test_information_is_complete(name: str) -> None:
    info = make_method(name).info
    assert info.name == name
    assert all(getattr(info, field) not in ("", None) for field in info.__dataclass_fields__)
    assert methods.get(name).__doc__


def test_unknown_method_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'pcgrad'"):
        make_method("pcgard")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("equal", {"phase_steps": 2}, r"equal\.phase_steps.*it belongs to: alternating, independent"),
        ("alternating", {"phase_stesp": 2}, r"alternating\.phase_stesp.*did you mean 'phase_steps'"),
        ("alternating", {"phase_steps": 0}, r"alternating\.phase_steps.*found 0.*whole number >= 1"),
        ("alternating", {"phase_steps": 1.5}, r"phase_steps.*found 1\.5"),
        ("alternating", {"phase_steps": True}, r"phase_steps.*found True"),
        ("pcgrad", {"seed": -1}, r"pcgrad\.seed"),
        ("uw", {"initial": float("nan")}, r"uw\.initial.*nan"),
        ("uw", {"learning_rate": "fast"}, r"uw\.learning_rate.*'fast'"),
        ("famo", {"learning_rate": 0}, r"famo\.learning_rate.*> 0"),
        ("famo", {"weight_decay": -1}, r"famo\.weight_decay"),
        ("mao", {"combine": "max"}, r"mao\.combine.*sum, mean"),
        ("adatask", {"shared": "trunk."}, r"adatask\.shared.*list"),
        ("adatask", {"decay": 1}, r"adatask\.decay.*found 1"),
        ("independent", {"order": "best"}, r"independent\.order.*fixed, reversed, random"),
        ("independent", {"phase_steps": 0}, r"independent\.phase_steps"),
        ("independent", {"seed": -1}, r"independent\.seed"),
    ],
)
def test_bad_arguments_are_named(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method(name, **arguments)


def test_split_network_is_asked_for_before_training() -> None:
    with pytest.raises(ConfigError, match=r"'alternating'.*one sub-model a task.*Shared"):
        make_method("alternating").build(Shared(), adamw)


@pytest.mark.parametrize("name", EVERY)
def test_no_task_and_nothing_to_train_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no task"):
        make_method(name).build(Split(()), adamw)
    with pytest.raises(ConfigError, match="no parameter"):
        make_method(name).build(Split().requires_grad_(False), adamw)


@pytest.mark.parametrize("name", ["mao", "adatask"])
def test_per_task_adam_needs_an_adam(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}'.*not an Adam|not an Adam.*'{name}'"):
        make_method(name).build(Shared(), sgd)


@pytest.mark.parametrize("name", ["mao", "adatask"])
def test_per_task_adam_refuses_decay_inside_the_gradient(name: str) -> None:
    import torch

    with pytest.raises(ConfigError, match="decay inside"):
        make_method(name).build(Shared(), lambda named: torch.optim.Adam([p for _, p in named], weight_decay=0.1))


def test_a_parameter_of_two_tasks_is_refused() -> None:
    problem = Split()
    problem.parameters_of = lambda task: problem.encoders["a"].named_parameters()  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="belongs to two"):
        make_method("alternating").build(problem, adamw)


def test_the_mean_of_no_sample_does_not_exist() -> None:
    import torch

    from medmtl.errors import TrainingError

    assert float(TaskLoss(torch.tensor(6.0), 4).mean) == 1.5
    with pytest.raises(TrainingError, match="count 0"):
        _ = TaskLoss(torch.tensor(0.0), 0).mean


SEEDED = [name for name in EVERY if "seed" in argument_names(methods.get(name))]


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("seed", [-1, 2**63, 2**64, 10**30, 1.5])
def test_a_seed_out_of_range_is_refused(name: str, seed: float) -> None:
    with pytest.raises(
        ConfigError, match=rf"{name}\.seed: out of range; found {re.escape(repr(seed))}; use a whole number"
    ):
        make_method(name, seed=seed)


@pytest.mark.parametrize("name", SEEDED)
def test_the_largest_seed_draws(name: str) -> None:
    """Also where the seed is mixed with a number of a round."""
    kind = {"order": "random"} if "order" in argument_names(methods.get(name)) else {}
    ends = []
    for seed in (MAX_SEED, MAX_SEED - 1, MAX_SEED):
        problem = problem_for(name)
        _, reports = run(name, problem, [[batch_of(seed=step)] for step in range(6)], seed=seed, **kind)
        ends.append((weights_of(problem), [report.phase for report in reports]))
    assert_same(ends[0][0], ends[2][0])
    assert ends[0][1] == ends[2][1]


def test_a_configuration_takes_the_seeds_that_the_methods_take() -> None:
    kinds = TypeAdapter(Seed)
    assert kinds.validate_python(MAX_SEED) == MAX_SEED
    with pytest.raises(ValidationError):
        kinds.validate_python(MAX_SEED + 1)


@pytest.mark.parametrize("name", EVERY)
def test_limits_of_norms_act_where_they_are_said_to(name: str) -> None:
    """What a method says against what it does, over steps whose gradients differ: moments see through a constant factor."""
    factory = adam if make_method(name).info.own_optimizer else sgd

    def end(**limits: float) -> dict[str, torch.Tensor]:
        problem = problem_for(name)
        method, services = built(name, problem, factory), Services(problem, **limits)
        for step in range(4):
            method.update([batch_of(seed=step)], services)
        return weights_of(problem)

    free = end()
    acts = {
        kind
        for kind, limit in (("direction", "clip_norm"), ("tasks", "clip_task_norm"))
        if any(not torch.equal(free[key], value) for key, value in end(**{limit: 0.01}).items())
    }
    said = make_method(name).info.clipping
    assert acts == ({"direction", "tasks"} if said == "both" else {said})
