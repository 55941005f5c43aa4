"""Fixed, epoch-wise, random and Tchebycheff weights."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optim_toys import TASKS, Shared, adamw, assert_same, batch_of, built, rows_of, run, sgd, weights_of
from torchjd.scalarization import DWA, STCH
from torchjd.scalarization import Constant as Scalarization
from weighting_toys import BATCHES, Constant, by_hand, ours, overflow

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim import Services, make_method
from medmtl.optim.weighting.dwa import descent_weights
from medmtl.optim.weighting.stch import tchebycheff_weights

VALUES = {"a": 0.3, "b": 2.0, "c": 0.9}


# fixed


def test_fixed_equals_the_library() -> None:
    factors = [0.2, 0.0, 1.7]
    theirs = by_hand(Scalarization(torch.tensor(factors, dtype=torch.float64)), BATCHES)
    problem, _, _ = ours("fixed", BATCHES, weights=dict(zip(TASKS, factors, strict=True)))
    assert_same(weights_of(theirs), weights_of(problem), 1e-12)


def test_fixed_without_factors_is_equal() -> None:
    assert_same(weights_of(ours("equal", BATCHES)[0]), weights_of(ours("fixed", BATCHES)[0]))


def test_normalized_factors_of_the_present_tasks_sum_to_one() -> None:
    problem = Shared()
    method = built("fixed", problem, weights={"a": 1, "b": 3, "c": 4}, normalize=True)
    services = Services(problem)
    assert method.update([batch_of()], services).weights == pytest.approx({"a": 0.125, "b": 0.375, "c": 0.5})
    report = method.update([batch_of(missing={"c": range(6)})], services)
    assert report.weights == pytest.approx({"a": 0.25, "b": 0.75})


@pytest.mark.parametrize("micro", [1, 2])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_task_of_factor_zero_is_as_if_it_were_not_there(normalize: bool, micro: int) -> None:
    """AdamW's decay and moments act on every parameter that has a gradient, and be it zero."""
    full, removed = Shared(), Shared(("a", "b"))
    weights, ends = {"a": 1.0, "b": 2.0, "c": 0.0}, []
    for problem in (full, removed):
        arguments = {"weights": {task: weights[task] for task in problem.tasks}, "normalize": normalize}
        method, services = built("fixed", problem, adamw, **arguments), Services(problem)
        batches = [batch_of(seed=seed, missing={"a": [0, 1, 2], "b": [0, 1, 2]}) for seed in range(4)]
        windows = [[batch] if micro == 1 else [rows_of(batch, 0, 3), rows_of(batch, 3, 6)] for batch in batches]
        ends.append([method.update(window, services) for window in windows])
        moments = method.optimizers[0].state
        assert {name for name, p in problem.named_parameters() if p not in moments} <= {
            "heads.c.weight",
            "heads.c.bias",
        }
    assert_same(weights_of(Shared().heads["c"]), weights_of(full.heads["c"]))
    assert_same({k: v for k, v in weights_of(full).items() if "heads.c" not in k}, weights_of(removed), 1e-12)
    assert all(set(report.losses) == set(TASKS) and report.weights["c"] == 0 for report in ends[0])


@pytest.mark.parametrize("factory", [sgd, adamw])
def test_a_step_with_tasks_of_factor_zero_alone_moves_nothing(factory) -> None:
    problem = Shared()
    method = built("fixed", problem, factory, weights={"a": 0, "b": 1, "c": 1}, normalize=True)
    before = weights_of(problem)
    report = method.update([batch_of(missing={"b": range(6), "c": range(6)})], Services(problem))
    assert report.weights == {"a": 0.0}
    assert_same(before, weights_of(problem))


@pytest.mark.parametrize("name", ["fixed", "stch"])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1, "b": 1, "cc": 1}, r"weights: there is no such task; found 'cc'; did you mean 'c'|known: a, b, c"),
        ({"a": 1, "b": 1}, r"weights: tasks are missing; found a, b; add c"),
    ],
)
def test_unknown_and_missing_tasks_are_named_at_build(name: str, weights: dict, message: str) -> None:
    method = make_method(name, weights=weights)
    with pytest.raises(ConfigError, match=message):
        method.build(Shared(), sgd)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fixed", {"weights": [1, 2]}, r"fixed\.weights: not a mapping.*\[1, 2\]"),
        ("fixed", {"weights": {"a": -1}}, r"fixed\.weights\.a.*found -1.*>= 0"),
        ("fixed", {"weights": {"a": "big"}}, r"fixed\.weights\.a.*'big'"),
        ("fixed", {"weights": {"a": 0, "b": 0.0}}, r"fixed\.weights: no task is trained"),
        ("fixed", {"normalize": 1}, r"fixed\.normalize.*found 1"),
        ("dwa", {"temperature": 0}, r"dwa\.temperature"),
        ("rlw", {"seed": 1.5}, r"rlw\.seed.*1\.5"),
        ("stch", {"mu": 0}, r"stch\.mu.*> 0"),
        ("stch", {"weights": {"a": 0}}, r"stch\.weights\.a.*> 0"),
        ("stch", {"ideal": {"a": float("nan")}}, r"stch\.ideal\.a.*nan"),
        ("stch", {"warmup_epochs": -1}, r"stch\.warmup_epochs.*whole number >= 0"),
        ("stch", {"warmup_epochs": 1, "ideal": {"a": 0.0}}, r"stch\.warmup_epochs.*neither"),
    ],
)
def test_bad_arguments_are_named(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method(name, **arguments)


# dwa


def test_dwa_equals_the_library() -> None:
    scalarizer = DWA(temperature=0.5)
    theirs = by_hand(scalarizer, BATCHES, after=lambda step: scalarizer.step() if step % 2 else None)
    problem, _, reports = ours("dwa", BATCHES, temperature=0.5)
    assert_same(weights_of(theirs), weights_of(problem), 1e-12)
    assert [report.weights for report in reports[:4]] == [dict.fromkeys(TASKS, 1.0)] * 4  # epochs 0 and 1
    assert all(sum(report.weights.values()) == pytest.approx(3) for report in reports)
    assert reports[-1].weights["a"] != reports[-1].weights["b"]


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)), min_size=1))
def test_dwa_weights_sum_to_the_number_of_tasks(history: dict) -> None:
    weights = descent_weights({task: list(pair) for task, pair in history.items()}, 2.0)
    assert math.fsum(weights.values()) == pytest.approx(len(history))


def test_dwa_counts_a_task_with_one_epoch_as_unchanged() -> None:
    one, known = descent_weights({"a": [1.0], "b": [2.0, 1.0]}, 2.0), descent_weights({"a": [5, 5], "b": [2, 1]}, 2.0)
    assert one == pytest.approx(known)
    assert one["a"] > one["b"]


def test_dwa_passes_over_epochs_without_labels() -> None:
    method = built("dwa", Shared())
    for losses in ({"a": 2.0, "b": 2.0, "other": 1.0}, {"b": 3.0}, {"a": 1.0, "b": 3.0}):
        method.end_epoch(losses)
    assert method._history == {"a": [2.0, 1.0], "b": [3.0, 3.0]}


def test_dwa_refuses_negative_epochs_and_changes_nothing() -> None:
    method = built("dwa", Shared())
    with pytest.raises(TrainingError, match=r"task 'b'.*'dwa' needs losses that are zero or more.*found -1"):
        method.end_epoch({"a": 1.0, "b": -1.0})
    with pytest.raises(TrainingError, match=r"task 'b'.*not finite"):
        method.end_epoch({"a": 1.0, "b": float("nan")})
    assert method._history == {}


# rlw


def test_rlw_draws_a_softmax_of_normals() -> None:
    _, reports = run("rlw", Constant(VALUES), [[None]] * 2000, sgd)
    drawn = torch.tensor([list(report.weights.values()) for report in reports], dtype=torch.float64)
    torch.testing.assert_close(drawn.sum(1), torch.ones(2000, dtype=torch.float64))
    torch.testing.assert_close(drawn.mean(0), torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.025, rtol=0)
    logs = drawn.log() - drawn.log().mean(1, keepdim=True)  # normals less their mean over three: variance 2/3
    assert float(logs.var()) == pytest.approx(2 / 3, rel=0.05)
    assert len({tuple(row) for row in drawn.tolist()}) == 2000


def test_rlw_draws_for_names_and_not_for_places() -> None:
    one, other = (run("rlw", Constant(dict.fromkeys(order, 1.0)), [[None]] * 3)[1] for order in ("abc", "cab"))
    assert [report.weights for report in one] == [report.weights for report in other]


def test_rlw_seeds_differ() -> None:
    (_, (one,)), (_, (other,)) = (run("rlw", Constant(VALUES), [[None]], seed=seed) for seed in (0, 1))
    assert one.weights != other.weights


def test_rlw_draws_nothing_in_a_step_that_is_skipped() -> None:
    problem = Shared()
    method, services = built("rlw", problem), Services(problem)
    state = method._own_state()["random"]
    overflow(problem)
    assert method.update([batch_of()], services).skipped
    assert torch.equal(state, method._own_state()["random"])


# stch


@pytest.mark.parametrize(
    ("weights", "ideal"),
    [(None, None), ([1.0, 0.5, 2.0], None), (None, [-1.0, 0.1, 0.0]), ([0.2, 0.3, 0.5], [0.0] * 3)],
)
def test_stch_equals_the_library(weights: list | None, ideal: list | None) -> None:
    tensors = [None if x is None else torch.tensor(x, dtype=torch.float64) for x in (weights, ideal)]
    theirs = by_hand(STCH(0.3, *tensors), BATCHES)
    named = {key: dict(zip(TASKS, x, strict=True)) for key, x in (("weights", weights), ("ideal", ideal)) if x}
    assert_same(weights_of(theirs), weights_of(ours("stch", BATCHES, mu=0.3, **named)[0]), 1e-12)


def test_stch_takes_the_worst_task_for_small_mu_and_the_mean_for_large() -> None:
    flat = dict.fromkeys(VALUES, 1 / 3)
    assert tchebycheff_weights(VALUES, flat, {}, 1e-300) == {"a": 0, "b": 1 / 3, "c": 0}
    assert tchebycheff_weights(VALUES, flat, {}, 1e12) == pytest.approx(dict.fromkeys(VALUES, 1 / 9))


def test_stch_with_warmup_equals_the_authors_objective() -> None:
    epoch, mu, warmup, seen, nadir = 2, 0.4, 1, [], []

    def objective(losses: torch.Tensor) -> torch.Tensor:
        now = len(seen) // epoch
        seen.append(losses.detach())
        if now <= warmup:
            return losses.log().sum()
        if not nadir:
            nadir.append(torch.stack(seen[warmup * epoch : (warmup + 1) * epoch]).mean(0))
        return 3 * mu * torch.logsumexp((losses / nadir[0]).log() / mu, 0)

    theirs = by_hand(objective, BATCHES)
    problem, method, reports = ours("stch", BATCHES, mu=mu, warmup_epochs=warmup)
    assert_same(weights_of(theirs), weights_of(problem), 1e-11)
    assert method._reference == pytest.approx(dict(zip(TASKS, nadir[0].tolist(), strict=True)))
    assert reports[3].weights == pytest.approx({task: 1 / loss for task, loss in reports[3].losses.items()})


def test_stch_with_warmup_is_invariant_to_constant_factors() -> None:
    moved = [{"a": 0.4, "b": 1.0, "c": 0.6}, {"a": 0.5, "b": 0.9, "c": 0.8}]
    factors = {"a": 1.0, "b": 100.0, "c": 0.01}
    parts = []
    for scale in (dict.fromkeys(TASKS, 1.0), factors):
        method = built("stch", Constant(VALUES), warmup_epochs=0)
        method.end_epoch({task: scale[task] * moved[0][task] for task in TASKS})
        means = {task: scale[task] * moved[1][task] for task in TASKS}
        parts.append({task: w * scale[task] for task, w in method._weights(TASKS, means).items()})
    assert parts[0] == pytest.approx(parts[1])


def test_stch_gives_a_late_task_its_first_whole_epoch_as_reference() -> None:
    method = built("stch", Constant(VALUES), warmup_epochs=0)
    for losses in ({"a": 1.0, "b": 2.0}, {"a": 0.5, "c": 3.0}, {"c": 1.0}):
        method.end_epoch(losses)
    assert method._reference == {"a": 1.0, "b": 2.0, "c": 3.0}


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_stch_with_warmup_refuses_losses_without_logarithm(bad: float) -> None:
    with pytest.raises(TrainingError, match=r"task 'b'.*'stch' needs losses that are positive"):
        run("stch", Constant({**VALUES, "b": bad}), [[None]], warmup_epochs=1)
    _, (report,) = run("stch", Constant({**VALUES, "b": bad}), [[None]])
    assert all(math.isfinite(weight) for weight in report.weights.values())
