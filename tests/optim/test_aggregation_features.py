"""MGDA on shared features: weights, one backward pass below, plain heads, windows; and the state of ExcessMTL."""

from __future__ import annotations

import pytest
import torch
from optim_toys import TASKS, Shared, Split, adamw, assert_same, batch_of, built, rows_of, weights_of

from medmtl.errors import ConfigError
from medmtl.optim import LossScale, Services, make_method
from medmtl.optim.aggregation.dual_cone import shortest


def unit(named):
    return torch.optim.SGD([p for _, p in named], lr=1.0)


def feature_weights(problem: Shared, batch: dict) -> dict[str, float]:
    features = problem.features(batch, TASKS, "frozen").detach().requires_grad_()
    losses = problem.losses_from(batch, features, TASKS, "frozen")
    columns = [torch.autograd.grad(losses[task].mean, features, retain_graph=True)[0].flatten() for task in TASKS]
    return dict(zip(TASKS, shortest(torch.stack(columns, 1).numpy()).tolist(), strict=True))


@pytest.mark.parametrize("cuts", [(6,), (2, 6), (1, 3, 6)])
def test_weights_trunk_and_heads_against_autograd(cuts: tuple[int, ...]) -> None:
    problem = Shared()
    batch = batch_of(missing={"b": [0, 1], "c": [5]})
    expected = feature_weights(problem, batch)
    losses = {task: loss.mean for task, loss in problem.losses(batch, TASKS, "update").items()}
    named = dict(problem.named_parameters())
    joint = torch.autograd.grad(
        sum(expected[t] * losses[t] for t in TASKS), list(problem.trunk.parameters()), retain_graph=True
    )
    goal = {f"trunk.{n}": p - g for (n, p), g in zip(problem.trunk.named_parameters(), joint, strict=True)}
    for task in TASKS:
        for name, parameter in problem.heads[task].named_parameters():
            gradient = torch.autograd.grad(losses[task], parameter, retain_graph=True)[0]
            goal[f"heads.{task}.{name}"] = parameter - gradient
    assert goal.keys() == named.keys()
    window = [rows_of(batch, start, stop) for start, stop in zip((0, *cuts), cuts, strict=False)]
    report = built("mgda_ub", problem, unit).update(window, Services(problem))
    assert report.weights == pytest.approx(expected, abs=1e-9)
    assert sum(report.weights.values()) == pytest.approx(1)
    assert set(report.cosines) == {"a|b", "a|c", "b|c"}
    assert_same({n: g.detach() for n, g in goal.items()}, {n: p.detach() for n, p in problem.named_parameters()}, 1e-9)


class Levels(Shared):
    """Features of two levels, the lower of which learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.low = torch.nn.Conv2d(1, 16, 3).double().requires_grad_(False)

    def features(self, batch, tasks, buffers):
        return {"low": self.low(batch["x"]).mean((2, 3)), "high": super().features(batch, tasks, buffers)}

    def losses_from(self, batch, features, tasks, buffers):
        return super().losses_from(batch, 3 * features["low"] * features["high"] + features["high"], tasks, buffers)


@pytest.mark.parametrize("cuts", [(2, 6), (1, 3, 6)])
def test_a_frozen_level_counts_in_no_way_of_cutting_the_batch(cuts: tuple[int, ...]) -> None:
    batch = batch_of(missing={"b": [0, 1], "c": [5]})
    window = [rows_of(batch, start, stop) for start, stop in zip((0, *cuts), cuts, strict=False)]
    whole, parts = Levels(), Levels()
    expected = built("mgda_ub", whole, unit).update([batch], Services(whole)).weights
    assert built("mgda_ub", parts, unit).update(window, Services(parts)).weights == pytest.approx(expected, abs=1e-9)
    assert len({round(weight, 6) for weight in expected.values()}) == len(TASKS)
    assert_same(weights_of(whole), weights_of(parts), 1e-9)


@pytest.mark.parametrize("parts", [1, 3])
def test_passes_through_the_shared_part_are_counted(parts: int) -> None:
    problem = Shared()
    backwards = []
    problem.trunk[0].weight.register_hook(lambda _: backwards.append(1))
    size = 6 // parts
    window = [rows_of(batch_of(), start, start + size) for start in range(0, 6, size)]
    built("mgda_ub", problem).update(window, Services(problem))
    assert len(backwards) == parts
    assert problem.forwards == (1 if parts == 1 else 2 * parts)


def test_dropout_in_the_shared_part_is_replayed_over_a_window() -> None:
    problem = Shared()
    problem.trunk.append(torch.nn.Dropout(0.5))
    true, seen = problem.features, []

    def recorded(*given):
        features = true(*given)
        seen.append(features.detach().clone())
        return features

    problem.features = recorded  # type: ignore[method-assign]
    built("mgda_ub", problem, unit).update([batch_of(), batch_of()], Services(problem))
    assert torch.equal(seen[0] == 0, seen[2] == 0)
    assert torch.equal(seen[1] == 0, seen[3] == 0)
    assert not torch.equal(seen[0] == 0, seen[1] == 0)


def test_running_statistics_move_once_a_micro_batch() -> None:
    ours, plain = Shared(norm="batch"), Shared(norm="batch")
    window = [rows_of(batch_of(), 0, 3), rows_of(batch_of(), 3, 6)]
    built("mgda_ub", ours, unit).update(window, Services(ours))
    for part in window:
        plain.losses(part, TASKS, "update")
    assert_same(dict(plain.named_buffers()), dict(ours.named_buffers()))


def test_a_loss_scale_does_not_reach_the_weights() -> None:
    found = []
    for scale in (None, LossScale(2.0**40)):
        problem = Shared()
        found.append(built("mgda_ub", problem).update([batch_of()], Services(problem, scale=scale)).weights)
    assert found[0] == pytest.approx(found[1])


def test_features_that_overflow_skip_the_step() -> None:
    problem = Shared()
    method, services = built("mgda_ub", problem), Services(problem, scale=LossScale(4.0))
    before = weights_of(problem)
    services.scale.value = 1e308
    batch = batch_of()
    batch["y"] = {task: 100 * y for task, y in batch["y"].items()}
    assert method.update([batch], services).skipped
    assert services.scale.value == 5e307
    assert_same(before, weights_of(problem))


def test_a_network_without_shared_features_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"'mgda_ub'.*one shared part.*Split"):
        make_method("mgda_ub").build(Split(), adamw)


def test_excess_mtl_keeps_squares_by_task_and_parameter_of_what_was_shared() -> None:
    problem = Shared()
    method, services = built("excess_mtl", problem, unit), Services(problem)
    batch = batch_of()
    named = dict(problem.trunk.named_parameters())
    loss = problem.losses(batch, ("a",), "update")["a"].mean
    gradients = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
    method.update([batch], services)
    squares = method._own_state()["squares"]
    assert set(squares["a"]) == {f"trunk.{name}" for name in named}
    for name, gradient in gradients.items():
        torch.testing.assert_close(squares["a"][f"trunk.{name}"], gradient.square())
    before = {name: value.clone() for name, value in squares["c"].items()}
    method.update([batch_of(missing={"c": range(6)})], services)
    assert_same(before, method._own_state()["squares"]["c"])


def test_excess_mtl_warms_up_and_takes_a_late_task_s_first_risk_as_its_baseline() -> None:
    problem = Shared()
    method, services = built("excess_mtl", problem, adamw, n_warmup_steps=2), Services(problem)
    gone = batch_of(missing={"c": range(6)})
    for _ in range(2):
        assert method.update([gone], services).weights == pytest.approx({"a": 0.5, "b": 0.5})
    assert method.update([gone], services).weights["a"] != pytest.approx(0.5, abs=1e-9)
    report = method.update([batch_of()], services)
    assert sum(report.weights.values()) == pytest.approx(1)
    assert not method._own_state()["kept"]["baseline"].isnan().any()


def test_excess_mtl_s_squares_return_to_where_the_parameters_are() -> None:
    """Checkpoints are loaded to the CPU; the device `meta` stands for a GPU."""
    problem = Shared()
    method = built("excess_mtl", problem, unit)
    method.update([batch_of()], Services(problem))
    elsewhere = built("excess_mtl", Shared().to("meta"), unit)
    elsewhere._load_own_state(method._own_state())
    squares = elsewhere._own_state()["squares"]
    assert {value.device.type for row in squares.values() for value in row.values()} == {"meta"}
