"""GLS and IMTL-L against the library, finite differences and each other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optim_toys import TASKS, Shared, assert_same, batch_of, built, run, sgd, weights_of
from torchjd.scalarization import IMTLL, GeometricMean
from weighting_toys import BATCHES, Constant, by_hand, ours

from medmtl.errors import TrainingError
from medmtl.optim import Services
from medmtl.optim.weighting.geometric import geometric_weights

LOSSES = st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=6).map(lambda x: {f"t{i}": v for i, v in enumerate(x)})


def test_gls_equals_the_library() -> None:
    theirs = by_hand(GeometricMean(), BATCHES)
    assert_same(weights_of(theirs), weights_of(ours("gls", BATCHES)[0]), 1e-12)


@given(LOSSES)
def test_gls_weights_are_the_gradient_of_the_geometric_mean(losses: dict) -> None:
    values = torch.tensor(list(losses.values()), dtype=torch.float64, requires_grad=True)
    values.log().mean().exp().backward()
    assert list(geometric_weights(losses).values()) == pytest.approx(values.grad.tolist(), rel=1e-9)


def test_gls_needs_no_product() -> None:
    tiny = geometric_weights({str(i): 1e-30 for i in range(20)})  # the product would be 1e-600
    huge = geometric_weights({str(i): 1e30 for i in range(20)})
    assert list(tiny.values()) == list(huge.values()) == pytest.approx([1 / 20] * 20)


@pytest.mark.parametrize("bad", [0.0, -0.5])
def test_gls_names_the_task_whose_loss_it_cannot_use(bad: float) -> None:
    with pytest.raises(TrainingError, match=rf"task 'b'.*'gls' needs losses that are positive.*found {bad:g}"):
        run("gls", Constant({"a": 1.0, "b": bad}), [[None]])


def test_imtl_l_equals_the_library() -> None:
    scalarizer = IMTLL(3).double()
    theirs = by_hand(scalarizer, BATCHES, learned=(scalarizer.log_scale,))
    problem, method, _ = ours("imtl_l", BATCHES)
    assert_same(weights_of(theirs), weights_of(problem), 1e-12)
    scales = torch.stack([method.scalars[task].detach() for task in TASKS])
    torch.testing.assert_close(scales, scalarizer.log_scale.detach())


def test_imtl_l_is_twice_uw_with_the_sign_turned() -> None:
    values = {"a": 0.3, "b": 2.0, "c": 0.9}
    for s in (-0.7, 0.0, 1.3):
        one, other = built("imtl_l", Constant(values), sgd, initial=s), built("uw", Constant(values), sgd, initial=-s)
        first, second = one._weights(TASKS, {}), other._weights(TASKS, {})
        assert first == pytest.approx({task: 2 * weight for task, weight in second.items()})
        slopes = one._slopes(values, first), other._slopes(values, second)
        assert slopes[0] == pytest.approx({task: -2 * slope for task, slope in slopes[1].items()})


@pytest.mark.parametrize(
    ("name", "objective"),
    [("uw", lambda s, x: 0.5 * math.exp(-s) * x + 0.5 * s), ("imtl_l", lambda s, x: math.exp(s) * x - s)],
)
def test_slopes_equal_finite_differences(name: str, objective) -> None:
    values = {"a": 0.3, "b": 2.0, "c": 0.9}
    s, step = 0.4, 1e-6
    method = built(name, Constant(values), sgd, initial=s)
    slopes = method._slopes(values, method._weights(TASKS, {}))
    for task, x in values.items():
        assert slopes[task] == pytest.approx((objective(s + step, x) - objective(s - step, x)) / (2 * step), rel=1e-6)


def test_imtl_l_ends_at_one_over_the_loss() -> None:
    values = {"a": 0.25, "b": 1.0, "c": 8.0}
    _, reports = run("imtl_l", Constant(values), [[None]] * 600, sgd, learning_rate=0.05)
    _, (optimal,) = run("uw_o", Constant(values), [[None]])
    assert reports[-1].weights == pytest.approx(optimal.weights, rel=1e-4)


@pytest.mark.parametrize("name", ["uw", "imtl_l"])
def test_numbers_of_absent_tasks_rest(name: str) -> None:
    problem = Shared()
    method, services = built(name, problem), Services(problem)
    method.update([batch_of()], services)
    before = {task: float(scalar.detach()) for task, scalar in method.scalars.items()}
    method.update([batch_of(missing={"c": range(6)})], services)
    after = {task: float(scalar.detach()) for task, scalar in method.scalars.items()}
    assert before["c"] == after["c"]
    assert before["a"] != after["a"]
