"""What every loss-weighting method must do, with the arguments that its defaults leave unused."""

from __future__ import annotations

import io
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optim_toys import TASKS, Shared, assert_same, batch_of, built, rows_of, run, sgd, weights_of
from weighting_toys import VARIANT_NAMES, VARIANTS, Constant, only, overflow, train

from medmtl.errors import TrainingError
from medmtl.optim import LossScale, LossWeighting, Services, methods

PARTIAL = {"a": [0, 3], "b": [0, 1, 2], "c": [4]}
CHANGING = [
    {},
    {"c": range(6)},
    {"a": [1], "b": range(6)},
    {"a": range(6), "b": range(6)},
    PARTIAL,
    {"c": range(6), "b": range(6)},
    {"b": range(6)},
    {},
]
variants = pytest.mark.parametrize(("name", "arguments"), VARIANTS, ids=VARIANT_NAMES)


def windows_of(changes: list, seed: int = 0) -> list:
    return [[batch_of(seed=seed + i, missing=missing)] for i, missing in enumerate(changes)]


def test_every_method_of_the_family_is_here() -> None:
    family = {name for name in methods if methods.get(name).info.family == "weighting"}
    assert family == {name for name, _ in VARIANTS}


@variants
def test_the_number_of_tasks_may_change_from_step_to_step(name: str, arguments: dict) -> None:
    problem = Shared()
    method = built(name, problem, **arguments)
    reports = train(method, problem, windows_of(CHANGING))
    for report, missing in zip(reports, CHANGING, strict=True):
        present = {task for task in TASKS if len(list(missing.get(task, []))) < 6}
        assert set(report.weights) == set(report.losses) == present
        assert all(math.isfinite(weight) and weight >= 0 for weight in report.weights.values())
    assert all(torch.isfinite(value).all() for value in problem.state_dict().values())


@variants
def test_absent_equals_removed(name: str, arguments: dict) -> None:
    full, removed = Shared(), Shared(("a", "b"))
    changes = [{**missing, "c": range(6)} for missing in ({}, {"a": [1]}, {"b": range(6)}, PARTIAL, {})]
    train(built(name, full, **arguments), full, windows_of(changes))
    train(built(name, removed, **only(("a", "b"), arguments)), removed, windows_of(changes))
    kept = {key: value for key, value in weights_of(full).items() if not key.startswith("heads.c")}
    assert_same(kept, weights_of(removed), 1e-12)


@variants
def test_order_of_three_tasks_does_not_matter(name: str, arguments: dict) -> None:
    first, second = Shared(("a", "b", "c")), Shared(("c", "a", "b"))
    for problem in (first, second):
        train(built(name, problem, **arguments), problem, windows_of(CHANGING))
    assert_same(dict(sorted(weights_of(first).items())), dict(sorted(weights_of(second).items())), 1e-10)


@variants
def test_micro_batches_equal_the_big_batch(name: str, arguments: dict) -> None:
    big, small = Shared(), Shared()
    batches = [batch_of(seed=seed, missing=PARTIAL) for seed in range(6)]
    one = train(built(name, big, **arguments), big, [[batch] for batch in batches])
    cut = [[rows_of(batch, 0, 2), rows_of(batch, 2, 5), rows_of(batch, 5, 6)] for batch in batches]
    other = train(built(name, small, **arguments), small, cut)
    assert_same(weights_of(big), weights_of(small), 1e-10)
    assert [r.weights for r in one] == [pytest.approx(r.weights, abs=1e-10) for r in other]


@variants
def test_one_task_is_plain_descent_at_the_reported_weight(name: str, arguments: dict) -> None:
    problem, plain = Shared(("a",)), Shared(("a",))
    method, optimizer = built(name, problem, sgd, **only(("a",), arguments)), sgd(plain.named_parameters())
    batches = [batch_of(seed=seed, missing={"a": [1]}) for seed in range(6)]
    for batch, report in zip(batches, train(method, problem, [[b] for b in batches]), strict=True):
        optimizer.zero_grad()
        (report.weights["a"] * plain.losses(batch, ("a",), "update")["a"].mean).backward()
        optimizer.step()
    assert_same(weights_of(plain), weights_of(problem), 1e-12)


@variants
def test_state_round_trip_continues_identically(name: str, arguments: dict) -> None:
    whole, half, resumed = Shared(), Shared(), Shared(seed=9)
    windows = windows_of(CHANGING * 2)
    expected = train(built(name, whole, **arguments), whole, windows)
    method = built(name, half, **arguments)
    train(method, half, windows[:8])
    stream = io.BytesIO()
    torch.save({"model": half.state_dict(), "method": method.state_dict()}, stream)
    stream.seek(0)
    saved = torch.load(stream, weights_only=True)
    resumed.load_state_dict(saved["model"])
    other = built(name, resumed, **arguments)
    other.load_state_dict(saved["method"])
    reports = train(other, resumed, windows[8:])
    assert_same(weights_of(whole), weights_of(resumed))
    assert [report.weights for report in reports] == [report.weights for report in expected[8:]]


@variants
def test_an_overflow_leaves_all_state_untouched(name: str, arguments: dict) -> None:
    problem = Shared()
    method, services = built(name, problem, **arguments), Services(problem, scale=LossScale(4.0))
    train(method, problem, windows_of([{}, {}, {}, {}]), services=services)
    before, state = weights_of(problem), _bytes(method)
    overflow(problem)
    assert method.update([batch_of(missing={"b": range(6)})], services).skipped
    assert_same(before, weights_of(problem))
    method.step -= 1
    assert _bytes(method) == state


def _bytes(method) -> bytes:
    stream = io.BytesIO()
    torch.save(_plain(method.state_dict()), stream)
    return stream.getvalue()


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


NEGATIVE = [item for item in VARIANTS if item[0] not in ("equal", "fixed", "rlw")]
NEGATIVE = [(name, arguments) for name, arguments in NEGATIVE if name != "stch" or "warmup_epochs" in arguments]


@pytest.mark.parametrize(("name", "arguments"), NEGATIVE)
def test_a_negative_loss_names_its_task_and_nothing_is_changed(name: str, arguments: dict) -> None:
    problem = Constant({"a": 1.0, "b": -0.25, "c": 2.0})
    method = built(name, problem, **arguments)
    state = _bytes(method)
    with pytest.raises(TrainingError, match=r"^task 'b': .*-0\.25") as caught:
        method.update([None], Services(problem))
    assert "\n" not in str(caught.value)
    assert float(problem.free.detach()) == 0.0
    assert _bytes(method) == state


@pytest.mark.parametrize("name", ["equal", "fixed", "rlw", "stch"])
def test_the_others_take_negative_losses(name: str) -> None:
    _, (report,) = run(name, Constant({"a": 1.0, "b": -0.25, "c": 2.0}), [[None]])
    assert not report.skipped


@pytest.mark.parametrize("name", ["uw", "uw_o", "uw_so", "imtl_l", "db_mtl", "stch", "dwa"])
def test_a_loss_of_zero_is_no_error_where_the_method_can_bear_it(name: str) -> None:
    _, reports = run(name, Constant({"a": 0.0, "b": 1.0}), [[None]] * 3)
    assert all(math.isfinite(weight) for report in reports for weight in report.weights.values())


MEASURED = [
    item for item in VARIANTS if issubclass(methods.get(item[0]), LossWeighting) and item[0] not in ("dwa", "rlw")
]


@pytest.mark.parametrize(("name", "arguments"), MEASURED)
@given(values=st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3), order=st.permutations(TASKS))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_weights_are_finite_and_follow_the_names(name: str, arguments: dict, values: list, order: list) -> None:
    means = dict(zip(TASKS, values, strict=True))
    method = built(name, Constant(dict.fromkeys(TASKS, 1.0)), **arguments)
    method.end_epoch(dict.fromkeys(TASKS, 1.0))
    method.end_epoch(dict.fromkeys(TASKS, 1.0))
    weights = method._weights(TASKS, means)
    turned = method._weights(tuple(order), {task: means[task] for task in order})
    assert all(math.isfinite(weight) and weight >= 0 for weight in weights.values())
    assert turned == pytest.approx(weights, rel=1e-12)
    assert list(turned) == list(order)


FORWARDS = dict.fromkeys(("equal", "fixed", "uw", "imtl_l", "dwa", "rlw", "gradnorm", "db_mtl"), (1, 2))
FORWARDS |= dict.fromkeys(("uw_o", "uw_so", "gls", "stch"), (1, 4)) | {"famo": (2, 6)}


@pytest.mark.parametrize(("name", "forwards", "over_two"), [(name, *numbers) for name, numbers in FORWARDS.items()])
def test_forwards_are_at_their_floor(name: str, forwards: int, over_two: int) -> None:
    for window, expected in (
        ([batch_of()], forwards),
        ([rows_of(batch_of(), 0, 3), rows_of(batch_of(), 3, 6)], over_two),
    ):
        problem = Shared()
        run(name, problem, [window])
        assert problem.forwards == expected


def memoryless(named) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for _, p in named], lr=1e-2, betas=(0.0, 0.0), eps=1e-30)


@variants
def test_on_a_fixed_backbone_an_adam_without_memory_cannot_tell_weightings_apart(name: str, arguments: dict) -> None:
    """Its step is the sign of each task's own gradient, whatever the positive factor; a free backbone is another matter."""

    plain, weighted = Shared(), Shared()
    windows = windows_of([{}, PARTIAL, {"b": range(6)}, {}, {}])
    for problem in (plain, weighted):
        problem.trunk.requires_grad_(requires_grad=False)
    run("equal", plain, windows, memoryless)
    _, reports = run(name, weighted, windows, memoryless, **arguments)
    off = {task for report in reports for task, weight in report.weights.items() if weight == 0}
    assert off == {task for task, weight in (arguments.get("weights") or {}).items() if weight == 0}
    ends = [
        {key: value for key, value in weights_of(problem).items() if key.split(".")[1] not in off}
        for problem in (plain, weighted)
    ]
    assert len(ends[0]) > 2
    assert_same(*ends, 1e-12)


def test_but_on_a_free_backbone_it_can() -> None:
    ends = []
    for weights in (None, {"a": 100.0, "b": 1.0, "c": 0.01}):
        problem = Shared()
        run("fixed", problem, windows_of([{}, {}]), memoryless, weights=weights)
        ends.append(problem.trunk[0].weight.detach().clone())
    assert not torch.allclose(*ends, atol=1e-3)
