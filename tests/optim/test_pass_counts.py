"""What every method costs, counted by hooks: the passes of the floor and not one more, and what its page declares."""

from __future__ import annotations

import pytest
import torch
from optim_toys import PLAIN, SPLIT, TASKS, Shared, Split, batch_of, built, rows_of, takes_turns
from programs import program

from medmtl.optim import Services, make_method

counter = program("benchmarks/pass_counter.py")
turns = program("benchmarks/balancing_mtcl.py")
MEASURING = "1 without gradient when a window has several micro-batches"
SOME_LABELS = {"b": range(6), "a": [0]}


def parts_of(problem) -> dict[str, torch.nn.Module]:
    if isinstance(problem, Shared):
        return {"trunk": problem.trunk, **{f"head {task}": head for task, head in problem.heads.items()}}
    return {f"{part} {task}": getattr(problem, f"{part}s")[task] for part in ("encoder", "predictor") for task in TASKS}


def measured(name: str, problem, window, *, before: int = 1, **arguments):
    """Counts of the second update: the first makes state."""
    method, services = built(name, problem, **arguments), Services(problem)
    for _ in range(before):
        method.update(window, services)
    with counter.counted(parts_of(problem)) as passes:
        report = method.update(window, services)
    assert not report.skipped
    return passes(), report


def declared_backwards(name: str, k: int) -> int:
    """The number that the method's page gives: ``K`` or ``1``, and words."""
    first = make_method(name).info.backward_passes.replace(",", " ").split()[0]
    return {"K": k, "1": 1}[first]


def declared_looks(name: str, micro: int) -> int:
    """Forward passes without gradient, as the page gives them, for a window of so many micro-batches."""
    extra = make_method(name).info.extra_forwards
    one, _, several = extra.partition(";")
    number = int(one.split()[0])
    if micro > 1 and several:
        number = int(several.split()[0])
    return number * micro


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("tasks", [("a",), ("a", "b"), TASKS], ids=len)
def test_a_step_is_the_floor(name: str, tasks: tuple[str, ...]) -> None:
    """One forward, K or 1 backward passes through the shared part, each head once each way, one optimizer step."""
    passes, _ = measured(name, Shared(tasks), [batch_of()])
    k = len(tasks)
    assert passes.forwards["trunk"] == 1
    assert passes.looks["trunk"] == declared_looks(name, 1)
    assert passes.backwards["trunk"] == declared_backwards(name, k)
    assert passes.steps == 1
    heads = [f"head {task}" for task in tasks]
    trained = 1 if takes_turns(name) else k
    assert passes.total("forwards", heads) == trained
    assert passes.total("backwards", heads) == trained


@pytest.mark.parametrize("name", PLAIN)
def test_micro_batches_cost_a_pass_each(name: str) -> None:
    """And what the page declares for weights that need the losses of the whole window first."""
    batch = batch_of()
    passes, _ = measured(name, Shared(), [rows_of(batch, 0, 3), rows_of(batch, 3, 6)])
    assert passes.forwards["trunk"] == 2
    assert passes.looks["trunk"] == declared_looks(name, 2)
    assert passes.backwards["trunk"] == 2 * declared_backwards(name, 3)
    assert passes.steps == 1


@pytest.mark.parametrize("name", PLAIN)
def test_an_absent_task_costs_nothing(name: str) -> None:
    if takes_turns(name):
        pytest.skip("the turn of an absent task passes")
    passes, _ = measured(name, Shared(), [batch_of(missing=SOME_LABELS)])
    assert passes.forwards["trunk"] == 1
    assert passes.backwards["trunk"] == declared_backwards(name, 2)
    assert passes.forwards["head b"] == passes.backwards["head b"] == 0


@pytest.mark.parametrize("gradients", ["stream", "collect"])
def test_both_ways_of_mao_cost_the_same(gradients: str) -> None:
    passes, _ = measured("mao", Shared(), [batch_of()], gradients=gradients)
    assert (passes.forwards["trunk"], passes.backwards["trunk"], passes.steps) == (1, 3, 1)


@pytest.mark.parametrize(
    ("arguments", "heads"),
    [
        ({"flatness": "none"}, 1),
        ({"flatness": "ascent"}, 2),
        ({"flatness": "adaptive_ascent"}, 2),
        ({"flatness": "uniform", "draws": 1}, 2),
        ({"flatness": "uniform", "draws": 3}, 4),
        ({"flatness": "gaussian", "draws": 2, "antithetic": True}, 5),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 4])
def test_a_turn_of_mtcl_is_its_floor(arguments: dict, heads: int, before: int) -> None:
    """T encoder forwards of which T - 1 without gradient, one encoder backward, 1 + M head passes (2 for the ascent)."""
    passes, report = measured("mtcl", Split(), [batch_of()], before=before, **arguments)
    own = f"encoder {report.phase}"
    encoders = [f"encoder {task}" for task in TASKS]
    assert passes.forwards[own] == passes.total("forwards", encoders) == 1
    assert passes.total("looks", encoders) == len(TASKS) - 1
    assert passes.looks[own] == 0
    assert passes.backwards[own] == passes.total("backwards", encoders) == 1
    predictors = [f"predictor {task}" for task in TASKS]
    assert passes.forwards[f"predictor {report.phase}"] == passes.total("forwards", predictors) == heads
    assert passes.total("looks", predictors) == 0
    assert passes.steps == 1


@pytest.mark.parametrize("name", SPLIT)
def test_cooperative_methods_pass_once_a_micro_batch(name: str) -> None:
    batch = batch_of()
    passes, report = measured(name, Split(), [rows_of(batch, 0, 3), rows_of(batch, 3, 6)])
    encoders = [f"encoder {task}" for task in TASKS]
    assert passes.forwards[f"encoder {report.phase}"] == passes.backwards[f"encoder {report.phase}"] == 2
    assert passes.total("looks", encoders) == 2 * (len(TASKS) - 1)
    assert passes.steps == 1


def test_the_counter_can_count_too_much() -> None:
    """A step that runs the trunk twice, or stops a backward pass within it, is seen."""
    problem, batch = Shared(), batch_of()
    with counter.counted(parts_of(problem)) as passes:
        for _ in range(2):
            losses = problem.losses(batch, TASKS, "update")
            sum(loss.sum for loss in losses.values()).backward()
    assert (passes().forwards["trunk"], passes().backwards["trunk"], passes().steps) == (2, 2, 0)
    with counter.counted(parts_of(problem)) as passes:
        last = list(problem.trunk.parameters())[-1]
        torch.autograd.grad(problem.losses(batch, ("a",), "update")["a"].sum, last)
    with pytest.raises(AssertionError, match="end within trunk"):
        passes()


@pytest.mark.parametrize("form", turns.FORMS)
@pytest.mark.parametrize("k", [2, 3])
def test_a_turn_is_what_the_benchmark_writes_by_hand(form: str, k: int) -> None:
    """Passes counted alike and, where nothing is drawn, the same weights: the floor leaves no work out."""
    size = turns.Size((8,), 8, 3)
    arguments = turns.FORMS[form]
    mine = turns.passes(lambda net: turns.ours(net, "mtcl", **arguments), turns.Cooperative(size, k))
    heads = 1 + ("noise" in form) * turns.DRAWS + (form == "ascent")
    assert mine == turns.passes(lambda net: turns.floor(net, form), turns.Cooperative(size, k))
    assert mine == f"1 / {k - 1} / 1 / {heads} / 1"
    if "noise" not in form:
        nets = turns.Cooperative(size, k), turns.Cooperative(size, k)
        steps = turns.ours(nets[0], "mtcl", **arguments), turns.floor(nets[1], form)
        for _ in range(2 * k):
            for step in steps:
                step()
        for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
