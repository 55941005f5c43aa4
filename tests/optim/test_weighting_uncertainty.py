"""UW-O and UW-SO: the tabulated weights, their limits, the collapse, and the learned temperature."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optim_toys import TASKS, Shared, assert_same, batch_of, built, run, sgd, weights_of
from torch.nn.functional import softplus as torch_softplus
from weighting_toys import BATCHES, Constant, by_hand, ours, overflow

from medmtl.errors import ConfigError
from medmtl.optim import Services, make_method
from medmtl.optim.weighting.geometric import geometric_weights
from medmtl.optim.weighting.uncertainty import (
    inverse_losses,
    inverse_softplus,
    sigmoid,
    soft_weights,
    softplus,
    temperature_slope,
)

LOSSES = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6).map(lambda x: {f"t{i}": v for i, v in enumerate(x)})


def soft(losses: list[float], temperature: float, floor: float = 1e-8) -> list[float]:
    named = {str(i): loss for i, loss in enumerate(losses)}
    return list(soft_weights(inverse_losses(named, floor), temperature).values())


@pytest.mark.parametrize(
    ("losses", "temperature", "expected"),
    [
        ([0.7, 0.1, 0.01], 1, [0, 0, 1]),
        ([0.7, 0.1, 0.01], 5, [0, 0, 1]),
        ([0.7, 0.1, 0.01], 20, [0.007, 0.011, 0.982]),
        ([0.7, 0.1, 0.01], 100, [0.21, 0.23, 0.56]),
        ([0.7, 0.5, 0.3], 1, [0.11, 0.19, 0.71]),
        ([0.7, 0.5, 0.3], 5, [0.28, 0.31, 0.41]),
        ([2, 0.05], 2, [0, 1]),
        ([2, 0.05], 20, [0.27, 0.73]),
    ],
)
def test_the_tabulated_weights(losses: list[float], temperature: float, expected: list[float]) -> None:
    digits = 3 if 0.007 in expected else 2
    assert [round(weight, digits) for weight in soft(losses, temperature)] == expected
    values = dict(zip(TASKS, map(float, losses), strict=False))
    _, (report,) = run("uw_so", Constant(values), [[None]], temperature=temperature)
    assert list(report.weights.values()) == pytest.approx(soft(losses, temperature))


@given(LOSSES, st.floats(0.1, 100))
def test_uw_so_equals_the_softmax_of_pytorch(losses: dict, temperature: float) -> None:
    found = soft_weights(inverse_losses(losses, 1e-8), temperature)
    expected = ((1 / torch.tensor(list(losses.values()), dtype=torch.float64)) / temperature).softmax(0)
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=1e-12)
    assert math.fsum(found.values()) == pytest.approx(1)


@given(LOSSES, st.floats(0.1, 100), st.floats(0.01, 100))
def test_scaling_all_losses_is_scaling_the_temperature(losses: dict, temperature: float, factor: float) -> None:
    scaled = {task: factor * loss for task, loss in losses.items()}
    first = soft_weights(inverse_losses(scaled, 1e-8), temperature)
    second = soft_weights(inverse_losses(losses, 1e-8), temperature * factor)
    assert list(first.values()) == pytest.approx(list(second.values()), abs=1e-9)


def test_limits_of_the_temperature() -> None:
    assert soft([0.7, 0.5, 0.3], 1e12) == pytest.approx([1 / 3] * 3)
    assert soft([0.7, 0.5, 0.3], 1e-300) == [0, 0, 1]
    assert soft([1e-30, 5.0], 1.0) == [1, 0]  # no overflow at the floor


@given(LOSSES)
def test_uw_o_has_the_direction_of_the_geometric_mean(losses: dict) -> None:
    ratio = len(losses) / math.exp(math.fsum(map(math.log, losses.values())) / len(losses))
    gls = geometric_weights(losses)
    assert inverse_losses(losses, 1e-8) == pytest.approx({task: ratio * weight for task, weight in gls.items()})


def test_uw_o_equals_the_losses_over_their_values() -> None:
    theirs = by_hand(lambda losses: (losses / losses.detach()).sum(), BATCHES)
    assert_same(weights_of(theirs), weights_of(ours("uw_o", BATCHES)[0]), 1e-12)


@pytest.mark.parametrize("name", ["uw_o", "gls"])
def test_a_constant_factor_on_a_loss_does_not_turn_the_direction(name: str) -> None:
    values = {"a": 0.3, "b": 2.0, "c": 0.9}
    _, (plain,) = run(name, Constant(values), [[None]])
    _, (scaled,) = run(name, Constant({**values, "b": 200.0}), [[None]])
    parts = [{task: r.weights[task] * r.losses[task] for task in TASKS} for r in (plain, scaled)]
    ratios = [parts[1][task] / parts[0][task] for task in TASKS]
    assert ratios == pytest.approx([ratios[0]] * 3)
    assert name == "gls" or ratios[0] == pytest.approx(1)


def test_uw_at_its_optimum_is_half_of_uw_o() -> None:
    values = {"a": 0.25, "b": 8.0}
    _, reports = run("uw", Constant(values), [[None]] * 800, sgd, learning_rate=0.05)
    _, (optimal,) = run("uw_o", Constant(values), [[None]])
    half = {task: 0.5 * weight for task, weight in optimal.weights.items()}
    assert reports[-1].weights == pytest.approx(half, rel=1e-4)


def test_uw_so_equals_the_weighted_sum_with_constant_weights() -> None:
    theirs = by_hand(lambda losses: (((1 / losses.detach()) / 2.0).softmax(0) * losses).sum(), BATCHES)
    assert_same(weights_of(theirs), weights_of(ours("uw_so", BATCHES, temperature=2.0)[0]), 1e-12)


def test_a_solved_task_takes_all_the_weight_unless_a_floor_or_a_temperature_ends_that() -> None:
    solved = {"a": 0.7, "b": 1e-4}
    for arguments, share in (({}, 1.0), ({"floor": 0.5}, 0.64), ({"temperature": 1e5}, 0.525)):
        _, (report,) = run("uw_so", Constant(solved), [[None]], **arguments)
        assert report.weights["b"] == pytest.approx(share, abs=0.005)


def test_a_floor_over_all_losses_is_the_mean() -> None:
    _, (report,) = run("uw_so", Constant({"a": 0.0, "b": 0.02, "c": 0.01}), [[None]], floor=0.05)
    assert list(report.weights.values()) == pytest.approx([1 / 3] * 3)


def test_the_moving_average_damps_a_sudden_drop() -> None:
    problem = Constant({"a": 0.7, "b": 0.7})
    method, services = built("uw_so", problem, momentum=0.9), Services(problem)
    method.update([None], services)
    problem.values["b"] = 0.01
    damped = method.update([None], services).weights["b"]
    expected = soft([0.7, 0.9 * 0.7 + 0.1 * 0.01], 1.0)[1]
    assert damped == pytest.approx(expected, abs=1e-9)
    assert damped < 0.6


def test_the_moving_average_rests_while_a_task_is_absent_and_over_an_overflow() -> None:
    problem = Shared()
    method, services = built("uw_so", problem, momentum=0.5), Services(problem)
    method.update([batch_of()], services)
    before = dict(method._averages)
    method.update([batch_of(missing={"c": range(6)})], services)
    assert method._averages["c"] == before["c"]
    assert method._averages["a"] != before["a"]
    before = dict(method._averages)
    overflow(problem)
    assert method.update([batch_of()], services).skipped
    assert method._averages == before


@given(LOSSES, st.floats(0.2, 50))
def test_the_slope_of_the_temperature_equals_autograd_and_the_closed_form(losses: dict, temperature: float) -> None:
    values = torch.tensor(list(losses.values()), dtype=torch.float64)
    raw = torch.tensor(inverse_softplus(temperature), dtype=torch.float64, requires_grad=True)
    t = torch_softplus(raw)
    ((1 / values / t).softmax(0) @ values + 1 / t).backward()
    inverses = inverse_losses(losses, 1e-8)
    weights = soft_weights(inverses, temperature)
    slope = temperature_slope(losses, inverses, weights, temperature)
    assert slope * sigmoid(float(raw)) == pytest.approx(float(raw.grad), rel=1e-7, abs=1e-9)
    x, mean = (math.fsum(weights[t] * v[t] for t in losses) for v in (inverses, losses))
    assert slope == pytest.approx((x * mean - 2) / temperature**2, rel=1e-7, abs=1e-9)


def test_the_slope_of_the_temperature_equals_a_finite_difference() -> None:
    losses = {"a": 0.7, "b": 0.4, "c": 1.5}
    inverses = inverse_losses({"a": 0.6, "b": 0.6, "c": 1.1}, 1e-8)  # as a moving average would have it

    def objective(raw: float) -> float:
        weights = soft_weights(inverses, softplus(raw))
        return sum(weights[task] * losses[task] for task in losses) + 1 / softplus(raw)

    raw, step = 0.8, 1e-6
    slope = temperature_slope(losses, inverses, soft_weights(inverses, softplus(raw)), softplus(raw)) * sigmoid(raw)
    assert slope == pytest.approx((objective(raw + step) - objective(raw - step)) / (2 * step), rel=1e-6)


def test_a_learned_temperature_equals_autograd_over_a_run() -> None:
    raw = torch.nn.Parameter(torch.tensor(math.log(math.expm1(1.0)), dtype=torch.float64))

    def objective(losses: torch.Tensor) -> torch.Tensor:
        temperature = torch_softplus(raw)
        return ((1 / losses.detach() / temperature).softmax(0) * losses.detach()).sum() + 1 / temperature

    def with_weights(losses: torch.Tensor) -> torch.Tensor:
        weights = (1 / losses.detach() / torch_softplus(raw.detach())).softmax(0)
        return objective(losses) + (weights * losses).sum()

    theirs = by_hand(with_weights, BATCHES, learned=(raw,))
    problem, method, _ = ours("uw_so", BATCHES, learned_temperature=True)
    assert_same(weights_of(theirs), weights_of(problem), 1e-12)
    assert float(method.scalars["temperature"]) == pytest.approx(float(raw), rel=1e-12)
    assert method.current_temperature == pytest.approx(float(torch_softplus(raw)))


def test_the_guard_keeps_a_learned_temperature_from_zero() -> None:
    problem = Constant({"a": 3.0, "b": 0.05})
    method, services = built("uw_so", problem, sgd, learned_temperature=True, learning_rate=0.1), Services(problem)
    for _ in range(500):
        report = method.update([None], services)
    assert method.current_temperature > 0.5
    assert math.isfinite(report.weights["a"])


@given(st.floats(1e-6, 1e3))
def test_softplus_and_its_inverse(value: float) -> None:
    assert softplus(inverse_softplus(value)) == pytest.approx(value, rel=1e-9)
    assert softplus(value) == pytest.approx(float(torch_softplus(torch.tensor(value, dtype=torch.float64))))
    assert softplus(-800.0) == 0.0
    assert sigmoid(value) == pytest.approx(float(torch.tensor(value, dtype=torch.float64).sigmoid()))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("uw_so", {"temperature": 0}, r"uw_so\.temperature.*found 0.*> 0"),
        ("uw_so", {"temperature": float("inf")}, r"uw_so\.temperature.*inf"),
        ("uw_so", {"floor": 0.0}, r"uw_so\.floor.*> 0"),
        ("uw_so", {"momentum": 1.0}, r"uw_so\.momentum.*found 1\.0.*< 1"),
        ("uw_so", {"momentum": -0.1}, r"uw_so\.momentum.*found -0\.1"),
        ("uw_so", {"learned_temperature": "yes"}, r"uw_so\.learned_temperature.*'yes'.*true or false"),
        ("uw_so", {"learning_rate": 0.1}, r"uw_so\.learning_rate.*nothing is learned"),
        ("uw_o", {"floor": -1}, r"uw_o\.floor.*found -1"),
    ],
)
def test_bad_arguments_are_named(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method(name, **arguments)
